// Which frames of an item are in doubt, and which are worth correcting first.

const IOU_BOUND = 0.75;

/** The frames in doubt, ascending: those of the stored masks, but of what was tracked anew what is in doubt of that. */
export function doubted(detail, tracked) {
  const stored = detail.suspicious ?? [];
  if (!tracked) return stored;
  return [...stored.filter((frame) => !(frame in tracked)), ...stillDoubted(detail, tracked)].sort((a, b) => a - b);
}

/** Of the frames tracked from a correction, the worst of each stretch that the network is not sure of. */
export function stillDoubted(detail, tracked) {
  const bound = detail.thresholds?.predicted_iou ?? IOU_BOUND;
  const worst = [];
  let last = null;
  for (const frame of Object.keys(tracked).map(Number).sort((a, b) => a - b)) {
    const { predicted_iou: iou } = tracked[frame];
    if (!(iou < bound)) last = null;
    else if (last === null) worst.push(last = { frame, iou });
    else if (iou < last.iou) Object.assign(last, { frame, iou });
  }
  return worst.map(({ frame }) => frame);
}

/** The next of the frames whose correction helps most, from the one in view on; the best first. */
export function nextBest({ best = [] }, frameIdx) {
  return best.length ? best[(best.indexOf(frameIdx) + 1) % best.length] : null;
}
