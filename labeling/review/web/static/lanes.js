// One lane for each object: where it is visible, what was flagged, where it was prompted and corrected.

import { el, fitCanvas, visible } from "./dom.js";
import { colourOf } from "./marks.js";

const HEIGHT = 22;

/** Lanes with the item's own object first; each has a label that a screen reader can read. */
export class Lanes {
  #rows = [];
  #cuts = [];

  constructor() {
    this.list = el("ul", { class: "lanes", "aria-label": "Objects of the video" });
    this.root = el("div", { class: "lanes-row", hidden: true }, this.list, legend());
  }

  open(detail) {
    const objects = [...detail.objects].sort((a, b) => Number(b.is_item) - Number(a.is_item));
    this.#rows = objects.map((object) => this.#row(object, detail));
    this.#cuts = detail.video.cuts ?? [];
    this.list.replaceChildren(...this.#rows.map((row) => row.root));
    this.root.hidden = false;
  }

  close() {
    this.#rows = [];
    this.list.replaceChildren();
    this.root.hidden = true;
  }

  #row(object, detail) {
    const canvas = el("canvas");
    const name = `${object.track_id} ${object.category ?? ""}`.trim();
    const label = el("span", { class: "lane-name", title: name }, swatch(colourOf(object.track_id)), visible(name));
    const said = `Object ${name}: visible on ${spoken(object.spans)}; ${object.flags.length} flags, `
      + `${object.prompts.length} prompts`;
    const spokenOnly = el("span", { class: "sr", text: said });
    const root = el("li", { class: object.is_item ? "lane own" : "lane" }, label, spokenOnly, canvas);
    return { root, canvas, object, corrections: object.is_item ? detail.corrections : [] };
  }

  /** `work` holds the frames of the correction in the making: {corrected, tracked, limits}. */
  draw(axis, work, colours) {
    for (const row of this.#rows) {
      const pen = fitCanvas(row.canvas, axis.left + axis.width, HEIGHT);
      pen.fillStyle = colours.well;
      pen.fillRect(axis.left, 6, axis.width, 10);
      drawFlagged(pen, row.object.flags, axis, colours);
      drawSpans(pen, row.object.spans, axis, colourOf(row.object.track_id));
      drawFlags(pen, row.object.flags, axis, colours);
      for (const cut of this.#cuts) drawCut(pen, axis.x(cut), colours);
      if (row.object.is_item && work.limits) drawLimits(pen, work.limits, axis, colours);
      if (row.object.is_item && work.tracked) drawTracked(pen, work.tracked, axis, colours);
      for (const prompt of row.object.prompts) drawDiamond(pen, axis.middle(prompt.frame_idx), colours);
      for (const made of row.corrections) drawRing(pen, axis.middle(made.frame_idx), colours.text);
      if (row.object.is_item) for (const frame of work.corrected) drawRing(pen, axis.middle(frame), colours.draft);
    }
  }
}

function drawSpans(pen, spans, axis, colour) {
  pen.fillStyle = colour;
  for (const [start, end] of spans) pen.fillRect(axis.x(start), 6, Math.max(2, axis.x(end) - axis.x(start)), 10);
}

/** Under the bars a flagged span is tinted, so that it is seen where the object is not. */
function drawFlagged(pen, flags, axis, colours) {
  pen.fillStyle = colours.alarm;
  pen.globalAlpha = 0.45;
  for (const { frame_start: start, frame_end: end } of flags) {
    pen.fillRect(axis.x(start), 6, Math.max(3, axis.x(end) - axis.x(start)), 10);
  }
  pen.globalAlpha = 1;
}

/** A flagged span is hatched over the bar and underlined. */
function drawFlags(pen, flags, axis, colours) {
  for (const { frame_start: start, frame_end: end } of flags) {
    const [left, width] = [axis.x(start), Math.max(3, axis.x(end) - axis.x(start))];
    pen.save();
    pen.beginPath();
    pen.rect(left, 3, width, 13);
    pen.clip();
    pen.strokeStyle = colours.hatch;
    pen.lineWidth = 1.5;
    pen.beginPath();
    for (let x = left - 14; x < left + width; x += 5) { pen.moveTo(x, 18); pen.lineTo(x + 14, 2); }
    pen.stroke();
    pen.restore();
    pen.fillStyle = colours.alarm;
    pen.fillRect(left, 18, width, 3);
  }
}

/** A line through the lane where a shot ends. */
function drawCut(pen, x, colours) {
  pen.strokeStyle = colours.text;
  pen.lineWidth = 1.5;
  pen.setLineDash([2, 2]);
  pen.beginPath();
  pen.moveTo(x, 0);
  pen.lineTo(x, HEIGHT);
  pen.stroke();
  pen.setLineDash([]);
}

/** Brackets around the frames that the correction may change. */
function drawLimits(pen, [start, end], axis, colours) {
  pen.strokeStyle = colours.draft;
  pen.lineWidth = 2.5;
  for (const [x, inwards] of [[axis.x(start), 5], [axis.x(end), -5]]) {
    pen.beginPath();
    for (const [dx, y] of [[inwards, 2], [0, 2], [0, 20], [inwards, 20]]) pen.lineTo(x + dx, y);
    pen.stroke();
  }
}

function drawTracked(pen, tracked, axis, colours) {
  const frames = Object.keys(tracked).map(Number).sort((a, b) => a - b);
  if (!frames.length) return;
  pen.strokeStyle = colours.draft;
  pen.lineWidth = 2;
  pen.setLineDash([4, 3]);
  const left = axis.x(frames[0]);
  pen.strokeRect(left, 4, axis.x(frames[frames.length - 1] + axis.step) - left, 14);
  pen.setLineDash([]);
}

function drawDiamond(pen, x, colours) {
  pen.beginPath();
  for (const [dx, dy] of [[0, -6], [6, 0], [0, 6], [-6, 0]]) pen.lineTo(x + dx, 11 + dy);
  pen.closePath();
  pen.fillStyle = colours.text;
  pen.fill();
  pen.strokeStyle = colours.panel;
  pen.lineWidth = 1.5;
  pen.stroke();
}

function drawRing(pen, x, colour) {
  pen.beginPath();
  pen.arc(x, 11, 5, 0, 2 * Math.PI);
  pen.fillStyle = "#000000";
  pen.fill();
  pen.strokeStyle = colour;
  pen.lineWidth = 2.5;
  pen.stroke();
}

function swatch(colour) {
  const made = el("i", { class: "swatch", "aria-hidden": "true" });
  made.style.background = colour;
  return made;
}

function legend() {
  const entry = (kind, text) => el("span", {}, el("i", { class: `key ${kind}`, "aria-hidden": "true" }), text);
  return el("p", { class: "legend" }, entry("bar", "visible"), entry("hatched", "flagged"), entry("diamond", "prompt"),
    entry("ring", "correction"), entry("dot", "correct first (G)"), entry("dashed", "not saved yet"), entry("cut", "cut"));
}

function spoken(spans) {
  if (!spans.length) return "no frame";
  return `frames ${spans.slice(0, 5).map(([start, end]) => `${start} to ${end - 1}`).join(", ")}`;
}
