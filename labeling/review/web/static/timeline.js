// The timeline: filmstrip, score strip and lanes over one axis of frames, a playhead through all, click or drag to seek.

import { el, oncePerPicture, short, themeColours } from "./dom.js";
import { Filmstrip } from "./filmstrip.js";
import { Lanes } from "./lanes.js";
import { drawStrip, stripHeight } from "./strip.js";

const GUTTER = 120;
const RIGHT = 12;
const NO_WORK = Object.freeze({ corrected: [], tracked: null, limits: null });

/** Frames along the x axis; every frame is a cell of the same width. */
export class Axis {
  constructor(frames, width) {
    this.first = frames[0] ?? 0;
    const gaps = frames.slice(1).map((frame, i) => frame - frames[i]);
    this.step = gaps.length ? Math.min(...gaps.slice(0, 50)) : 1;
    this.end = (frames[frames.length - 1] ?? 0) + this.step;
    this.left = GUTTER;
    this.width = Math.max(1, width - GUTTER - RIGHT);
    this.perFrame = this.width / (this.end - this.first);
  }

  x(frameIdx) { return this.left + (Math.max(this.first, Math.min(this.end, frameIdx)) - this.first) * this.perFrame; }
  middle(frameIdx) { return this.x(frameIdx) + (this.step * this.perFrame) / 2; }
  frameAt(x) { return this.first + (x - this.left) / this.perFrame - this.step / 2; }
}

/** Tells "seek" {frameIdx}. */
export class Timeline extends EventTarget {
  #detail = null;
  #extra = NO_WORK;

  constructor(root) {
    super();
    this.root = root;
    this.#build();
    this.redraw = oncePerPicture(() => this.#draw());
    new ResizeObserver(this.redraw).observe(root);
    this.#listen();
  }

  #build() {
    this.film = new Filmstrip();
    this.strip = el("canvas", { class: "strip" });
    this.slider = el("div", { class: "strip-row", role: "slider", tabindex: "0", "aria-label": "Frame",
      "aria-valuemin": 0, "aria-valuemax": 0, "aria-valuenow": 0 }, this.strip);
    this.lanes = new Lanes();
    this.head = el("div", { class: "playhead", "aria-hidden": "true" });
    this.body = el("div", { class: "timeline-body" }, this.film.root, this.slider, this.lanes.root, this.head);
    this.root.append(this.body);
  }

  /** Shows an item; the filmstrip draws itself with `pictureOf`. */
  open(detail, { film, maskOf, colour }) {
    this.#detail = detail;
    this.#extra = NO_WORK;
    this.film.open(detail.video, { cache: film, maskOf, colour, sheet: detail.item.blind });
    this.slider.classList.toggle("bare", detail.item.blind);
    this.head.classList.toggle("below-sheet", detail.item.blind);
    this.lanes.open(detail);
    this.slider.setAttribute("aria-valuemin", detail.video.frames[0] ?? 0);
    this.slider.setAttribute("aria-valuemax", detail.video.frames.at(-1) ?? 0);
    this.redraw();
  }

  close() {
    this.#detail = null;
    this.film.close();
    this.lanes.close();
    this.redraw();
  }

  /** What the correction in the making holds: frames with clicks, frames tracked from them, the span that may change. */
  showWork({ corrected, tracked, limits }) {
    this.#extra = { corrected, tracked, limits };
    this.redraw();
  }

  /** Moves the playhead; `at` is the position in the list of frames. */
  moveTo(frameIdx, at) {
    this.at = at;
    this.frameIdx = frameIdx;
    if (!this.axis || !this.#detail) return;
    if (this.film.isSheet) this.film.draw(this.axis, frameIdx);
    this.head.style.transform = `translateX(${this.axis.middle(frameIdx)}px)`;
    this.slider.setAttribute("aria-valuenow", frameIdx);
    this.slider.setAttribute("aria-valuetext", this.#spoken(frameIdx, at));
    this.#drawStrip();
  }

  #spoken(frameIdx, at) {
    const { scores, item } = this.#detail;
    if (item.blind) return `frame ${frameIdx}`;
    const say = (name, values) => `${name} ${short(values?.[at])}`;
    return [`frame ${frameIdx}`, say("predicted IoU", scores.predicted_iou), say("object score", scores.object_score),
      say("area", scores.area)].join(", ");
  }

  #draw() {
    const width = this.body.clientWidth;
    this.head.hidden = !this.#detail;
    if (!this.#detail || !width) return;
    this.axis = new Axis(this.#detail.video.frames, width);
    this.film.draw(this.axis);
    this.lanes.draw(this.axis, this.#extra, themeColours());
    this.#drawStrip();
    this.moveTo(this.frameIdx ?? this.axis.first, this.at ?? 0);
  }

  #drawStrip() {
    if (!this.#detail) return;
    const width = this.body.clientWidth;
    drawStrip(this.strip, { detail: this.#detail, axis: this.axis, width, height: stripHeight(this.#detail.item.blind), at: this.at ?? 0,
      tracked: this.#extra.tracked, colours: themeColours() });
  }

  #listen() {
    let dragging = false;
    const seek = (event) => {
      const { left, top } = this.body.getBoundingClientRect();
      const [x, y] = [event.clientX - left, event.clientY - top];
      const frameIdx = this.film.isSheet && y < this.film.height ? this.film.frameAt(x, y) : this.axis.frameAt(x);
      if (frameIdx === null) return;
      this.dispatchEvent(new CustomEvent("seek", { detail: { frameIdx } }));
    };
    this.body.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !this.#detail || !this.axis) return;
      if (event.clientX - this.body.getBoundingClientRect().left < GUTTER) return;
      dragging = true;
      this.body.setPointerCapture(event.pointerId);
      seek(event);
    });
    this.body.addEventListener("pointermove", (event) => dragging && seek(event));
    for (const name of ["pointerup", "pointercancel"]) this.body.addEventListener(name, () => { dragging = false; });
  }
}
