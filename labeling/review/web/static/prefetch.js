// Everything of an item that the page needs, fetched before it is looked at: detail, masks, the first frames.

import { around, FrameCache, widthFor } from "./frames.js";
import { MaskStore } from "./masks.js";
import { OtherObjects } from "./other_objects.js";
import { nearest } from "./player.js";

const FIRST_FRAMES = 12;
const FILM_WIDTH = 160;

/** Fetches an item: {itemId, detail, frames, film, masks, others, start}; `start` is the first suspicious position. */
export async function loadItem(api, itemId, stageWidth) {
  const width = widthFor(stageWidth);
  const detail = await api.detail(itemId, width);
  const { video } = detail;
  const start = detail.suspicious?.length ? nearest(video.frames, Math.min(...detail.suspicious)) : 0;
  const bundle = {
    itemId, detail, start,
    frames: new FrameCache(api, itemId, video, Math.min(video.width, width)),
    film: new FrameCache(api, itemId, video, Math.min(video.width, FILM_WIDTH)),
    masks: new MaskStore(api, itemId, video.frames),
    others: new OtherObjects(api, itemId, detail),
  };
  if (video.frames.length) {
    bundle.frames.want(around(video.frames, start, { ahead: FIRST_FRAMES, behind: 2 }));
    await bundle.masks.near(start);
  }
  return bundle;
}

/** Gives back what an item holds. */
export function closeItem(bundle) {
  for (const part of [bundle?.frames, bundle?.film, bundle?.masks, bundle?.others]) part?.close();
}

/** Guesses which item comes next and has it ready; a wrong guess costs nothing but the fetching. */
export class Prefetch {
  #itemId = null;
  #bundle = null;

  constructor({ api, stageWidth }) {
    Object.assign(this, { api, stageWidth });
  }

  /** Fetches the first open item that is not among `without`. */
  async prepare(filters, without) {
    const limit = Math.min(50, without.length + 2);
    const { items } = await this.api.queue({ status: "open", ...filters, limit });
    const next = items.find((item) => !without.includes(item.item_id));
    if (!next || next.item_id === this.#itemId) return;
    this.drop();
    this.#itemId = next.item_id;
    const fetched = loadItem(this.api, next.item_id, this.stageWidth());
    this.#bundle = fetched.catch(() => null);
    await this.#bundle;
  }

  /** The item, ready or on its way. */
  async take(itemId) {
    if (itemId !== this.#itemId) {
      this.drop();
      return loadItem(this.api, itemId, this.stageWidth());
    }
    const bundle = this.#bundle;
    [this.#itemId, this.#bundle] = [null, null];
    return (await bundle) ?? loadItem(this.api, itemId, this.stageWidth());
  }

  drop() {
    this.#bundle?.then(closeItem);
    [this.#itemId, this.#bundle] = [null, null];
  }
}
