// The tracked masks of one item, fetched in pieces around the playhead, and outlines ready to be drawn.

import { outlines } from "./rle.js";

const PIECE = 240;
const MOST_OUTLINES = 400;

/** A mask's outline as a path in video pixels: fill it by "evenodd", stroke it at any zoom. */
export function pathOf(rle) {
  const path = new Path2D();
  for (const corners of outlines(rle)) {
    path.moveTo(corners[0], corners[1]);
    for (let i = 2; i < corners.length; i += 2) path.lineTo(corners[i], corners[i + 1]);
    path.closePath();
  }
  return path;
}

/** Masks by frame; `onload()` tells that more have come. */
export class MaskStore {
  #rles = new Map();
  #paths = new Map();
  #pieces = new Map();
  onload = () => {};
  onerror = () => {};

  /** `track` names another object of the item's video. */
  constructor(api, itemId, frames, track = null) {
    Object.assign(this, { api, itemId, frames, track, closed: false });
  }

  /** The stored mask of a frame, or null while it is not here (or the frame has none). */
  rle(frameIdx) { return this.#rles.get(frameIdx) ?? null; }
  has(frameIdx) { return this.#rles.has(frameIdx); }

  /** The outline of the stored mask of a frame, or null. */
  path(frameIdx) {
    const rle = this.rle(frameIdx);
    return rle && remembered(this.#paths, frameIdx, rle);
  }

  /** Fetches the piece that holds position `at`, then its neighbours, then the rest, one after another. */
  async fetchFrom(at) {
    const middle = Math.floor(at / PIECE);
    const last = Math.floor((this.frames.length - 1) / PIECE);
    await this.#piece(middle);
    for (let step = 1; step <= last && !this.closed; step += 1) {
      if (middle + step <= last) await this.#piece(middle + step);
      if (middle - step >= 0) await this.#piece(middle - step);
    }
  }

  /** Fetches only the piece that holds position `at`. */
  near(at) { return this.#piece(Math.floor(at / PIECE)); }

  #piece(number) {
    if (!this.#pieces.has(number)) this.#pieces.set(number, this.#load(number));
    return this.#pieces.get(number);
  }

  async #load(number) {
    const start = this.frames[number * PIECE];
    const end = this.frames[Math.min(this.frames.length, (number + 1) * PIECE) - 1] + 1;
    try {
      const answer = await this.api.masks(this.itemId, start, end, this.track);
      for (const [frameIdx, rle] of Object.entries(answer.frames)) this.#rles.set(Number(frameIdx), rle);
      this.onload();
    } catch (error) {
      this.#pieces.delete(number);
      this.onerror(error);
    }
  }

  close() {
    this.closed = true;
    this.onload = this.onerror = () => {};
  }
}

/** Outlines of masks that are not stored: what a correction or a propagation shows. */
export class Outlines {
  #paths = new Map();

  of(rle) { return rle ? remembered(this.#paths, rle, rle) : null; }
}

function remembered(paths, key, rle) {
  const found = paths.get(key) ?? pathOf(rle);
  paths.delete(key);
  paths.set(key, found);
  if (paths.size > MOST_OUTLINES) paths.delete(paths.keys().next().value);
  return found;
}
