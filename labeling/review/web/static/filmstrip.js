// The filmstrip: small frames side by side over the axis, each with its mask, so that a jump is seen at a glance.

import { el, fitCanvas } from "./dom.js";
import { nearest } from "./player.js";

const HEIGHT = 54;
// Where the filmstrip is most of what a verdict is given by.
const LARGE = 108;
const GAP = 2;

/** Draws from its own cache of small frames. */
export class Filmstrip {
  #item = null;
  #axis = null;
  height = HEIGHT;

  constructor() {
    this.canvas = el("canvas", { class: "film" });
    this.root = el("div", { class: "film-row", "aria-hidden": "true" }, this.canvas);
  }

  open(video, { cache, maskOf, colour, large = false }) {
    this.#item = { video, cache, maskOf, colour };
    this.height = large ? LARGE : HEIGHT;
    this.root.style.height = `${this.height}px`;
    cache.onload = () => this.#axis && this.draw(this.#axis);
  }

  close() {
    this.#item?.cache.close();
    this.#item = null;
    fitCanvas(this.canvas, 1, this.height);
  }

  /** The cells: where each lies and the tracked frame in its middle. */
  #cells(axis) {
    const { video } = this.#item;
    const wide = (this.height * video.width) / video.height;
    const count = Math.max(1, Math.min(video.frames.length, Math.round(axis.width / (wide + GAP))));
    const cell = axis.width / count;
    return Array.from({ length: count }, (_, i) => {
      const left = axis.left + i * cell;
      const frameIdx = video.frames[nearest(video.frames, Math.round(axis.frameAt(left + cell / 2)))];
      return { left, width: cell - GAP, frameIdx };
    });
  }

  draw(axis) {
    if (!this.#item) return;
    this.#axis = axis;
    const pen = fitCanvas(this.canvas, axis.left + axis.width, this.height);
    const cells = this.#cells(axis);
    this.#item.cache.want(cells.map((cell) => cell.frameIdx));
    for (const cell of cells) this.#drawCell(pen, cell);
  }

  #drawCell(pen, { left, width, frameIdx }) {
    const { video, cache, maskOf, colour } = this.#item;
    const picture = cache.get(frameIdx);
    // The cell is filled; what does not fit is cut off at both ends alike.
    const scale = Math.max(width / video.width, this.height / video.height);
    const [w, h] = [video.width * scale, video.height * scale];
    pen.save();
    pen.beginPath();
    pen.rect(left, 0, width, this.height);
    pen.clip();
    pen.fillStyle = "rgba(128, 128, 128, 0.2)";
    pen.fillRect(left, 0, width, this.height);
    pen.translate(left + (width - w) / 2, (this.height - h) / 2);
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
