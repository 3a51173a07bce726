// A correction in the making: clicks, boxes and absences by frame, with undo and redo; it draws and sends nothing.

const NOTHING = Object.freeze({});
const EVERYWHERE = Object.freeze({ kind: "both", from: null, to: null });

/**
 * Tells "change" whenever what is held differs. Frames keep {points: [[x, y, label]], box, absent}. `reach` says which frames
 * the correction may change: {kind: "both" | "forward" | "backward" | "span", from, to}, the last two for a span, inclusive.
 */
export class Editor extends EventTarget {
  #frames = NOTHING;
  #past = [];
  #future = [];
  #masks = new Map();
  #tracked = new Map();
  clicks = 0;
  #reach = EVERYWHERE;

  constructor() {
    super();
    this.size = [1, 1];
  }

  /** Starts over for an item of that size [height, width]. */
  reset(size) {
    this.size = size;
    [this.#past, this.#future, this.clicks] = [[], [], 0];
    this.#masks.clear();
    this.#tracked.clear();
    [this.#frames, this.#reach] = [NOTHING, EVERYWHERE];
    this.#changed();
  }

  get reach() { return this.#reach; }
  set reach(reach) {
    this.#reach = Object.freeze({ ...this.#reach, ...reach });
    this.#changed();
  }

  /** The half-open span of frames that may change, around every corrected frame; null for all. `frames` are the item's. */
  limits(frames) {
    const { kind, from, to } = this.#reach;
    if (kind === "both" || this.isEmpty) return null;
    const corrected = this.frameIdxs;
    const [first, last] = [corrected[0], corrected[corrected.length - 1]];
    const start = { forward: first, backward: frames[0], span: Math.min(first, from ?? first) }[kind];
    const end = { forward: frames[frames.length - 1], backward: last, span: Math.max(last, to ?? last) }[kind];
    return [start, end + 1];
  }

  get isEmpty() { return Object.keys(this.#frames).length === 0; }
  get canUndo() { return this.#past.length > 0; }
  get canRedo() { return this.#future.length > 0; }
  get frameIdxs() { return Object.keys(this.#frames).map(Number).sort((a, b) => a - b); }
  at(frameIdx) { return this.#frames[frameIdx] ?? null; }

  addPoint(frameIdx, x, y, label) {
    const [height, width] = this.size;
    if (x < 0 || y < 0 || x >= width || y >= height) return;
    const held = this.at(frameIdx);
    this.clicks += 1;
    this.#put(frameIdx, { points: [...(held?.points ?? []), [x, y, label]], box: held?.box ?? null, absent: false });
  }

  /** Sets the box [x0, y0, x1, y1], cut to the frame; one without area is ignored. */
  setBox(frameIdx, [x0, y0, x1, y1]) {
    const [height, width] = this.size;
    const box = [Math.max(0, Math.min(x0, x1)), Math.max(0, Math.min(y0, y1)),
      Math.min(width, Math.max(x0, x1)), Math.min(height, Math.max(y0, y1))].map(tenth);
    if (box[2] - box[0] < 1 || box[3] - box[1] < 1) return;
    this.clicks += 1;
    this.#put(frameIdx, { points: this.at(frameIdx)?.points ?? [], box, absent: false });
  }

  /** Says that the object is not on this frame, or takes that back. */
  toggleAbsent(frameIdx) {
    this.clicks += 1;
    if (this.at(frameIdx)?.absent) return this.clear(frameIdx);
    return this.#put(frameIdx, { points: [], box: null, absent: true });
  }

  clear(frameIdx) {
    if (!this.at(frameIdx)) return;
    const rest = { ...this.#frames };
    delete rest[frameIdx];
    this.#replace(rest);
  }

  undo() { return this.#shift(this.#past, this.#future); }
  redo() { return this.#shift(this.#future, this.#past); }

  /** The name of what is on a frame: two equal ones have the same preview. */
  signature(frameIdx) {
    const held = this.at(frameIdx);
    return held && !held.absent ? JSON.stringify([frameIdx, held.points, held.box]) : "";
  }

  /** The preview that came for a frame as it stands: {mask, predicted_iou, object_score, milliseconds}, or null. */
  preview(frameIdx) { return this.#masks.get(this.signature(frameIdx)) ?? null; }

  keepPreview(signature, preview) {
    this.#masks.set(signature, preview);
    this.#changed();
  }

  /** The frames that a propagation of this very correction gave, or null: {"12": {mask, ...}}. */
  get tracked() { return this.#tracked.get(this.name) ?? null; }

  keepTracked(name, frames) {
    this.#tracked.set(name, frames);
    this.#changed();
  }

  get name() { return JSON.stringify([this.#frames, this.#reach]); }

  /** The frames that still lack a preview. */
  get unseen() { return this.frameIdxs.filter((i) => !this.at(i).absent && !this.preview(i)); }

  /** What a decision or a propagation sends; `frames` are the item's. */
  corrections(frames) {
    const span = this.limits(frames);
    return this.frameIdxs.map((frameIdx) => {
      const { points, box, absent } = this.at(frameIdx);
      // "Absent" stands alone: the server knows the empty mask that it means.
      return { frame_idx: frameIdx, points, box, mask: absent ? null : (this.preview(frameIdx)?.mask ?? null), absent,
        span };
    });
  }

  /** What a draft keeps, and how it comes back; a draft of another shape is refused with false. */
  toDraft() { return { frames: this.#frames, clicks: this.clicks, reach: this.#reach }; }

  restore(draft) {
    const frames = draft?.frames;
    const sound = frames && Object.values(frames).every((f) => Array.isArray(f?.points));
    if (!sound || !Object.keys(frames).length) return false;
    this.clicks = draft.clicks ?? 0;
    this.#reach = Object.freeze({ ...EVERYWHERE, ...draft.reach });
    this.#replace(frames);
    return true;
  }

  #put(frameIdx, held) {
    const points = held.points.map(([x, y, label]) => [tenth(x), tenth(y), label]);
    this.#replace({ ...this.#frames, [frameIdx]: { ...held, points } });
  }

  #replace(frames) {
    this.#past.push(this.#frames);
    [this.#frames, this.#future] = [frames, []];
    this.#changed();
  }

  #shift(from, to) {
    if (!from.length) return false;
    to.push(this.#frames);
    this.#frames = from.pop();
    this.#changed();
    return true;
  }

  #changed() { this.dispatchEvent(new Event("change")); }
}

function tenth(value) {
  return Math.round(value * 10) / 10;
}
