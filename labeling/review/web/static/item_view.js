// The item in view: frame, mask, timeline and correction kept in step with the playhead.

import { byId, short } from "./dom.js";
import { around } from "./frames.js";
import { colourOf, previewColour } from "./marks.js";
import { Outlines } from "./masks.js";
import { nearest } from "./player.js";
import { boxOf } from "./rle.js";

const CURSOR_PX = 8;

/** Shows a bundle of `loadItem`; tells "work" when the correction in the making changed. */
export class ItemView extends EventTarget {
  bundle = null;
  #outlines = new Outlines();
  #shownFrame = null;

  constructor({ player, stage, timeline, editor, previews, transport, report }) {
    super();
    Object.assign(this, { player, stage, timeline, editor, previews, transport, report, hud: byId("hud") });
    player.ready = (at) => this.bundle?.frames.has(player.frames[at]) ?? true;
    player.addEventListener("move", () => this.#moved());
    player.addEventListener("play", () => transport.showPlaying(player.playing));
    stage.addEventListener("point", ({ detail: { x, y, label } }) => {
      this.#edit(() => editor.addPoint(this.frameIdx, x, y, label));
    });
    stage.addEventListener("box", ({ detail: { box } }) => this.#edit(() => editor.setBox(this.frameIdx, box)));
    timeline.addEventListener("seek", ({ detail: { frameIdx } }) => this.seek(frameIdx));
    editor.addEventListener("change", () => this.#worked());
  }

  get frameIdx() { return this.player.frameIdx; }
  get detail() { return this.bundle?.detail ?? null; }
  get editing() { return this.stage.editing; }
  /** Whether a verdict alone is asked for. */
  get blind() { return Boolean(this.detail?.item.blind); }

  /** Shows an item. */
  open(bundle) {
    this.bundle = bundle;
    const { detail, frames, film, masks, others, start } = bundle;
    const { video } = detail;
    this.colour = colourOf(detail.item.track_id);
    this.setEditing(false);
    this.stage.open(video);
    this.#shownFrame = null;
    frames.onload = masks.onload = others.onload = () => this.#show();
    frames.onerror = masks.onerror = others.onerror = (error) => this.report(error);
    this.editor.reset([video.height, video.width]);
    this.timeline.open(detail, { film, colour: this.colour, maskOf: (frameIdx) => masks.path(frameIdx) });
    this.player.open(video.frames, video.pts_seconds, video.frame_rate, start);
    masks.fetchFrom(start).then(() => this.timeline.redraw());
  }

  close() {
    this.player.pause();
    this.previews.close();
    this.bundle = null;
    this.setEditing(false);
    this.stage.show(null);
    this.hud.hidden = true;
    this.timeline.close();
    this.player.open([], [], 1);
    this.transport.showPosition(this.player);
  }

  seek(frameIdx) {
    this.player.pause();
    this.player.seekFrame(frameIdx);
  }

  setEditing(on) {
    if (on) this.player.pause();
    this.stage.editing = on;
    this.stage.root.classList.toggle("editing", on);
    this.stage.redraw();
    this.dispatchEvent(new Event("work"));
  }

  /** Shows the other objects of the video faintly, or not. */
  showOthers(on) {
    this.stage.othersOn = on;
    this.#show();
  }

  /** The crosshair moves by some pixels of the screen; it starts in the middle of the mask. */
  moveCursor(dx, dy) {
    if (!this.editing) this.setEditing(true);
    const px = CURSOR_PX / this.stage.view.scale;
    this.stage.moveCursor(dx * px, dy * px, this.#middle());
    return this.stage.cursor;
  }

  /** Clicks at the crosshair. */
  clickAtCursor(label) {
    if (!this.editing) this.setEditing(true);
    if (!this.stage.cursor) this.moveCursor(0, 0);
    this.editor.addPoint(this.frameIdx, ...this.stage.cursor, label);
  }

  #middle() {
    const { width, height } = this.detail.video;
    const rle = this.#workMask()?.mask ?? this.bundle.masks.rle(this.frameIdx);
    const [x0, y0, x1, y1] = (rle && boxOf(rle)) ?? [0, 0, width, height];
    return [(x0 + x1) / 2, (y0 + y1) / 2];
  }

  #edit(work) {
    if (this.bundle && this.#shownFrame === this.frameIdx) work();
  }

  #worked() {
    if (this.bundle) {
      const { editor } = this;
      const limits = editor.limits(this.player.frames);
      this.timeline.showWork({ corrected: editor.frameIdxs, tracked: editor.tracked, limits });
      this.#show();
    }
    this.dispatchEvent(new Event("work"));
  }

  #moved() {
    const { player, bundle } = this;
    if (!bundle || player.frameIdx === null) return;
    bundle.frames.want(around(player.frames, player.at, { forward: player.forward }));
    this.timeline.moveTo(player.frameIdx, player.at);
    this.transport.showPosition(player);
    this.#show();
    this.dispatchEvent(new Event("work"));
  }

  /** What is not stored on this frame: the preview of its clicks, or else what was tracked from others. */
  #workMask() {
    return this.editor.preview(this.frameIdx) ?? this.editor.tracked?.[this.frameIdx] ?? null;
  }

  /** Draws frame and mask together; while a frame is on its way the one before stays whole. */
  #show() {
    const { bundle, frameIdx } = this;
    const picture = bundle?.frames.get(frameIdx);
    this.stage.root.classList.toggle("waiting", Boolean(bundle) && !picture);
    if (!picture) return this.#say(bundle?.frames.lacks(frameIdx) ? `frame ${frameIdx} could not be read` : null);
    this.#shownFrame = frameIdx;
    const held = this.editor.at(frameIdx);
    this.stage.show({
      picture, held, colour: this.colour, previewColour: previewColour(this.detail.item.track_id),
      others: this.stage.othersOn ? bundle.others.on(frameIdx, this.player.at) : [],
      tracked: bundle.masks.path(frameIdx), preview: held?.absent ? null : this.#outlines.of(this.#workMask()?.mask),
    });
    return this.#say(this.#numbers(held));
  }

  #numbers(held) {
    const { scores, item } = this.detail;
    if (item.blind) return [`frame ${this.frameIdx}`, this.#shape()].join("   ");
    const work = this.#workMask();
    const score = (name) => short((work ?? {})[name] ?? scores[name]?.[this.player.at]);
    const state = held?.absent ? "marked absent" : work ? "not saved yet" : this.#stored();
    return [`frame ${this.frameIdx}`, `IoU ${score("predicted_iou")}`, `score ${score("object_score")}`, state].join("   ");
  }

  #stored() {
    const { masks } = this.bundle;
    if (!masks.has(this.frameIdx)) return "mask on its way";
    const area = this.detail.scores.area?.[this.player.at] ?? 0;
    return area > 0 ? `${short(area)} px` : "no mask here";
  }

  /** Of an item that waits for a verdict alone: whether there is a mask, and no number of it. */
  #shape() {
    const { masks } = this.bundle;
    if (!masks.has(this.frameIdx)) return "mask on its way";
    return boxOf(masks.rle(this.frameIdx)) ? "mask" : "no mask here";
  }

  #say(text) {
    this.hud.hidden = !text;
    if (text) this.hud.textContent = text;
  }

  /** Whether the tracker had a mask on a frame. */
  hasMask(frameIdx) {
    const { frames } = this.detail.video;
    const at = nearest(frames, frameIdx);
    return frames[at] === frameIdx && (this.detail.scores.area?.[at] ?? 0) > 0;
  }
}
