// What each key does: defaults, what a reviewer has changed, and which action a key press means.

import { store } from "./drafts.js";

const STORED = "labeling.keys";

/** Everything that a key can do; `repeats` when holding the key down does it again. */
export const ACTIONS = [
  { id: "accept", group: "Decide", label: "Accept, or save the correction", keys: ["A"] },
  { id: "reject", group: "Decide", label: "Reject", keys: ["R"] },
  { id: "skip", group: "Decide", label: "Skip", keys: ["S"] },
  { id: "undo", group: "Decide", label: "Undo the last click, or else the last decision", keys: ["Ctrl+Z"] },
  { id: "redo", group: "Decide", label: "Redo a click", keys: ["Shift+Ctrl+Z", "Ctrl+Y"] },
  { id: "play", group: "Move", label: "Play or pause", keys: ["Space"] },
  { id: "back", group: "Move", label: "One frame back", keys: ["D", "ArrowLeft"], repeats: true },
  { id: "forward", group: "Move", label: "One frame forward", keys: ["F", "ArrowRight"], repeats: true },
  { id: "back10", group: "Move", label: "Ten frames back", keys: ["Shift+D", "Shift+ArrowLeft"], repeats: true },
  { id: "forward10", group: "Move", label: "Ten frames forward", keys: ["Shift+F", "Shift+ArrowRight"], repeats: true },
  { id: "prevFlag", group: "Move", label: "Previous suspicious frame", keys: ["["] },
  { id: "nextFlag", group: "Move", label: "Next suspicious frame", keys: ["]"] },
  { id: "bestFrame", group: "Move", label: "Next of the frames to correct first", keys: ["G"] },
  { id: "first", group: "Move", label: "First frame", keys: ["Home"] },
  { id: "last", group: "Move", label: "Last frame", keys: ["End"] },
  { id: "edit", group: "Correct", label: "Edit on or off", keys: ["E"] },
  { id: "absent", group: "Correct", label: "Object is absent on this frame", keys: ["O"] },
  { id: "spanFrom", group: "Correct", label: "Change only from this frame on", keys: [","] },
  { id: "spanTo", group: "Correct", label: "Change only up to this frame", keys: ["."] },
  { id: "propagate", group: "Correct", label: "Track from the correction (preview)", keys: ["Enter"] },
  { id: "clear", group: "Correct", label: "Clear this frame's clicks", keys: ["Backspace"] },
  { id: "leave", group: "Correct", label: "Leave editing, keep the clicks", keys: ["Escape"] },
  { id: "cursorUp", group: "Crosshair", label: "Crosshair up", keys: ["I"], repeats: true },
  { id: "cursorDown", group: "Crosshair", label: "Crosshair down", keys: ["K"], repeats: true },
  { id: "cursorLeft", group: "Crosshair", label: "Crosshair left", keys: ["J"], repeats: true },
  { id: "cursorRight", group: "Crosshair", label: "Crosshair right", keys: ["L"], repeats: true },
  { id: "pointOn", group: "Crosshair", label: "Point on the object, at the crosshair", keys: ["P"] },
  { id: "pointOff", group: "Crosshair", label: "Point beside the object, at the crosshair", keys: ["N"] },
  { id: "mask", group: "View", label: "Mask on or off", keys: ["M"] },
  { id: "others", group: "View", label: "Other objects on or off", keys: ["T"] },
  { id: "zoomIn", group: "View", label: "Zoom in", keys: ["+", "="], repeats: true },
  { id: "zoomOut", group: "View", label: "Zoom out", keys: ["-"], repeats: true },
  { id: "fit", group: "View", label: "Fit the frame", keys: ["0"] },
  { id: "help", group: "View", label: "Keys", keys: ["?"] },
];

/** A key press as text: Ctrl+Z, Shift+ArrowLeft, Space, [; null for a modifier alone. Cmd counts as Ctrl. */
export function comboOf(event) {
  if (["Control", "Shift", "Alt", "Meta", "AltGraph", "Dead", "Process"].includes(event.key)) return null;
  const key = event.key === " " ? "Space" : event.key.length === 1 ? event.key.toUpperCase() : event.key;
  const symbol = key.length === 1 && !/[A-Z0-9]/.test(key);
  // AltGr types symbols on many keyboards and then reads as Ctrl+Alt.
  const typed = symbol && event.getModifierState?.("AltGraph");
  const held = [];
  if (event.shiftKey && !symbol) held.push("Shift");
  if ((event.ctrlKey || event.metaKey) && !typed) held.push("Ctrl");
  if (event.altKey && !typed) held.push("Alt");
  return [...held, key].join("+");
}

/** A key's name as it is printed on a page. */
export function shown(combo) {
  const names = { ArrowLeft: "Left", ArrowRight: "Right", ArrowUp: "Up", ArrowDown: "Down", Escape: "Esc", Backspace: "Bksp" };
  return combo.split(/\+(?=.)/).map((part) => names[part] ?? part).join("+");
}

/** Tells "change" when a key was mapped anew. */
export class KeyMap extends EventTarget {
  #own = {};

  constructor() {
    super();
    const kept = store(() => JSON.parse(localStorage.getItem(STORED))) ?? {};
    for (const { id } of ACTIONS) if (Array.isArray(kept[id])) this.#own[id] = kept[id].filter((k) => typeof k === "string");
  }

  keysOf(id) { return this.#own[id] ?? ACTIONS.find((action) => action.id === id).keys; }
  /** The first key of an action, for a label. */
  label(id) { return this.keysOf(id).length ? shown(this.keysOf(id)[0]) : ""; }
  actionOf(combo) { return ACTIONS.find(({ id }) => this.keysOf(id).includes(combo)) ?? null; }
  get isChanged() { return Object.keys(this.#own).length > 0; }

  /** The other action that uses a key already, or null. */
  conflict(combo, id) {
    const found = this.actionOf(combo);
    return found && found.id !== id ? found : null;
  }

  /** Gives an action this one key, and takes it from the action that had it. */
  assign(id, combo) {
    const other = this.conflict(combo, id);
    if (other) this.#own[other.id] = this.keysOf(other.id).filter((key) => key !== combo);
    this.#own[id] = [combo];
    this.#save();
  }

  reset() {
    this.#own = {};
    this.#save();
  }

  #save() {
    store(() => localStorage.setItem(STORED, JSON.stringify(this.#own)));
    this.dispatchEvent(new Event("change"));
  }
}

/** Calls `run(id)` for each key press that means something here; `run` returns false to leave it to the browser. */
export function listen(keymap, run) {
  window.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
    const combo = comboOf(event);
    if (!combo || isTakenBy(event.target, combo)) return;
    const action = keymap.actionOf(combo);
    if (!action || (event.repeat && !action.repeats)) return;
    if (run(action.id) !== false) event.preventDefault();
  });
}

/** Whether the focused element has a use of its own for that key. */
function isTakenBy(target, combo) {
  if (!(target instanceof Element)) return false;
  if (target.matches("textarea, input:not([type=range]):not([type=checkbox])")) return combo !== "Escape";
  if (target.matches("select")) return !combo.startsWith("Ctrl");
  if (target.matches("input[type=range]")) return /^(Arrow|Home|End|Page)/.test(combo);
  return target.matches("button, a, summary, input") && (combo === "Space" || combo === "Enter");
}
