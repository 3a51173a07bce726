// Why an item is here: each reason with its number and the bound it passed, notes and history.

import { byId, el, short, visible } from "./dom.js";
import { words } from "./facts.js";

/** The panels at the right; tells "seek" {frameIdx} when a flagged span is chosen. */
export class ReasonsPanel extends EventTarget {
  constructor() {
    super();
    const [root, verdict] = [byId("reasons"), byId("verdict")];
    Object.assign(this, { root, verdict, history: byId("history"), notes: byId("item-notes") });
  }

  show(detail) {
    const { flags, consensus } = detail;
    this.verdict.textContent = consensus?.wanted > 1 ? `${consensus.have} of ${consensus.wanted} reviewers` : "";
    const cards = detail.item.blind ? [verdictOnly()] : flags.map((flag) => this.#card(flag));
    if (!cards.length) cards.push(el("p", { class: "muted none", text: "No reason is given. Judge the whole masklet." }));
    this.root.replaceChildren(...cards);
    this.notes.textContent = detail.notes?.length ? visible(`Notes so far: ${noted(detail.notes)}`) : "";
    this.#showHistory(detail.history ?? []);
  }

  clear() {
    this.root.replaceChildren(el("p", { class: "muted none", text: "Reasons show here once an item is in hand." }));
    this.verdict.textContent = this.notes.textContent = "";
    this.#showHistory([]);
  }

  #card(flag) {
    const { reason, frame_start: start, frame_end: end, value, threshold, explanation, question } = flag;
    const seek = () => this.dispatchEvent(new CustomEvent("seek", { detail: { frameIdx: start } }));
    const frames = end - start > 1 ? `frames ${start} to ${end - 1}` : `frame ${start}`;
    const place = el("button", { type: "button", class: "link", text: frames, title: "Go there", on: { click: seek } });
    const look = question ? el("p", { class: "look", text: question }) : null;
    return el("article", { class: "reason" },
      el("header", {}, el("h3", { text: words(reason) }), place),
      explanation ? el("p", { text: explanation }) : null, look,
      el("dl", { class: "measure" }, el("dt", { text: "measured" }), el("dd", { class: "bad", text: short(value, 3) }),
        el("dt", { text: "bound" }), el("dd", { text: short(threshold, 3) })));
  }

  #showHistory(history) {
    const rows = history.map(({ at, kind, reviewer, detail }) => el("li", {},
      el("time", { datetime: at, text: clock(at) }), el("b", { text: words(kind) }),
      el("span", { text: [reviewer, plain(detail)].filter(Boolean).join(": ") })));
    if (!rows.length) rows.push(el("li", { class: "muted none", text: "Nobody has had it yet." }));
    this.history.replaceChildren(...rows);
  }
}

/** What is asked for where nothing may tell how the item was judged. */
function verdictOnly() {
  return el("article", { class: "reason verdict-only" },
    el("header", {}, el("h3", { text: "Only your verdict is asked" })),
    el("p", { text: "Look at the filmstrip, play what is unclear, then accept or reject. Accept what you would keep as it is; reject "
      + "a mask that is on something else, or that misses or adds more than a quarter of the object for a good part of the time." }),
    el("p", { class: "muted", text: "Risk, flags and scores are hidden from everybody here. Some of these items are certain, "
      + "some are in doubt, some are known; what you skip counts as bad." }));
}

function clock(at) {
  const time = new Date(at);
  const form = { day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit" };
  return Number.isNaN(time.getTime()) ? "" : time.toLocaleString("en-GB", form);
}

function plain(detail) {
  if (!detail) return "";
  if (typeof detail === "string") return detail.replace(/\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)/g, clock);
  return Object.entries(detail).filter(([, value]) => value !== null && value !== "" && typeof value !== "object")
    .map(([name, value]) => `${words(name)} ${value}`).join(", ");
}

function noted(notes) {
  return notes.map(({ reviewer, note }) => `${reviewer}: ${note}`).join("; ");
}
