// Where a picture lies in a box: fitted, zoomed about a point, panned, kept in sight.

const MOST = 32;
const MARGIN = 8;

/** Maps pixels of the video to CSS pixels of the stage and back. */
export class View {
  zoom = 1;
  #x = 0;
  #y = 0;
  #box = { width: 1, height: 1 };
  #video = { width: 1, height: 1 };

  /** A new video is shown whole. */
  open(video) {
    this.#video = video;
    this.fit();
  }

  resize(width, height) {
    this.#box = { width: Math.max(1, width), height: Math.max(1, height) };
    this.#keepInSight();
  }

  fit() { Object.assign(this, { zoom: 1 }); this.#x = this.#y = 0; }

  get scale() {
    const { width, height } = this.#box;
    const fitted = Math.min((width - 2 * MARGIN) / this.#video.width, (height - 2 * MARGIN) / this.#video.height);
    return Math.max(0.01, fitted) * this.zoom;
  }

  get left() { return (this.#box.width - this.#video.width * this.scale) / 2 + this.#x; }
  get top() { return (this.#box.height - this.#video.height * this.scale) / 2 + this.#y; }

  toVideo([x, y]) { return [(x - this.left) / this.scale, (y - this.top) / this.scale]; }

  /** Zooms by a factor so that the point under [x, y] (CSS pixels; the middle if none is given) stays there. */
  zoomBy(factor, at = [this.#box.width / 2, this.#box.height / 2]) {
    const [x, y] = this.toVideo(at);
    this.zoom = Math.max(1, Math.min(MOST, this.zoom * factor));
    this.#x += at[0] - (x * this.scale + this.left);
    this.#y += at[1] - (y * this.scale + this.top);
    this.#keepInSight();
  }

  pan(dx, dy) {
    this.#x += dx;
    this.#y += dy;
    this.#keepInSight();
  }

  #keepInSight() {
    const room = (size, box) => Math.max(0, (size * this.scale - box) / 2 + 40 * (this.zoom > 1));
    const [across, down] = [room(this.#video.width, this.#box.width), room(this.#video.height, this.#box.height)];
    this.#x = Math.max(-across, Math.min(across, this.#x));
    this.#y = Math.max(-down, Math.min(down, this.#y));
  }
}
