// Puts the page together: sign in, the queue, the item in view, and which key or button does what.

import { Prefetch } from "./prefetch.js";
import { Api } from "./api.js";
import { ItemView } from "./item_view.js";
import { Previews } from "./previews.js";
import { DecisionPanel, EditBar, Transport } from "./controls.js";
import { byId, visible } from "./dom.js";
import { doubted, nextBest } from "./doubt.js";
import { Drafts } from "./drafts.js";
import { Editor } from "./editor.js";
import { itemFacts, leaseText, paceText, reasonsOf, titleOf } from "./facts.js";
import { KeysDialog } from "./keys_dialog.js";
import { KeyMap, listen } from "./keys.js";
import { Lease } from "./lease.js";
import { Notices } from "./notices.js";
import { Player } from "./player.js";
import { QueuePanel } from "./queue.js";
import { ReasonsPanel } from "./reasons.js";
import { Review } from "./review.js";
import { signIn } from "./login.js";
import { Stage } from "./stage.js";
import { setUpTheme } from "./theme.js";
import { Timeline } from "./timeline.js";

const ZOOM = 1.25;
const ASK_AGAIN_MS = 5000;
let asking = 0;

const api = new Api();
const notices = new Notices();
const report = (error) => notices.fail(error);
const keymap = new KeyMap();
const player = new Player();
const stage = new Stage(byId("stage"), byId("canvas"));
const timeline = new Timeline(byId("timeline"));
const editor = new Editor();
const lease = new Lease(api);
const note = byId("note");
const previews = new Previews({ api, editor, report: { changed: () => showState(), failed: (error) => refused(error) } });
const transport = new Transport({
  run, keymap, onSpeed: (speed) => { player.speed = speed; player.pause(); },
  onOpacity: (opacity) => { stage.opacity = opacity; stage.redraw(); },
});
const itemView = new ItemView({ player, stage, timeline, editor, previews, transport, report });
const drafts = new Drafts({ api, report: (error) => refused(error) });
const prefetch = new Prefetch({ api, stageWidth: () => stage.width });
const queue = new QueuePanel({ api, report });
const review = new Review({
  api, lease, drafts, prefetch, itemView, editor, previews, notices, note, filters: () => queue.filters,
});
const reasons = new ReasonsPanel();
const decisions = new DecisionPanel({ run, keymap });
const editBar = new EditBar({ run, keymap, previews, stage });
const keysDialog = new KeysDialog(byId("keys"), keymap);

const RUN = {
  accept: () => review.decide("accept"),
  reject: () => review.decide("reject"),
  skip: () => review.skip(),
  undo: () => (editor.undo() ? null : review.undoDecision()),
  redo: () => editor.redo(),
  play: () => player.toggle(),
  back: () => player.step(-1),
  forward: () => player.step(1),
  back10: () => player.step(-10),
  forward10: () => player.step(10),
  prevFlag: () => suspicious(-1),
  nextFlag: () => suspicious(1),
  bestFrame: () => best(),
  first: () => player.step(-player.at),
  last: () => player.step(player.frames.length),
  edit: () => mayCorrect() && itemView.setEditing(!itemView.editing),
  absent: () => markAbsent(),
  propagate: () => track(),
  spanFrom: () => limit("from"),
  spanTo: () => limit("to"),
  clear: () => itemView.editing && editor.clear(itemView.frameIdx),
  leave: () => { itemView.setEditing(false); stage.root.focus({ preventScroll: true }); },
  cursorUp: () => crosshair(0, -1),
  cursorDown: () => crosshair(0, 1),
  cursorLeft: () => crosshair(-1, 0),
  cursorRight: () => crosshair(1, 0),
  pointOn: () => mayCorrect() && itemView.clickAtCursor(1),
  pointOff: () => mayCorrect() && itemView.clickAtCursor(0),
  mask: () => { stage.maskOn = !stage.maskOn; transport.showMask(stage.maskOn); stage.redraw(); },
  others: () => { itemView.showOthers(!stage.othersOn); transport.showOthers(stage.othersOn); },
  zoomIn: () => stage.zoomBy(ZOOM),
  zoomOut: () => stage.zoomBy(1 / ZOOM),
  fit: () => stage.fit(),
  help: () => keysDialog.show(),
};

/** Does what the key or button of that name stands for; without an item only some of it makes sense. */
function run(id) {
  if (!itemView.bundle && !["undo", "help"].includes(id)) return false;
  return RUN[id]();
}

/** Goes to the frame whose correction helps most, and from there to the next best. */
function best() {
  const frame = nextBest(itemView.detail, itemView.frameIdx);
  if (frame === null) notices.say("No frame is worth more than another.");
  else itemView.seek(frame);
}

function suspicious(direction) {
  const frames = doubted(itemView.detail, editor.tracked);
  if (!player.seekAmong(frames, direction)) notices.say(`No ${direction > 0 ? "later" : "earlier"} suspicious frame.`);
}

/** Of an item that waits for a verdict alone nothing is corrected. */
function mayCorrect() {
  return review.canDecide && !itemView.blind;
}

function markAbsent() {
  if (!mayCorrect()) return;
  if (!itemView.editing) itemView.setEditing(true);
  editor.toggleAbsent(itemView.frameIdx);
}

/** The correction changes nothing before (or behind) this frame. */
function limit(name) {
  if (!mayCorrect()) return;
  if (!itemView.editing) itemView.setEditing(true);
  const { frames } = player;
  const { from, to } = { from: frames[0], to: frames.at(-1), ...known(editor.reach), [name]: itemView.frameIdx };
  editor.reach = { kind: "span", from: Math.min(from, to), to: Math.max(from, to) };
  notices.say(`The correction changes frames ${editor.reach.from} to ${editor.reach.to}, and those that you clicked on.`);
}

function known({ from, to }) {
  return from === null ? {} : { from, to };
}

async function track() {
  if (!mayCorrect() || editor.isEmpty) return;
  try {
    const tracked = await previews.propagate();
    const cut = tracked?.complete === false ? " The time was up before the end." : "";
    if (tracked) notices.say(`Tracked ${tracked.count} frames as a preview.${cut} Look, then save the correction.`);
  } catch (error) {
    refused(error);
  }
}

/** An error of a preview or a draft: a lost lease is one whoever finds out. */
function refused(error) {
  if (error.code === "lost_lease" && lease.token) lease.lose(error);
  else notices.fail(error);
}

function crosshair(dx, dy) {
  if (!mayCorrect()) return;
  const [x, y] = itemView.moveCursor(dx, dy);
  notices.say(`Crosshair at ${Math.round(x)}, ${Math.round(y)}.`);
}

function showState() {
  const hasWork = !editor.isEmpty;
  const canUndo = editor.canUndo || review.last !== null;
  decisions.show({ canDecide: review.canDecide, editing: itemView.editing, hasWork, busy: review.busy, canUndo, blind: itemView.blind,
    undoes: editor.canUndo ? "click" : "decision" });
  editBar.show({ editing: itemView.editing, editor, frameIdx: itemView.frameIdx });
  byId("start").disabled = review.busy;
}

function showItem() {
  const { detail } = itemView;
  byId("empty").hidden = Boolean(detail);
  byId("item-title").textContent = detail ? titleOf(detail.item) : "No item in hand";
  byId("item-facts").textContent = detail ? itemFacts(detail) : "";
  byId("item-why").textContent = detail ? reasonsOf(detail.item) : "";
  document.body.dataset.mode = itemView.blind ? "verdict" : "review";
  byId("lease").hidden = !detail;
  byId("lease").textContent = detail && !lease.token ? "read only" : "";
  byId("empty-text").textContent = `${review.last ? "Nothing in hand. " : ""}Take the riskiest item that waits.`;
  if (detail) reasons.show(detail);
  else reasons.clear();
  queue.mark(detail?.item ?? null);
  queue.refresh();
  showPace();
  showState();
  if (!document.querySelector("dialog[open]")) (detail ? stage.root : byId("start")).focus({ preventScroll: true });
  // On a phone the queue lies below the picture.
  window.scrollTo(0, 0);
}

async function showPace() {
  const stats = await api.stats().catch(() => null);
  byId("pace").textContent = stats ? paceText(stats) : "";
}

function showLease() {
  byId("lease").textContent = leaseText(lease);
  byId("lease").classList.toggle("short", lease.secondsLeft < 60);
}

function nameOf({ role, reviewer }) {
  return visible(role === "senior" ? `${reviewer} (senior)` : reviewer);
}

async function begin() {
  const me = await signIn(api);
  review.leaseSeconds = me.lease_seconds;
  byId("dataset").textContent = visible(me.dataset ?? "");
  byId("who").textContent = nameOf(me);
  byId("logout").hidden = false;
  await queue.refresh();
  if (!(await review.resume())) showItem();
  document.body.dataset.ready = "true";
}

let drawn = 0;
function oncePerTurn() {
  if (!drawn) drawn = requestAnimationFrame(() => { drawn = 0; showState(); });
}

function connect() {
  listen(keymap, run);
  byId("start").addEventListener("click", () => review.next());
  byId("help").addEventListener("click", () => keysDialog.show());
  byId("logout").addEventListener("click", () => api.logout().catch(report).finally(() => location.reload()));
  note.addEventListener("input", () => review.noted());
  review.addEventListener("item", showItem);
  review.addEventListener("state", showState);
  itemView.addEventListener("work", oncePerTurn);
  lease.addEventListener("tick", showLease);
  queue.addEventListener("pick", ({ detail }) => review.pick(detail.itemId, detail.status));
  queue.addEventListener("filter", () => prefetch.drop());
  reasons.addEventListener("seek", ({ detail }) => itemView.seek(detail.frameIdx));
  // After the mouse or a choice, keys mean the frame again and not the control that was used last.
  const refocus = (event, controls) => {
    if (itemView.bundle && event.target.closest(controls)) stage.root.focus({ preventScroll: true });
  };
  document.addEventListener("click", (event) => event.detail > 0
    && refocus(event, ".transport button, .decide button, .edit-bar button"));
  document.addEventListener("pointerup", (event) => refocus(event, "input[type=range]"));
  document.addEventListener("change", (event) => refocus(event, ".transport select, .edit-bar select"));
  api.onSignedOut = () => signIn(api, "Your session has ended. Your work is kept; sign in to go on.").then(signedInAgain)
    .catch(report);
  api.onSilent = () => {
    clearTimeout(asking);
    asking = setTimeout(() => api.me().catch(() => {}), ASK_AGAIN_MS);
  };
  api.onBack = () => notices.mended("The server answers again.");
}

/** Somebody else's work is not gone on with. */
function signedInAgain(me) {
  if (nameOf(me) !== byId("who").textContent) location.reload();
  else notices.mended("Signed in again.");
}

setUpTheme(byId("theme"), () => { timeline.redraw(); stage.redraw(); });
connect();
begin().catch(report);
