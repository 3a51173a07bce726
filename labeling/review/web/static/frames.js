// Decoded frames of one item: those around the playhead are fetched ahead, the least recently seen go first.

const AT_ONCE = 6;
const BUDGET_BYTES = 320 * 2 ** 20;
// Those that the server makes ahead.
const WIDTHS = [320, 480, 640, 960, 1280, 1920, 2560, 3840];

/** The width to ask for, so that a frame is sharp in a box of `cssWidth` pixels: one of a few, so that caches serve it. */
export function widthFor(cssWidth) {
  const wanted = cssWidth * Math.min(2, window.devicePixelRatio || 1);
  return WIDTHS.find((width) => width >= wanted) ?? WIDTHS[WIDTHS.length - 1];
}

/** Frames of one width; `onload(frameIdx)` tells of each that has come, `onerror(error)` of one that did not. */
export class FrameCache {
  #kept = new Map();
  #wanted = [];
  #loading = new Map();
  #failed = new Map();
  onload = () => {};
  onerror = () => {};

  constructor(api, itemId, video, width) {
    Object.assign(this, { api, itemId, width });
    const bytes = width * Math.ceil((width * video.height) / video.width) * 4;
    this.most = Math.max(24, Math.min(600, Math.floor(BUDGET_BYTES / bytes)));
  }

  /** The frame as a picture, or null while it is not here. */
  get(frameIdx) {
    const found = this.#kept.get(frameIdx) ?? null;
    if (found) {
      this.#kept.delete(frameIdx);
      this.#kept.set(frameIdx, found);
    }
    return found;
  }

  has(frameIdx) { return this.#kept.has(frameIdx); }
  /** Whether the server could not give this frame. */
  lacks(frameIdx) { return this.#failed.has(frameIdx); }

  /** Fetches these frames, most urgent first; what was asked for before and is not under way is forgotten. */
  want(frameIdxs) {
    const missing = (i) => !this.#kept.has(i) && !this.#loading.has(i) && !this.#failed.has(i);
    this.#wanted = frameIdxs.filter(missing).slice(0, this.most - 1);
    this.#fill();
  }

  #fill() {
    while (this.#loading.size < AT_ONCE && this.#wanted.length) this.#load(this.#wanted.shift());
  }

  async #load(frameIdx) {
    const stop = new AbortController();
    this.#loading.set(frameIdx, stop);
    try {
      this.#keep(frameIdx, await this.api.frame(this.itemId, frameIdx, this.width, stop.signal));
    } catch (error) {
      if (error.name !== "AbortError") this.#fail(frameIdx, error);
    } finally {
      this.#loading.delete(frameIdx);
      this.#fill();
    }
  }

  #fail(frameIdx, error) {
    this.#failed.set(frameIdx, error);
    // A server that is away for a moment should not leave holes for good.
    setTimeout(() => this.#failed.delete(frameIdx), 5000);
    this.onerror(error, frameIdx);
  }

  #keep(frameIdx, picture) {
    this.#kept.set(frameIdx, picture);
    while (this.#kept.size > this.most) {
      const [oldest, old] = this.#kept.entries().next().value;
      this.#kept.delete(oldest);
      old.close();
    }
    this.onload(frameIdx);
  }

  close() {
    this.#wanted = [];
    for (const stop of this.#loading.values()) stop.abort();
    for (const picture of this.#kept.values()) picture.close();
    this.#kept.clear();
    this.onload = this.onerror = () => {};
  }
}

/** The frames to have around position `at` of `frames`: mostly ahead in the direction of travel, some behind. */
export function around(frames, at, { ahead = 40, behind = 10, forward = true } = {}) {
  const wanted = [frames[at]];
  const [plus, minus] = forward ? [ahead, behind] : [behind, ahead];
  for (let step = 1; step <= Math.max(plus, minus); step += 1) {
    if (step <= plus && at + step < frames.length) wanted.push(frames[at + step]);
    if (step <= minus && at - step >= 0) wanted.push(frames[at - step]);
  }
  return wanted;
}
