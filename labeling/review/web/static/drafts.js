// Keeps work that is not decided yet: in this browser at once, on the server a moment later.

// Two datasets behind one proxy are told apart by their paths.
const PREFIX = `labeling.draft.${location.pathname === "/" ? "" : location.pathname}`;
const WAIT_MS = 1500;
const MOST_BYTES = 250 * 1024;

/** Saves what `read()` gives for the item in hand; `report` hears of failures. */
export class Drafts {
  #timer = 0;

  constructor({ api, report }) {
    Object.assign(this, { api, report });
  }

  /** Keeps `work` of an item; `token` null keeps it in this browser only. */
  keep(itemId, token, work) {
    if (!work) return this.forget(itemId);
    store(() => localStorage.setItem(PREFIX + itemId, JSON.stringify(work)));
    clearTimeout(this.#timer);
    if (token) this.#timer = setTimeout(() => this.#send(itemId, token, work), WAIT_MS);
    return undefined;
  }

  async #send(itemId, token, work) {
    if (JSON.stringify(work).length > MOST_BYTES) return;
    try {
      await this.api.draft(itemId, token, work);
    } catch (error) {
      this.report(error);
    }
  }

  /** The newest work on an item: this browser's, or else the server's: work in hand, or a decision that came too late. */
  find(itemId, drafts = []) {
    const local = store(() => JSON.parse(localStorage.getItem(PREFIX + itemId)));
    if (local) return local;
    const kept = drafts.find((draft) => draft.work);
    if (kept) return kept.work;
    const late = drafts.filter((draft) => draft.corrections?.length).pop();
    return late ? workOf(late) : null;
  }

  /** Stops sending and forgets this browser's copy: the item is decided. */
  forget(itemId) {
    clearTimeout(this.#timer);
    store(() => localStorage.removeItem(PREFIX + itemId));
  }
}

/** A refused decision as work in hand. */
function workOf({ corrections, note }) {
  const frames = corrections.map(({ frame_idx, points, box, absent }) => [frame_idx, { points, box, absent }]);
  const span = corrections.find((made) => made.span)?.span;
  const reach = span ? { kind: "span", from: span[0], to: span[1] - 1 } : {};
  const told = frames.filter(([, held]) => held.absent || held.points.length || held.box);
  return { frames: Object.fromEntries(told), note, reach };
}

/** Runs a use of the browser's storage; null where it is full, broken or forbidden. */
export function store(use) {
  try {
    return use() ?? null;
  } catch {
    return null;
  }
}
