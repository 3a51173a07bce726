// The score strip: predicted IoU, object score and area over time, with their bounds; below a bound is red, thick and ticked.

import { fitCanvas, short } from "./dom.js";
import { doubted, stillDoubted } from "./doubt.js";

const PANEL = 38;
const GAP = 7;
const RULER = 16;
const PANELS = [
  { name: "predicted_iou", label: "Predicted IoU", range: [0, 1] },
  { name: "object_score", label: "Object score", range: null },
  { name: "area", label: "Area, px", range: null },
];

/** Of an item that waits for a verdict alone no score is shown, and the ruler stands by itself. */
export function stripHeight(blind = false) {
  return RULER + (blind ? 0 : PANELS.length * (PANEL + GAP));
}

/** Draws the strip anew; `at` is the position whose numbers are written beside it. */
export function drawStrip(canvas, { detail, axis, width, height, at, tracked, colours }) {
  const pen = fitCanvas(canvas, width, height);
  pen.font = "11px system-ui, sans-serif";
  pen.textBaseline = "middle";
  drawRuler(pen, { detail, axis, colours, tracked });
  if (detail.item.blind) return;
  PANELS.forEach((panel, row) => {
    const values = detail.scores[panel.name] ?? [];
    const top = RULER + row * (PANEL + GAP);
    const threshold = detail.thresholds?.[panel.name] ?? null;
    const scaleY = verticalScale(panel.range ?? rangeOf(values, threshold), top);
    const drawn = { values, threshold, top, scaleY, frames: detail.video.frames, axis, colours };
    drawPanel(pen, drawn);
    if (tracked && panel.name !== "area") drawTracked(pen, drawn, tracked, panel.name);
    writeLabel(pen, { ...drawn, label: panel.label, value: values[at] });
  });
}

function verticalScale([low, high], top) {
  const span = high - low || 1;
  return (value) => top + 3 + (1 - (Math.max(low, Math.min(high, value)) - low) / span) * (PANEL - 6);
}

function rangeOf(values, threshold) {
  const known = values.filter((value) => value !== null);
  const low = Math.min(...sampled(known), threshold ?? Infinity, 0);
  const high = Math.max(...sampled(known), threshold ?? -Infinity, 1);
  return [low, high + (high - low) * 0.08];
}

/** At most some thousand values, their extremes kept, so that a long video does not overflow the call. */
function sampled(values) {
  if (values.length <= 4000) return values;
  const extremes = values.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
  return extremes;
}

function drawRuler(pen, { detail, axis, colours, tracked }) {
  pen.fillStyle = colours.muted;
  const every = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000].find((n) => n * axis.perFrame >= 56) ?? 20000;
  pen.textAlign = "center";
  for (let frame = Math.ceil(axis.first / every) * every; frame < axis.end; frame += every) {
    const x = axis.middle(frame);
    pen.fillRect(Math.round(x), RULER - 4, 1, 4);
    if (x > axis.left + 12 && x < axis.left + axis.width - 12) pen.fillText(String(frame), x, 6);
  }
  pen.textAlign = "left";
  pen.fillText("Frame", 0, 6);
  const again = tracked ? stillDoubted(detail, tracked) : [];
  drawSuspicious(pen, doubted(detail, tracked).filter((frame) => !again.includes(frame)), axis, colours.alarm);
  drawSuspicious(pen, again, axis, colours.draft);
  drawBest(pen, detail.best ?? [], axis, colours);
}

/** Each frame to correct first is a dot under the ruler, with its rank. */
function drawBest(pen, frames, axis, colours) {
  pen.font = "600 10px system-ui, sans-serif";
  pen.textAlign = "center";
  frames.forEach((frame, rank) => {
    pen.fillStyle = colours.accent;
    pen.beginPath();
    pen.arc(axis.middle(frame), 6.5, 6.5, 0, 2 * Math.PI);
    pen.fill();
    pen.fillStyle = colours.panel;
    pen.fillText(String(rank + 1), axis.middle(frame), 7);
  });
  pen.textAlign = "left";
  pen.font = "11px system-ui, sans-serif";
}

/** Each suspicious frame is a triangle that points down from the ruler. */
function drawSuspicious(pen, frames, axis, colour) {
  pen.fillStyle = colour;
  for (const frame of frames) {
    const x = axis.middle(frame);
    pen.beginPath();
    pen.moveTo(x - 4, RULER - 7);
    pen.lineTo(x + 4, RULER - 7);
    pen.lineTo(x, RULER);
    pen.fill();
  }
}

function drawPanel(pen, drawn) {
  const { top, axis, colours, threshold, scaleY } = drawn;
  pen.fillStyle = colours.well;
  pen.fillRect(axis.left, top, axis.width, PANEL);
  drawLine(pen, drawn, { style: colours.line2, width: 1.25, only: () => true });
  if (threshold === null) return;
  const y = Math.round(scaleY(threshold)) + 0.5;
  pen.strokeStyle = colours.muted;
  pen.lineWidth = 1;
  pen.setLineDash([3, 3]);
  pen.beginPath();
  pen.moveTo(axis.left, y);
  pen.lineTo(axis.left + axis.width, y);
  pen.stroke();
  pen.setLineDash([]);
  drawBelow(pen, drawn, y);
}

/** Under the bound the line is red and thick, filled up to the bound, with ticks at the panel's foot. */
function drawBelow(pen, drawn, y) {
  const { values, frames, threshold, axis, top, scaleY, colours } = drawn;
  const half = (axis.step * axis.perFrame) / 2;
  pen.fillStyle = colours.alarm;
  values.forEach((value, i) => {
    if (value === null || value >= threshold) return;
    const x = axis.middle(frames[i]);
    pen.globalAlpha = 0.3;
    pen.fillRect(x - half, y, 2 * half, Math.max(1, scaleY(value) - y));
    pen.globalAlpha = 1;
    pen.fillRect(x - half, top + PANEL - 3, Math.max(1, 2 * half - 1), 3);
  });
  drawLine(pen, drawn, { style: colours.alarm, width: 2.5, only: (value) => value < threshold });
}

function drawLine(pen, { values, frames, axis, scaleY }, { style, width, only }) {
  pen.strokeStyle = style;
  pen.lineWidth = width;
  pen.lineJoin = "round";
  pen.beginPath();
  let on = false;
  values.forEach((value, i) => {
    const shown = value !== null && only(value);
    const before = values[i - 1];
    if (shown && !on && before !== null && before !== undefined) {
      pen.moveTo((axis.middle(frames[i - 1]) + axis.middle(frames[i])) / 2, (scaleY(before) + scaleY(value)) / 2);
      pen.lineTo(axis.middle(frames[i]), scaleY(value));
    } else if (shown) pen[on ? "lineTo" : "moveTo"](axis.middle(frames[i]), scaleY(value));
    on = shown;
  });
  pen.stroke();
}

/** The scores of a propagated span, dashed in the colour of what is not stored. */
function drawTracked(pen, { axis, scaleY, colours }, tracked, name) {
  pen.strokeStyle = colours.draft;
  pen.lineWidth = 2;
  pen.setLineDash([4, 2]);
  pen.beginPath();
  Object.entries(tracked).map(([frame, found]) => [Number(frame), found[name]])
    .filter(([, value]) => value !== null && value !== undefined)
    .sort((a, b) => a[0] - b[0])
    .forEach(([frame, value], i) => pen[i ? "lineTo" : "moveTo"](axis.middle(frame), scaleY(value)));
  pen.stroke();
  pen.setLineDash([]);
}

function writeLabel(pen, { label, value, threshold, top, colours }) {
  const below = threshold !== null && value !== null && value < threshold;
  pen.fillStyle = colours.muted;
  pen.fillText(label, 0, top + 11);
  pen.font = "600 12px system-ui, sans-serif";
  pen.fillStyle = below ? colours["alarm-text"] : colours.text;
  pen.fillText(short(value), 0, top + 27);
  const after = pen.measureText(short(value)).width + 6;
  pen.font = "11px system-ui, sans-serif";
  pen.fillStyle = colours.muted;
  if (threshold !== null) pen.fillText(`${below ? "below" : "bound"} ${short(threshold)}`, after, top + 27);
}
