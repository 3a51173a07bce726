// Asks the server what a correction in the making would give: the mask of one frame, or a tracked span.

const WAIT_MS = 60;

/** Keeps the editor's previews up to date; `report` hears of what is under way and what failed. */
export class Previews {
  #timer = 0;
  #stop = null;
  #under = new Map();
  #refused = new Map();

  constructor({ api, editor, report }) {
    Object.assign(this, { api, editor, report, held: null, length: 60 });
    editor.addEventListener("change", () => this.#later());
  }

  /** Starts over with the item in hand: {itemId, token, frames, hasMask}. */
  open(held) {
    this.close();
    this.held = held;
  }

  close() {
    clearTimeout(this.#timer);
    this.#stop?.abort();
    this.#stop = null;
    this.#under.clear();
    this.#refused.clear();
    this.held = null;
  }

  get busy() { return this.#under.size > 0 || this.#stop !== null; }
  get propagating() { return this.#stop !== null; }

  #later() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.previewAll().catch(this.report.failed), WAIT_MS);
  }

  /** Why the clicks on a frame have no preview, or null. */
  refusal(frameIdx) { return this.#refused.get(this.editor.signature(frameIdx)) ?? null; }

  /** Asks for every preview that is missing; what was refused is asked again only with `again`. */
  async previewAll({ again = false } = {}) {
    if (!this.held) return;
    if (again) this.#refused.clear();
    const missing = this.editor.unseen.filter((frameIdx) => !this.refusal(frameIdx));
    await Promise.all(missing.map((frameIdx) => this.#previewOf(frameIdx)));
  }

  #previewOf(frameIdx) {
    const signature = this.editor.signature(frameIdx);
    if (!this.#under.has(signature)) {
      const asked = this.#ask(frameIdx, signature).finally(() => {
        this.#under.delete(signature);
        this.report.changed();
      });
      this.#under.set(signature, asked);
      this.report.changed();
    }
    return this.#under.get(signature);
  }

  async #ask(frameIdx, signature) {
    const { held } = this;
    const { points, box } = this.editor.at(frameIdx);
    // A box draws the object anew; clicks alone mend the mask that was tracked.
    const from_mask = box === null && held.hasMask(frameIdx);
    try {
      const body = { token: held.token, frame_idx: frameIdx, points, box, from_mask };
      const preview = await this.api.preview(held.itemId, body);
      if (this.held === held) this.editor.keepPreview(signature, preview);
    } catch (error) {
      if (this.held !== held) return;
      this.#refused.set(signature, error);
      throw error;
    }
  }

  /** Tracks a short span from the corrections and shows it; nothing is stored. Returns {count, complete}, or null. */
  async propagate() {
    const { held, editor } = this;
    if (!held || editor.isEmpty || this.#stop) return null;
    this.#stop = new AbortController();
    this.report.changed();
    try {
      await this.previewAll({ again: true });
      const body = { token: held.token, corrections: editor.corrections(held.frames), direction: this.direction,
        span: this.span() };
      const [name, answer] = [editor.name, await this.api.propagate(held.itemId, body, this.#stop.signal)];
      if (this.held !== held) return null;
      editor.keepTracked(name, answer.frames);
      return { count: Object.keys(answer.frames).length, complete: answer.complete !== false };
    } finally {
      if (this.held === held) this.#stop = null;
      this.report.changed();
    }
  }

  get direction() {
    const { kind } = this.editor.reach;
    return kind === "span" ? "both" : kind;
  }

  /** The half-open frame span to preview: `length` tracked frames, around the corrections or to one side. */
  span() {
    const { frames } = this.held;
    const [first, last] = this.#ends();
    const spare = Math.max(0, Math.min(this.length, 120) - 1 - (last - first));
    const before = { forward: 0, backward: spare, both: Math.floor(spare / 2) }[this.direction];
    const start = Math.max(0, first - before);
    const end = Math.min(frames.length - 1, last + (spare - before));
    const limits = this.editor.limits(frames) ?? [0, Infinity];
    return [Math.max(limits[0], frames[start]), Math.min(limits[1], frames[end] + 1)];
  }

  /** The positions of the first and the last corrected frame. */
  #ends() {
    const { frames } = this.held;
    const corrected = this.editor.frameIdxs;
    return [indexOf(frames, corrected[0]), indexOf(frames, corrected[corrected.length - 1])];
  }
}

function indexOf(frames, frameIdx) {
  const at = frames.findIndex((frame) => frame >= frameIdx);
  return at < 0 ? frames.length - 1 : at;
}
