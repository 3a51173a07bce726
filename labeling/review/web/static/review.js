// One reviewer's way through the queue: claim, look, decide, take back; and what happens when a lease is lost.

import { closeItem } from "./prefetch.js";

const RESUME = `labeling.lease${location.pathname === "/" ? "" : location.pathname}`;
const MOST_SKIPPED = 1000;
const DONE = { accept: "Accepted", reject: "Rejected", correct: "Correction saved" };

/** Tells "item" when another item (or none) is in hand and "state" when what can be done has changed. */
export class Review extends EventTarget {
  leaseSeconds = 600;
  busy = false;
  last = null;
  #skipped = [];

  constructor({ api, lease, drafts, prefetch, itemView, editor, previews, notices, filters, note }) {
    super();
    Object.assign(this, { api, lease, drafts, prefetch, itemView, editor, previews, notices, filters, note });
    lease.addEventListener("lost", ({ detail }) => this.#lost(detail));
    lease.addEventListener("failed", ({ detail }) => notices.fail(detail));
    itemView.addEventListener("work", () => this.#keepDraft());
  }

  get itemId() { return this.itemView.bundle?.itemId ?? null; }
  get canDecide() { return this.itemId !== null && this.lease.held && this.lease.itemId === this.itemId; }

  /** Claims the next item by the filters. */
  next() {
    return this.#alone(async () => {
      if (!(await this.#claimNext())) this.notices.say("Nothing waits under these filters.");
    });
  }

  #claimNext() {
    return this.#claim({ item_id: null, skipping: this.#skipped.slice(-MOST_SKIPPED), ...this.filters() });
  }

  /** Claims one item; the one in hand goes back to the queue with its draft kept. */
  pick(itemId, status = "open") {
    if (itemId === this.itemId && (this.lease.held || this.lease.lost)) return undefined;
    return this.#alone(async () => {
      const before = this.lease.held ? this.lease.token : null;
      if (status === "decided" || status === "closed") await this.#look(itemId);
      else await this.#claim(named(itemId));
      // Only now: had the other item been refused, this one would still be in hand.
      if (before) await this.api.release(before).catch(() => {});
    });
  }

  /** Goes on with the item that was in hand before the page was loaded anew. */
  async resume() {
    const kept = JSON.parse(sessionStorage.getItem(RESUME) ?? "null");
    if (!kept) return false;
    try {
      const { expires_at } = await this.api.heartbeat(kept.token);
      await this.#open(kept.itemId, { token: kept.token, expires_at });
      return true;
    } catch {
      sessionStorage.removeItem(RESUME);
      return false;
    }
  }

  /** Accepts, rejects, or saves the correction in the making, and goes on to the next item. */
  decide(action) {
    if (!this.canDecide) return undefined;
    return this.#alone(async () => {
      const correct = action === "accept" && !this.editor.isEmpty;
      const sent = correct ? await this.#correction() : { action, corrections: [] };
      const itemId = this.itemId;
      const { seq } = await this.api.decide(itemId, { token: this.lease.token, note: this.note.value.trim(),
        seconds: this.lease.activeSeconds, clicks: this.editor.clicks, ...sent });
      this.last = { seq, itemId };
      this.drafts.forget(itemId);
      this.#drop();
      await this.#after(DONE[sent.action]);
    });
  }

  async #correction() {
    // Without a preview the clicks stand alone: the next run asks the network.
    await this.previews.previewAll({ again: true }).catch((error) => {
      if (error.code !== "unavailable") throw error;
    });
    return { action: "correct", corrections: this.editor.corrections(this.itemView.detail.video.frames) };
  }

  /** Gives the item back to the queue and goes on; it does not come again in this session. */
  skip() {
    if (!this.canDecide) return undefined;
    return this.#alone(async () => {
      this.#skipped.push(this.itemId);
      await this.#giveBack(this.note.value.trim());
      await this.#after("Skipped");
    });
  }

  async #after(said) {
    const found = await this.#claimNext();
    this.notices.say(found ? `${said}. Next item.` : `${said}. Nothing else waits.`);
  }

  /** Takes back the last decision and claims its item again. */
  undoDecision() {
    if (!this.last) return undefined;
    return this.#alone(async () => {
      const { seq, itemId } = this.last;
      await this.api.undo(seq);
      this.last = null;
      this.#skipped = this.#skipped.filter((skipped) => skipped !== itemId);
      await this.#giveBack();
      await this.#claim(named(itemId));
      this.notices.say("Decision taken back. The item is yours again.");
    });
  }

  async #claim(body) {
    const { lease, item } = await this.api.claim(body);
    if (!lease) {
      this.#drop();
      return false;
    }
    await this.#open(item.item_id, lease);
    return true;
  }

  async #open(itemId, lease) {
    // The lease is kept first: should the item not load, it is known what to give back.
    if (lease) this.#hold(itemId, lease);
    const bundle = await this.prefetch.take(itemId);
    // From here on nothing is kept for the item before.
    this.previews.close();
    closeItem(this.itemView.bundle);
    this.note.value = "";
    this.notices.clear("lost");
    this.itemView.open(bundle);
    if (lease) this.#startWork(bundle);
    this.dispatchEvent(new Event("item"));
    this.prefetch.prepare(this.filters(), [itemId, ...this.#skipped]).catch(() => {});
  }

  #startWork({ itemId, detail }) {
    this.#mayCorrect();
    const draft = this.drafts.find(itemId, detail.drafts);
    if (!draft) return;
    this.note.value = draft.note ?? "";
    if (this.editor.restore(draft)) {
      this.itemView.setEditing(true);
      this.itemView.seek(this.editor.frameIdxs[0]);
      this.notices.say("Your draft is back. Undo discards it.");
    }
  }

  #hold(itemId, lease) {
    this.lease.take(itemId, lease, this.leaseSeconds);
    sessionStorage.setItem(RESUME, JSON.stringify({ itemId, token: lease.token }));
  }

  #mayCorrect() {
    const hasMask = (frameIdx) => this.itemView.hasMask(frameIdx);
    this.previews.open({ itemId: this.itemId, token: this.lease.token, frames: this.itemView.detail.video.frames, hasMask });
  }

  /** Shows an item that is settled, without a lease. */
  #look(itemId) {
    this.lease.drop();
    sessionStorage.removeItem(RESUME);
    this.previews.close();
    return this.#open(itemId, null);
  }

  #keepDraft() {
    if (!this.previews.held || (this.editor.isEmpty && !this.editor.canUndo && !this.note.value)) return;
    const work = this.editor.isEmpty && !this.note.value ? null : { ...this.editor.toDraft(), note: this.note.value };
    // The server keeps work of a lease that has run out, too.
    this.drafts.keep(this.itemId, this.lease.token, work);
  }

  /** The note is work too. */
  noted() { this.#keepDraft(); }

  async #giveBack(note = "") {
    if (!this.lease.held) return this.#drop();
    const { token } = this.lease;
    this.#drop();
    return this.api.release(token, note).catch((error) => {
      if (error.code !== "lost_lease") throw error;
    });
  }

  #drop() {
    this.lease.drop();
    sessionStorage.removeItem(RESUME);
    this.notices.clear("lost");
    closeItem(this.itemView.bundle);
    this.itemView.close();
    this.note.value = "";
    this.dispatchEvent(new Event("item"));
  }

  #lost(error) {
    this.#keepDraft();
    this.notices.ask("lost", {
      text: "Your lease on this item is lost.",
      hint: `${error?.hint ? `${error.message}.` : ""} Your work is kept as a draft.`.trim(),
      actions: [{ label: "Claim again", primary: true, onClick: () => this.#claimAgain() },
        { label: "Next item", onClick: () => { this.#drop(); this.next(); } }],
    });
    this.dispatchEvent(new Event("state"));
  }

  /** Claims the same item and goes on where the work stopped. */
  #claimAgain() {
    return this.#alone(async () => {
      const itemId = this.itemId;
      const { lease } = await this.api.claim(named(itemId));
      this.#hold(itemId, lease);
      this.#mayCorrect();
      this.notices.clear("lost");
      this.notices.say("The item is yours again.");
      this.#keepDraft();
    });
  }

  /** One thing at a time; what the server refuses is shown, and a lost lease is treated as one. */
  async #alone(work) {
    if (this.busy) return;
    this.busy = true;
    this.dispatchEvent(new Event("state"));
    try {
      await work();
    } catch (error) {
      if (error.code === "lost_lease" && this.lease.token) this.lease.lose(error);
      else this.notices.fail(error);
    } finally {
      this.busy = false;
      this.dispatchEvent(new Event("state"));
    }
  }
}

/** The claim of one item, whatever the filters. */
function named(itemId) {
  return { item_id: itemId, skipping: [], reason: null, category: null, run: null };
}
