// Short lines of facts for the page's bars.

import { short, visible } from "./dom.js";

/** A key's last part: the file's name. */
export function baseName(key) {
  return key.split("/").pop();
}

/** An item by its file and object. */
export function titleOf({ video_key, track_id }) {
  return visible(`${baseName(video_key)}, object ${track_id}`);
}

/** An item in one line: category, size, length, version and run. */
export function itemFacts({ item, video }) {
  const seconds = video.num_frames / (video.frame_rate || 1);
  return visible([item.category, `${video.width} x ${video.height}`, `${video.num_frames} frames, ${short(seconds, 1)} s`,
    `version ${item.label_version}`, item.run_id].filter(Boolean).join("  |  "));
}

/** Why an item waits, in a line: "area jump, object lost". */
export function reasonsOf({ reasons, blind }) {
  if (blind) return "verdict only";
  return visible(reasons.map(words).join(", "));
}

/** A reason as words: area_jump is "area jump", low_predicted_iou "low predicted IoU". */
export function words(reason) {
  return String(reason).replaceAll("_", " ").replace(/\biou\b/, "IoU");
}

/** What is left of a lease: "held 9:41". */
export function leaseText(lease) {
  if (lease.lost) return "lease lost";
  const left = lease.secondsLeft;
  return `held ${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
}

/** How fast it goes, as far as it is known. */
export function paceText({ items_per_hour: items, seconds_per_item: seconds, clicks_per_item: clicks }) {
  const known = [[items, "items/h"], [seconds, "s/item"], [clicks, "clicks/item"]].filter(([value]) => Number.isFinite(value));
  return known.map(([value, unit]) => `${short(value, 1)} ${unit}`).join("  ");
}
