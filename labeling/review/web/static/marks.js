// Draws on a canvas in pixels of the video: masks, clicks, boxes, the crosshair. `scale` keeps lines equally thick.
// Shape always says what colour says.

const GOOD = "#009E73";
const BAD = "#D55E00";
const HALO = "rgba(0, 0, 0, 0.75)";
const FAINT_HALO = "rgba(0, 0, 0, 0.35)";

/** The palette of Okabe and Ito, which people with any common colour vision can tell apart. */
export const OKABE_ITO = ["#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"];

/** The colour that an object keeps on every picture, here as in the overlays. */
export function colourOf(trackId) {
  const number = Number(trackId);
  const at = Number.isSafeInteger(number) ? ((number % 7) + 7) % 7 : 1;
  return OKABE_ITO[at];
}

/** The colour of what a reviewer draws: never that of the object itself. */
export function previewColour(trackId) {
  return colourOf(trackId) === "#F0E442" ? "#56B4E9" : "#F0E442";
}

/** A mask: filled by its opacity, its contour over a dark halo; dashed for what is not stored. */
export function drawMask(pen, path, { colour, scale, opacity, dashed = false, thin = false }) {
  pen.save();
  pen.lineJoin = "round";
  pen.fillStyle = pen.strokeStyle = colour;
  pen.globalAlpha = opacity;
  if (opacity > 0) pen.fill(path, "evenodd");
  pen.globalAlpha = thin ? 0.6 : 1;
  strokeTwice(pen, path, { colour, scale, width: thin ? 1 : 2, dash: dashed ? [7, 4] : [] });
  pen.restore();
}

/** Another object of the video: faint, dashed, with its number, so that it is not taken for the item's own. */
export function drawOther(pen, { id, path, corner, colour }, scale) {
  pen.save();
  pen.fillStyle = colour;
  pen.globalAlpha = 0.14;
  pen.fill(path, "evenodd");
  pen.globalAlpha = 0.9;
  strokeTwice(pen, path, { colour, scale, width: 1.5, dash: [5, 4], halo: FAINT_HALO });
  if (corner) drawNumber(pen, id, corner, scale);
  pen.restore();
}

function drawNumber(pen, id, [x, y], scale) {
  pen.globalAlpha = 0.9;
  pen.font = `600 ${11 / scale}px system-ui, sans-serif`;
  pen.lineWidth = 3 / scale;
  pen.strokeStyle = HALO;
  pen.fillStyle = "#FFFFFF";
  const at = [x, Math.max(y - 4 / scale, 11 / scale)];
  pen.strokeText(id, ...at);
  pen.fillText(id, ...at);
}

function strokeTwice(pen, path, { colour, scale, width, dash = [], halo = HALO }) {
  for (const [style, lineWidth, pattern] of [[halo, width + 2, []], [colour, width, dash]]) {
    pen.strokeStyle = style;
    pen.lineWidth = lineWidth / scale;
    pen.setLineDash(pattern.map((length) => length / scale));
    pen.stroke(path);
  }
  pen.setLineDash([]);
}

/** What a reviewer drew on a frame: `held` {points, box, absent} or null, a box being drawn, a crosshair. */
export function drawMarks(pen, { scale, held, drag, cursor }) {
  const box = drag ?? held?.box;
  if (box) drawBox(pen, box, scale);
  for (const [x, y, label] of held?.points ?? []) drawClick(pen, [x, y], label, scale);
  if (cursor) drawCursor(pen, cursor, scale);
}

function drawBox(pen, [x0, y0, x1, y1], scale) {
  const path = new Path2D();
  path.rect(Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0));
  strokeTwice(pen, path, { colour: "#FFFFFF", scale, width: 1.5, dash: [5, 3] });
}

/** A plus on a green disc lies on the object, a minus on a red square beside it: shape as well as colour. */
function drawClick(pen, [x, y], label, scale) {
  pen.save();
  pen.translate(x, y);
  pen.scale(1 / scale, 1 / scale);
  pen.beginPath();
  if (label) pen.arc(0, 0, 8, 0, 2 * Math.PI);
  else pen.rect(-7.5, -7.5, 15, 15);
  pen.fillStyle = label ? GOOD : BAD;
  pen.fill();
  pen.lineWidth = 2;
  pen.strokeStyle = "#FFFFFF";
  pen.stroke();
  pen.beginPath();
  pen.moveTo(-4, 0);
  pen.lineTo(4, 0);
  if (label) { pen.moveTo(0, -4); pen.lineTo(0, 4); }
  pen.stroke();
  pen.restore();
}

function drawCursor(pen, [x, y], scale) {
  const path = new Path2D();
  const reach = 16 / scale;
  const gap = 4 / scale;
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    path.moveTo(x + dx * gap, y + dy * gap);
    path.lineTo(x + dx * reach, y + dy * reach);
  }
  strokeTwice(pen, path, { colour: "#FFFFFF", scale, width: 2 });
}
