// Words to the reviewer: a quiet line that a screen reader speaks, and a bar for what needs an answer.

import { byId, el } from "./dom.js";

const QUIET_MS = 6000;

/** `say` for what went well, `fail` for an error of the server, `ask` for what needs a choice. */
export class Notices {
  #timer = 0;
  #asking = null;
  #passing = false;

  constructor() {
    this.bar = byId("notice");
    this.line = byId("status");
  }

  say(text) {
    clearTimeout(this.#timer);
    this.line.textContent = text;
    this.line.classList.add("shown");
    this.#timer = setTimeout(() => this.line.classList.remove("shown"), QUIET_MS);
  }

  /** Shows an error with its hint; what is being asked stays. */
  fail(error) {
    if (!error || error.name === "AbortError") return;
    if (error.name !== "ApiError") console.error(error);
    if (this.#asking) return this.say([error.message, error.hint].filter(Boolean).join(" "));
    this.#show({ text: error.message, hint: error.hint ?? "", actions: [], kind: "error" });
    this.#passing = [0, 401].includes(error.status);
    return undefined;
  }

  /** Takes back that the server was away or the session had ended, which is no longer so, and says that instead. */
  mended(text) {
    if (this.#passing) this.clear();
    this.say(text);
  }

  /** Shows a bar that stays until one of `actions` [{label, onClick}] is taken or `name` is answered otherwise. */
  ask(name, { text, hint = "", actions, kind = "warning" }) {
    this.#asking = name;
    this.#show({ text, hint, kind, actions });
  }

  /** Takes back what was asked under that name, or whatever is shown. */
  clear(name = null) {
    if (name && name !== this.#asking) return;
    this.#asking = null;
    this.#passing = false;
    this.bar.hidden = true;
    this.bar.replaceChildren();
  }

  #show({ text, hint, actions, kind }) {
    this.#passing = false;
    const buttons = actions.map(({ label, onClick, primary = false }) => el("button", {
      type: "button", class: primary ? "primary" : "", text: label, on: { click: onClick },
    }));
    if (!actions.length) {
      buttons.push(el("button", { type: "button", class: "quiet", text: "Dismiss", on: { click: () => this.clear() } }));
    }
    this.bar.className = `notice ${kind}`;
    const said = [el("strong", { text }), el("span", { class: "hint", text: hint }), el("span", { class: "grow" })];
    this.bar.replaceChildren(...said, ...buttons);
    this.bar.hidden = false;
  }
}
