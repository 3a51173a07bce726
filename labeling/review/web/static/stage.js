// The frame with its mask: drawn on a canvas, zoomed and panned, and clicked on while a correction is made.

import { fitCanvas, oncePerPicture } from "./dom.js";
import { drawMarks, drawMask, drawOther } from "./marks.js";
import { View } from "./view.js";

const DRAG_PX = 4;

/** Tells "point" {x, y, label}, "box" {box} and "hover" {at} in pixels of the video, and "resized". */
export class Stage extends EventTarget {
  view = new View();
  editing = false;
  maskOn = true;
  othersOn = true;
  /** Whether a plain click marks what does not belong to the object, as with Alt. */
  marksBeside = false;
  opacity = 0.45;
  /** Where the keyboard's crosshair is, or null. */
  cursor = null;

  #shown = null;
  #drag = null;
  #video = { width: 1, height: 1 };

  constructor(root, canvas) {
    super();
    Object.assign(this, { root, canvas });
    this.redraw = oncePerPicture(() => this.#draw());
    new ResizeObserver(() => this.#resize()).observe(root);
    this.#listen();
  }

  get width() { return this.root.clientWidth; }

  open(video) {
    this.#video = video;
    this.cursor = null;
    this.view.open(video);
    this.show(null);
  }

  /** What to draw: {picture, others, tracked, preview, colour, previewColour, held}, paths in pixels of the video, or null. */
  show(shown) {
    this.#shown = shown;
    this.redraw();
  }

  fit() { this.view.fit(); this.redraw(); }
  zoomBy(factor, at) { this.view.zoomBy(factor, at); this.redraw(); }

  /** Moves the crosshair, which starts where `start` says, by pixels of the video. */
  moveCursor(dx, dy, start) {
    const [x, y] = this.cursor ?? start;
    const inside = (value, size) => Math.max(0, Math.min(size - 1, value));
    this.cursor = [inside(x + dx, this.#video.width), inside(y + dy, this.#video.height)];
    this.redraw();
  }

  #resize() {
    this.view.resize(this.root.clientWidth, this.root.clientHeight);
    this.redraw();
    this.dispatchEvent(new Event("resized"));
  }

  #draw() {
    const pen = fitCanvas(this.canvas, this.root.clientWidth, this.root.clientHeight);
    if (!this.#shown?.picture) return;
    const { scale, left, top } = this.view;
    const { width, height } = this.#video;
    pen.imageSmoothingEnabled = scale < 4;
    pen.drawImage(this.#shown.picture, left, top, width * scale, height * scale);
    pen.save();
    pen.translate(left, top);
    pen.scale(scale, scale);
    for (const other of this.#shown.others ?? []) drawOther(pen, other, scale);
    if (this.maskOn) this.#drawMasks(pen, scale);
    drawMarks(pen, { scale, held: this.#shown.held, drag: this.#dragBox(), cursor: this.editing ? this.cursor : null });
    pen.restore();
  }

  #drawMasks(pen, scale) {
    const { tracked, preview, colour, previewColour } = this.#shown;
    const faint = preview ? 0 : this.opacity;
    if (tracked) drawMask(pen, tracked, { colour, scale, opacity: faint, thin: Boolean(preview) });
    if (preview) drawMask(pen, preview, { colour: previewColour, scale, opacity: this.opacity, dashed: true });
  }

  #listen() {
    const { root } = this;
    root.addEventListener("pointerdown", (event) => this.#down(event));
    root.addEventListener("pointermove", (event) => this.#move(event));
    root.addEventListener("pointerup", (event) => this.#up(event));
    root.addEventListener("pointercancel", () => { this.#drag = null; this.redraw(); });
    root.addEventListener("contextmenu", (event) => this.editing && event.preventDefault());
    root.addEventListener("dblclick", () => this.editing || this.fit());
    root.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY * 0.0015), this.#at(event));
    }, { passive: false });
  }

  #at(event) {
    const { left, top } = this.root.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  #down(event) {
    if (event.target !== this.canvas || !this.#shown) return;
    this.root.focus({ preventScroll: true });
    event.preventDefault();
    this.root.setPointerCapture(event.pointerId);
    const pans = !this.editing || event.button === 1 || event.shiftKey;
    this.#drag = { pans, button: event.button, start: this.#at(event), last: this.#at(event), moved: false };
  }

  #move(event) {
    const at = this.#at(event);
    if (!this.#drag) return;
    const drag = this.#drag;
    drag.moved ||= Math.hypot(at[0] - drag.start[0], at[1] - drag.start[1]) > DRAG_PX;
    if (drag.pans && drag.moved) this.view.pan(at[0] - drag.last[0], at[1] - drag.last[1]);
    drag.last = at;
    this.redraw();
  }

  #up(event) {
    const drag = this.#drag;
    this.#drag = null;
    this.redraw();
    if (!drag || drag.pans || !this.editing) return;
    if (drag.moved && drag.button === 0) this.#tell("box", { box: this.#boxOf(drag) });
    else if (drag.button !== 1) this.#point(drag.start, drag.button === 2 || event.altKey || this.marksBeside ? 0 : 1);
  }

  #point(at, label) {
    const [x, y] = this.view.toVideo(at);
    this.cursor = null;
    this.#tell("point", { x, y, label });
  }

  #dragBox() {
    const drag = this.#drag;
    return drag && !drag.pans && drag.moved && drag.button === 0 ? this.#boxOf(drag) : null;
  }

  #boxOf({ start, last }) {
    return [...this.view.toVideo(start), ...this.view.toVideo(last)];
  }

  #tell(name, detail) { this.dispatchEvent(new CustomEvent(name, { detail })); }
}
