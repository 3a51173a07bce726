// Why an item is here: each reason with its number and the bound it passed, notes and history.

import { byId, el, short } from "./dom.js";

/** What a reviewer should look for, by reason; the server's own explanation of a flag is shown beside it. */
const LOOK_FOR = {
  object_lost: "Is the object still in the picture where the mask is empty?",
  late_loss: "Does the object leave, or is it only lost towards the end?",
  flicker: "Does the object come and go, or only its mask?",
  ghost: "Is anything under the mask that stands still?",
  swap: "Is it the same object before and after the jump?",
  wrong_reacquisition: "Is it the same object after the gap?",
  leak: "Does the mask spill onto a neighbour or the background?",
  fragment: "Does the mask cover the whole object, in one piece?",
  drift: "Does the mask slide off the object?",
  granularity: "Part or whole: does the mask mean the same throughout?",
  duplicate: "Does another track cover the same object?",
  boundary: "Does the outline follow the object's edge?",
  wrong_seed: "Is the prompt on the object that was meant?",
  low_predicted_iou: "Does the mask fit where the tracker doubts it?",
  low_object_score: "Is the object there where the tracker doubts it?",
  area_jump: "Does the object change its size so fast, or the mask alone?",
  motion_jump: "Does the object move so fast, or the mask alone?",
  too_small: "Can the object be told from its surroundings?",
};

/** A reason as words: area_jump is "area jump", low_predicted_iou "low predicted IoU". */
export function words(reason) {
  return String(reason).replaceAll("_", " ").replace(/\biou\b/, "IoU");
}

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
    const cards = flags.map((flag) => this.#card(flag));
    if (!cards.length) cards.push(el("p", { class: "muted none", text: "No reason is given. Judge the whole masklet." }));
    this.root.replaceChildren(...cards);
    this.notes.textContent = detail.notes?.length ? `Notes so far: ${noted(detail.notes)}` : "";
    this.#showHistory(detail.history ?? []);
  }

  clear() {
    this.root.replaceChildren(el("p", { class: "muted none", text: "Reasons show here once an item is in hand." }));
    this.verdict.textContent = this.notes.textContent = "";
    this.#showHistory([]);
  }

  #card(flag) {
    const { reason, frame_start: start, frame_end: end, value, threshold, explanation } = flag;
    const seek = () => this.dispatchEvent(new CustomEvent("seek", { detail: { frameIdx: start } }));
    const frames = end - start > 1 ? `frames ${start} to ${end - 1}` : `frame ${start}`;
    const place = el("button", { type: "button", class: "link", text: frames, title: "Go there", on: { click: seek } });
    const look = LOOK_FOR[reason] ? el("p", { class: "look", text: LOOK_FOR[reason] }) : null;
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
