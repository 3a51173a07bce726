// The other objects of the item's video: their masks are fetched where they are seen, a piece at a time.

import { colourOf } from "./marks.js";
import { MaskStore } from "./masks.js";
import { boxOf } from "./rle.js";

const MOST = 24;

/** Masks of the objects beside the item's own; `onload()` tells that more have come. */
export class OtherObjects {
  onload = () => {};
  onerror = () => {};

  constructor(api, itemId, { objects, video }) {
    this.shown = objects.filter((object) => !object.is_item).slice(0, MOST).map((object) => {
      const masks = new MaskStore(api, itemId, video.frames, object.track_id);
      masks.onload = () => this.onload();
      masks.onerror = (error) => this.onerror(error);
      return { id: object.track_id, spans: object.spans, colour: colourOf(object.track_id), masks };
    });
  }

  /** What is seen on a frame, at position `at`: [{id, path, corner, colour}]; what is not here yet is fetched. */
  on(frameIdx, at) {
    const seen = this.shown.filter(({ spans }) => spans.some(([start, end]) => start <= frameIdx && frameIdx < end));
    for (const { masks } of seen) masks.near(at);
    return seen.filter(({ masks }) => masks.path(frameIdx)).map(({ id, colour, masks }) => (
      { id, colour, path: masks.path(frameIdx), corner: boxOf(masks.rle(frameIdx)) }
    ));
  }

  close() {
    for (const { masks } of this.shown) masks.close();
    this.onload = this.onerror = () => {};
  }
}
