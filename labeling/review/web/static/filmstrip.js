// The filmstrip: small frames side by side over the axis, each with its mask, so that a jump is seen at a glance.

import { el, fitCanvas, themeColours } from "./dom.js";
import { nearest } from "./player.js";

const HEIGHT = 54;
const GAP = 2;
// Where a verdict alone is asked for, the filmstrip is most of what it is given by: a sheet that is read line by line.
const LINES = 3;

/** Draws from its own cache of small frames. */
export class Filmstrip {
  #item = null;
  #axis = null;
  #lines = 1;

  constructor() {
    this.canvas = el("canvas", { class: "film" });
    this.root = el("div", { class: "film-row", "aria-hidden": "true" }, this.canvas);
  }

  get height() { return this.#lines * (HEIGHT + GAP) - GAP; }
  /** Whether it is a sheet of several lines, which do not lie over the axis of frames. */
  get isSheet() { return this.#lines > 1; }

  open(video, { cache, maskOf, colour, sheet = false }) {
    this.#item = { video, cache, maskOf, colour };
    this.#lines = sheet ? LINES : 1;
    this.root.style.height = `${this.height}px`;
    cache.onload = () => this.#axis && this.draw(this.#axis);
  }

  close() {
    this.#item?.cache.close();
    this.#item = null;
    fitCanvas(this.canvas, 1, this.height);
  }

  /** The cells, line by line: where each lies and the tracked frame in its middle. */
  #cells(axis) {
    const { video } = this.#item;
    const { frames } = video;
    const wide = (HEIGHT * video.width) / video.height;
    const each = Math.max(1, Math.min(Math.ceil(frames.length / this.#lines), Math.round(axis.width / (wide + GAP))));
    const cell = axis.width / each;
    const count = Math.min(frames.length, each * this.#lines);
    return Array.from({ length: count }, (_, i) => {
      const [line, column] = [Math.floor(i / each), i % each];
      const left = axis.left + column * cell;
      const at = this.isSheet ? Math.floor(((i + 0.5) * frames.length) / count)
        : nearest(frames, Math.round(axis.frameAt(left + cell / 2)));
      return { left, top: line * (HEIGHT + GAP), width: cell - GAP, frameIdx: frames[at] };
    });
  }

  /** The frame of the cell at a point of a sheet, or null beside all cells. */
  frameAt(x, y) {
    if (!this.#axis || !this.#item) return null;
    const cells = this.#cells(this.#axis);
    const hit = cells.find((c) => x >= c.left && x < c.left + c.width + GAP && y >= c.top && y < c.top + HEIGHT + GAP);
    return hit?.frameIdx ?? null;
  }

  /** Draws anew; in a sheet the cell nearest to `frameIdx` is framed. */
  draw(axis, frameIdx = this.shown ?? null) {
    if (!this.#item) return;
    this.#axis = axis;
    this.shown = frameIdx;
    const pen = fitCanvas(this.canvas, axis.left + axis.width, this.height);
    const cells = this.#cells(axis);
    this.#item.cache.want(cells.map((cell) => cell.frameIdx));
    for (const cell of cells) this.#drawCell(pen, cell);
    if (this.isSheet && frameIdx !== null) this.#frame(pen, cells[nearest(cells.map((cell) => cell.frameIdx), frameIdx)]);
  }

  #frame(pen, { left, top, width }) {
    pen.strokeStyle = themeColours().text;
    pen.lineWidth = 3;
    pen.strokeRect(left + 1.5, top + 1.5, width - 3, HEIGHT - 3);
  }

  #drawCell(pen, { left, top, width, frameIdx }) {
    const { video, cache, maskOf, colour } = this.#item;
    const picture = cache.get(frameIdx);
    // The cell is filled; what does not fit is cut off at both ends alike.
    const scale = Math.max(width / video.width, HEIGHT / video.height);
    const [w, h] = [video.width * scale, video.height * scale];
    pen.save();
    pen.beginPath();
    pen.rect(left, top, width, HEIGHT);
    pen.clip();
    pen.fillStyle = "rgba(128, 128, 128, 0.2)";
    pen.fillRect(left, top, width, HEIGHT);
    pen.translate(left + (width - w) / 2, top + (HEIGHT - h) / 2);
    if (picture) pen.drawImage(picture, 0, 0, w, h);
    pen.scale(scale, scale);
    const path = picture && maskOf(frameIdx);
    if (path) this.#tint(pen, path, colour, scale);
    pen.restore();
  }

  #tint(pen, path, colour, scale) {
    pen.fillStyle = pen.strokeStyle = colour;
    pen.globalAlpha = 0.45;
    pen.fill(path, "evenodd");
    pen.globalAlpha = 1;
    pen.lineWidth = 1.25 / scale;
    pen.stroke(path);
  }
}
