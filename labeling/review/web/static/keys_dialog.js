// The dialog that shows every key and lets a reviewer choose others; a key in use elsewhere is warned of.

import { el } from "./dom.js";
import { ACTIONS, comboOf, shown } from "./keys.js";

const MOUSE = [
  ["Click", "Point on the object"], ["Alt+click, right click", "Point beside the object"], ["Drag", "Box around the object"],
  ["Wheel", "Zoom at the pointer"], ["Shift+drag, middle button", "Pan (plain drag when not editing)"],
];

/** Opens by `show()`; changes go to the key map at once. */
export class KeysDialog {
  #listening = null;

  constructor(root, keymap) {
    Object.assign(this, { root, keymap });
    root.addEventListener("keydown", (event) => this.#pressed(event));
    root.addEventListener("close", () => { this.#listening = null; });
  }

  show() {
    this.#render();
    this.root.showModal();
  }

  #render(warning = null) {
    const groups = [...new Set(ACTIONS.map((action) => action.group))].map((group) => this.#group(group));
    this.message = el("p", { class: "keys-message", role: "status", "aria-live": "polite" });
    if (warning) this.message.append(...warning);
    this.root.replaceChildren(
      el("div", { class: "keys-head" }, el("h2", { id: "keys-head", text: "Keys" }),
        el("p", { class: "muted", text: "Press a key's button, then the new key. Kept in this browser." })),
      el("div", { class: "keys-list" }, el("div", { class: "keys-groups" }, ...groups, mouse())),
      el("div", { class: "keys-foot" }, this.message,
        el("button", { type: "button", text: "Defaults", on: { click: () => { this.keymap.reset(); this.#render(); } } }),
        el("button", { type: "button", class: "primary", autofocus: true, text: "Close",
          on: { click: () => this.root.close() } })),
    );
  }

  #group(group) {
    const rows = ACTIONS.filter((action) => action.group === group).map((action) => this.#row(action));
    return el("section", { class: "keys-group" }, el("h3", { text: group }), ...rows);
  }

  #row({ id, label }) {
    const keys = this.keymap.keysOf(id).map(shown).join(" or ") || "none";
    const change = el("button", { type: "button", class: "key-button", "aria-label": `${label}: ${keys}. Change`,
      data: { action: id }, on: { click: () => this.#listen(id, change) } }, el("kbd", { text: keys }));
    return el("div", { class: "keys-row" }, el("span", { text: label }), change);
  }

  #listen(id, change) {
    this.root.querySelector(".key-button.listening")?.classList.remove("listening");
    change.classList.add("listening");
    this.#listening = id;
    this.message.textContent = `Press the new key for: ${nameOf(id)}. Escape leaves it as it is.`;
  }

  #pressed(event) {
    if (!this.#listening) return;
    const combo = comboOf(event);
    if (!combo) return;
    event.preventDefault();
    event.stopPropagation();
    const id = this.#listening;
    this.#listening = null;
    if (combo === "Escape") return this.#render();
    const other = this.keymap.conflict(combo, id);
    if (other) return this.#warn(combo, id, other);
    return this.#assign(id, combo);
  }

  #warn(combo, id, other) {
    const text = `${shown(combo)} is used for: ${other.label}. `;
    const take = el("button", { type: "button", text: "Use it here instead", on: { click: () => this.#assign(id, combo) } });
    const leave = el("button", { type: "button", text: "Leave it", on: { click: () => this.#render() } });
    this.#render([el("strong", { text: "Conflict. " }), text, take, " ", leave]);
    take.focus();
  }

  #assign(id, combo) {
    this.keymap.assign(id, combo);
    this.#render();
    this.root.querySelector(`[data-action="${id}"]`).focus();
  }
}

function nameOf(id) {
  return ACTIONS.find((action) => action.id === id).label;
}

function mouse() {
  const rows = MOUSE.map(([key, does]) => el("div", { class: "keys-row" },
    el("span", { text: does }), el("kbd", { text: key })));
  return el("section", { class: "keys-group" }, el("h3", { text: "Mouse" }), ...rows);
}
