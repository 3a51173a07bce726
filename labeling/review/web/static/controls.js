// The buttons: playback and view under the frame, the decision at the right, the correction's bar over the frame.

import { button, byId, el, icon, short } from "./dom.js";

const SPEEDS = [0.25, 0.5, 1, 2, 4];
const TOUCH = window.matchMedia("(pointer: coarse)");
const REACHES = [["both", "all frames"], ["forward", "forward"], ["backward", "backward"], ["span", "from, to"]];

/** Playback, view and position. `run(id)` does what the key of that name does. */
export class Transport {
  constructor({ run, keymap, onSpeed, onOpacity }) {
    this.keymap = keymap;
    const tool = (id, iconName, label) => button({
      label, iconName, title: this.#titled(id, label), onClick: () => run(id), "data-action": id,
    });
    this.play = tool("play", "play", "Play");
    this.position = el("output", { class: "position", "aria-live": "off" });
    this.speed = el("select", { "aria-label": "Speed", on: { change: () => onSpeed(Number(this.speed.value)) } },
      ...SPEEDS.map((value) => el("option", { value, text: `${value}x`, selected: value === 1 })));
    this.opacity = el("input", { type: "range", min: 0, max: 100, value: 45, "aria-label": "Opacity of the mask",
      on: { input: () => onOpacity(this.opacity.value / 100) } });
    this.mask = tool("mask", "mask", "Mask");
    this.others = tool("others", "others", "Other objects");
    for (const shown of [this.mask, this.others]) shown.setAttribute("aria-pressed", "true");
    byId("transport").append(
      tool("prevFlag", "prev-flag", "Previous suspicious frame"), tool("back", "back", "One frame back"), this.play,
      tool("forward", "forward", "One frame forward"), tool("nextFlag", "next-flag", "Next suspicious frame"),
      this.speed, this.position, el("span", { class: "grow" }), this.others, this.mask, this.opacity,
      tool("zoomOut", "minus", "Zoom out"), tool("fit", "fit", "Fit the frame"), tool("zoomIn", "plus", "Zoom in"));
  }

  #titled(id, label) {
    const key = this.keymap.label(id);
    return key ? `${label} (${key})` : label;
  }

  showPlaying(playing) {
    this.play.replaceChildren(icon(playing ? "pause" : "play"), el("span", { class: "sr", text: playing ? "Pause" : "Play" }));
  }

  showMask(on) { this.mask.setAttribute("aria-pressed", String(on)); }
  showOthers(on) { this.others.setAttribute("aria-pressed", String(on)); }

  showPosition(player) {
    this.position.textContent = player.frameIdx === null ? ""
      : `frame ${player.frameIdx}   ${player.seconds.toFixed(2)} s   ${player.at + 1} of ${player.frames.length}`;
  }
}

/** Accept, reject, skip, edit; accepting becomes saving while a correction is in the making. */
export class DecisionPanel {
  constructor({ run, keymap }) {
    this.keymap = keymap;
    this.run = run;
    this.root = byId("decide");
    this.show({ canDecide: false });
    keymap.addEventListener("change", () => this.show(this.state));
  }

  show(state) {
    this.state = state;
    const { canDecide, editing = false, hasWork = false, busy = false, canUndo = false, undoes = "decision", blind = false } = state;
    const disabled = !canDecide || busy;
    const make = (id, label, kind, off = disabled, title = label) => button({ label, title, key: this.keymap.label(id),
      class: `decision ${kind}`, disabled: off, onClick: () => this.run(id), "data-action": id });
    const edit = make("edit", "Edit", "edit");
    edit.setAttribute("aria-pressed", String(editing));
    edit.hidden = blind;
    this.#replace([make("accept", hasWork ? "Save correction" : "Accept", hasWork ? "save" : "accept"),
      make("reject", "Reject", "reject"), make("skip", "Skip", "skip"), edit,
      make("undo", "Undo", "undo", busy || !canUndo, `Undo the last ${undoes}`)]);
  }

  /** The focus stays on the button of the same name. */
  #replace(buttons) {
    const focused = this.root.contains(document.activeElement) ? document.activeElement.dataset.action : null;
    this.root.replaceChildren(...buttons);
    if (focused) this.root.querySelector(`[data-action="${focused}"]:not([disabled])`)?.focus();
  }
}

/** The correction's bar: what is on this frame, its preview, which frames it may change, and how many are previewed. */
export class EditBar {
  constructor({ run, keymap, previews, stage }) {
    Object.assign(this, { root: byId("edit-bar"), keymap, previews, stage });
    this.text = el("span", { class: "edit-text" });
    // A finger has neither Alt nor a right button.
    this.beside = button({ label: "Beside", title: "Taps mark what does not belong to the object", class: "touch",
      "aria-pressed": "false", onClick: () => this.#besides(!stage.marksBeside) });
    this.absent = this.#tool(run, "absent", "Absent");
    this.clear = this.#tool(run, "clear", "Clear");
    this.track = this.#tool(run, "propagate", "Track");
    const turn = () => this.#turned(previews.editor);
    const long = () => { previews.length = Number(this.length.value); };
    this.direction = el("select", { "aria-label": "Direction", title: "The frames that the correction may change",
      on: { change: turn } }, ...REACHES.map(([value, text]) => el("option", { value, text })));
    const limit = (name, { value }) => {
      if (value !== "") previews.editor.reach = { [name]: Math.max(0, Math.round(Number(value))) };
    };
    const end = (name, label) => el("input", { type: "number", min: 0, "aria-label": label, title: label,
      on: { change: ({ target }) => limit(name, target) } });
    this.ends = { from: end("from", "First frame to change"), to: end("to", "Last frame to change") };
    this.length = el("select", { "aria-label": "Frames to track", title: "Frames to preview", on: { change: long } },
      ...[30, 60, 120].map((value) => el("option", { value, text: `show ${value}`, selected: value === 60 })));
    this.root.append(this.text, this.beside, this.absent, this.clear, this.direction, this.ends.from, this.ends.to,
      this.length, this.track);
  }

  /** A span starts out as what the preview shows. */
  #turned(editor) {
    const kind = this.direction.value;
    const { frames } = this.previews.held;
    const [from, end] = editor.isEmpty ? [frames[0], frames.at(-1) + 1] : this.previews.span();
    editor.reach = kind === "span" ? { kind, from, to: end - 1 } : { kind, from: null, to: null };
  }

  #tool(run, id, label) {
    return button({ label, key: this.keymap.label(id), onClick: () => run(id), "data-action": id });
  }

  #besides(on) {
    this.stage.marksBeside = on;
    this.beside.setAttribute("aria-pressed", String(on));
  }

  show({ editing, editor, frameIdx }) {
    if (!editing) this.#besides(false);
    this.root.hidden = !editing;
    // It takes the place of the item's name, so that it hides nothing of the frame and moves nothing.
    this.root.parentElement.classList.toggle("editing", editing);
    if (!editing) return;
    const held = editor.at(frameIdx);
    this.text.textContent = this.text.title = this.#said(held, editor, frameIdx);
    const { kind } = editor.reach;
    this.direction.value = kind;
    this.root.classList.toggle("spanned", kind === "span");
    for (const [name, input] of Object.entries(this.ends)) {
      input.hidden = kind !== "span";
      if (document.activeElement !== input) input.value = editor.reach[name] ?? "";
    }
    this.absent.setAttribute("aria-pressed", String(Boolean(held?.absent)));
    this.clear.disabled = !held;
    this.track.disabled = editor.isEmpty || this.previews.propagating;
    this.track.querySelector(".label").textContent = this.previews.propagating ? "Tracking..." : "Track";
  }

  #said(held, editor, frameIdx) {
    const frames = editor.frameIdxs.length;
    const also = frames > 1 || (frames === 1 && !held) ? ` (${frames} frames corrected)` : "";
    if (!held) return `${TOUCH.matches ? "Tap the object" : "Click on the object, Alt+click beside it"}, or drag a box${also}`;
    if (held.absent) return `object absent${also}`;
    const clicks = held.points.length ? `${held.points.length} ${held.points.length === 1 ? "click" : "clicks"}` : "";
    const drawn = [clicks, held.box ? "box" : ""].filter(Boolean).join(", ");
    return `${drawn}${this.#seen(editor.preview(frameIdx), frameIdx)}${also}`;
  }

  #seen(preview, frameIdx) {
    if (preview) return `, predicted IoU ${short(preview.predicted_iou)}, ${Math.round(preview.milliseconds)} ms`;
    if (this.previews.refusal(frameIdx)) return ", no preview (the clicks can be saved all the same)";
    return this.previews.busy ? ", asking for the mask..." : "";
  }
}
