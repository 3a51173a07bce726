// The playhead: a position in the list of tracked frames, moved by steps, jumps and the clock.

/** Tells "move" when the position changed and "play" when it starts or stops. */
export class Player extends EventTarget {
  frames = [];
  at = 0;
  playing = false;
  speed = 1;
  forward = true;
  /** Whether the frame at a position can be shown now; playing waits for it. */
  ready = () => true;

  #seconds = [];
  #since = 0;
  #from = 0;

  /** Starts over with the frames of an item; `seconds` are their times. */
  open(frames, seconds, rate, at = 0) {
    this.pause();
    Object.assign(this, { frames, forward: true });
    const timed = seconds?.length === frames.length && frames.every((_, i) => i === 0 || seconds[i] > seconds[i - 1]);
    this.#seconds = timed ? seconds : frames.map((frame) => frame / (rate || 25));
    this.at = -1;
    this.seek(at);
  }

  get frameIdx() { return this.frames[this.at] ?? null; }
  get seconds() { return this.#seconds[this.at] ?? 0; }

  /** Moves to a position, kept inside. */
  seek(position) {
    const at = Math.max(0, Math.min(this.frames.length - 1, position));
    if (at === this.at || !this.frames.length) return;
    this.forward = at > this.at;
    this.at = at;
    if (this.playing) this.#anchor();
    this.dispatchEvent(new Event("move"));
  }

  step(count) {
    this.pause();
    this.seek(this.at + count);
  }

  /** Moves to the tracked frame that is nearest to a frame of the video. */
  seekFrame(frameIdx) { this.seek(nearest(this.frames, frameIdx)); }

  /** Moves to the next (direction 1) or previous (-1) of these frames; returns whether there was one. */
  seekAmong(frameIdxs, direction) {
    const positions = frameIdxs.map((frame) => nearest(this.frames, frame)).sort((a, b) => (a - b) * direction);
    const next = positions.find((position) => (position - this.at) * direction > 0);
    this.pause();
    if (next === undefined) return false;
    this.seek(next);
    return true;
  }

  toggle() { return this.playing ? this.pause() : this.play(); }

  play() {
    if (this.playing || this.frames.length < 2) return;
    if (this.at >= this.frames.length - 1) this.seek(0);
    this.playing = true;
    this.#anchor();
    this.dispatchEvent(new Event("play"));
    requestAnimationFrame((now) => this.#tick(now));
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    this.dispatchEvent(new Event("play"));
  }

  #anchor() { [this.#since, this.#from] = [performance.now(), this.at]; }

  #tick(now) {
    if (!this.playing) return;
    const due = this.#seconds[this.#from] + ((now - this.#since) / 1000) * this.speed;
    let at = this.at;
    while (at + 1 < this.frames.length && this.#seconds[at + 1] <= due && this.ready(at + 1)) at += 1;
    if (at > this.at) this.#advance(at);
    // The clock stands still while a frame is fetched.
    else if (at + 1 < this.frames.length && this.#seconds[at + 1] <= due) this.#anchor();
    if (this.at >= this.frames.length - 1) return this.pause();
    return requestAnimationFrame((next) => this.#tick(next));
  }

  #advance(at) {
    this.at = at;
    this.forward = true;
    this.dispatchEvent(new Event("move"));
  }
}

/** The position of the entry nearest to a value in an ascending list. */
export function nearest(sorted, value) {
  let [low, high] = [0, sorted.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low > 0 && value - sorted[low - 1] <= sorted[low] - value ? low - 1 : low;
}
