// The queue at the left: what waits, riskiest first, by reason, category and run.

import { byId, el, short } from "./dom.js";
import { baseName, words } from "./facts.js";

const LIMIT = 60;
const STATUSES = ["open", "claimed", "decided", "closed"];
const FACETS = ["reason", "category", "run"];

/** Tells "pick" {itemId, status} when a reviewer chooses an item, and "filter" when the filters changed. */
export class QueuePanel extends EventTarget {
  #items = [];
  #current = null;
  #offset = 0;
  #stop = null;
  #shown = "";

  constructor({ api, report }) {
    super();
    Object.assign(this, { api, report, list: byId("queue"), form: byId("filters"), counts: byId("queue-counts") });
    const asked = new URLSearchParams(location.search);
    const status = STATUSES.includes(asked.get("status")) ? asked.get("status") : "open";
    this.#options("status", STATUSES.map((each) => [each, each]), status, false);
    for (const name of FACETS) this.#options(name, [], asked.get(name));
    this.form.addEventListener("change", () => {
      this.#keepInAddress();
      this.refresh();
      this.dispatchEvent(new Event("filter"));
    });
    this.form.addEventListener("submit", (event) => event.preventDefault());
  }

  /** What claims and listings are narrowed to: {reason, category, run}, null for any. */
  get filters() {
    const value = (name) => this.form.elements[name].value || null;
    return { reason: value("reason"), category: value("category"), run: value("run") };
  }

  /** The address says what is chosen, so that a reload or a shared link shows the same. */
  #keepInAddress() {
    const kept = new URLSearchParams(location.search);
    const chosen = { ...this.filters, status: this.status === "open" ? null : this.status };
    for (const [name, value] of Object.entries(chosen)) value === null ? kept.delete(name) : kept.set(name, value);
    history.replaceState(null, "", [location.pathname, String(kept)].filter(Boolean).join("?"));
  }

  get status() { return this.form.elements.status.value; }

  /** The item in hand is marked, and comes first where the list does not have it. */
  mark(item) {
    this.#current = item;
    this.#render();
  }

  async refresh() {
    this.#offset = 0;
    await this.#fetch([]);
  }

  async #fetch(before) {
    this.#stop?.abort();
    this.#stop = new AbortController();
    const query = { status: this.status, ...this.filters, limit: LIMIT, offset: this.#offset };
    try {
      const answer = await this.api.queue(query, this.#stop.signal);
      this.#items = [...before, ...answer.items];
      this.total = answer.total;
      this.#learn(answer);
      this.#render();
    } catch (error) {
      if (error.name !== "AbortError") this.report(error);
    }
  }

  #learn({ counts, reasons, categories, runs }) {
    this.counts.textContent = `${counts.open ?? 0} open, ${counts.claimed ?? 0} held, ${counts.decided ?? 0} decided`;
    const byCount = (found) => Object.entries(found).sort((a, b) => b[1] - a[1]);
    const said = { reason: byCount(reasons), category: byCount(categories), run: Object.entries(runs).sort().reverse() };
    for (const name of FACETS) {
      const pairs = said[name].map(([value, count]) => [value, `${name === "reason" ? words(value) : value} (${count})`]);
      this.#options(name, pairs, this.filters[name]);
    }
  }

  #options(name, pairs, chosen, any = true) {
    const select = this.form.elements[name];
    const all = any ? [["", "any"], ...pairs] : pairs;
    // What is chosen stays, also when nothing of it is left.
    if (chosen && !all.some(([value]) => value === chosen)) all.push([chosen, words(chosen)]);
    select.replaceChildren(...all.map(([value, text]) => el("option", { value, text })));
    select.value = chosen ?? "";
  }

  /** Rows that would be the same stay: a press that began on one is then a click, and the focus keeps its place. */
  #render() {
    const wanted = JSON.stringify([this.#items, this.#current, this.total]);
    if (wanted === this.#shown) return;
    this.#shown = wanted;
    const listed = this.#items.some((item) => this.#isCurrent(item));
    const rows = (this.#current && !listed ? [this.#current, ...this.#items] : this.#items).map((item) => this.#row(item));
    if (!rows.length) rows.push(el("li", { class: "muted none", text: "Nothing here." }));
    if (this.#items.length < (this.total ?? 0)) rows.push(el("li", {}, el("button", {
      type: "button", class: "more", text: `Show more (${this.total - this.#items.length})`, on: { click: () => this.#more() },
    })));
    this.list.replaceChildren(...rows);
  }

  #isCurrent(item) { return item.item_id === this.#current?.item_id; }

  #more() {
    this.#offset = this.#items.length;
    this.#fetch(this.#items);
  }

  #row(item) {
    const chips = item.reasons.slice(0, 3).map((reason) => el("span", { class: "chip", text: words(reason) }));
    if (item.reasons.length > 3) chips.push(el("span", { class: "chip more-chip", text: `+${item.reasons.length - 3}` }));
    const holder = item.reviewer ? el("span", { class: "muted", text: item.reviewer }) : null;
    const pick = () => this.dispatchEvent(new CustomEvent("pick", { detail: { itemId: item.item_id, status: item.status } }));
    return el("li", {}, el("button", { type: "button", class: "queue-item", data: { item: item.item_id },
      title: item.video_key, "aria-current": this.#isCurrent(item) ? "true" : null, on: { click: pick } },
    el("span", { class: "queue-name" }, el("b", { text: baseName(item.video_key) }),
      el("span", { class: "muted", text: `object ${item.track_id}` })),
    el("span", { class: "queue-risk" }, item.blind ? el("b", { text: "verdict only" }) : riskBar(item.risk), el("span", { text: item.category ?? "no category" }), holder),
    el("span", { class: "chips" }, ...chips)));
  }
}

/** The risk as a number beside a bar. */
export function riskBar(risk) {
  const fill = el("i");
  fill.style.width = `${Math.round(Math.max(0, Math.min(1, risk ?? 0)) * 100)}%`;
  return el("span", { class: "risk" }, el("span", { class: "sr", text: "risk " }), el("b", { text: short(risk) }),
    el("span", { class: "bar", "aria-hidden": "true" }, fill));
}
