// The lease of the item in hand: counted down, renewed while somebody works, and said when it is lost.

const IDLE_LEASES = 2;

/** Tells "tick" every second, "lost" once when the server has given the item up, "failed" when it did not answer. */
export class Lease extends EventTarget {
  token = null;
  itemId = null;
  lost = false;
  #expiresAt = 0;
  #ticker = 0;
  #beater = 0;
  #lastSign = 0;
  #active = 0;
  #activeSince = null;

  constructor(api) {
    super();
    this.api = api;
    for (const event of ["pointerdown", "pointermove", "keydown", "wheel"]) {
      window.addEventListener(event, () => { this.#lastSign = performance.now(); }, { passive: true });
    }
    document.addEventListener("visibilitychange", () => this.#watch());
  }

  /** Takes a lease that the server gave: {token, expires_at}, renewed every third of `leaseSeconds`. */
  take(itemId, { token, expires_at }, leaseSeconds) {
    this.drop();
    Object.assign(this, { token, itemId, lost: false });
    this.seconds = leaseSeconds;
    this.#expiresAt = Date.parse(expires_at);
    this.#lastSign = performance.now();
    [this.#active, this.#activeSince] = [0, null];
    this.#watch();
    this.#ticker = setInterval(() => this.dispatchEvent(new Event("tick")), 1000);
    this.#beater = setInterval(() => this.beat(), Math.max(1, leaseSeconds / 3) * 1000);
    this.dispatchEvent(new Event("tick"));
  }

  drop() {
    clearInterval(this.#ticker);
    clearInterval(this.#beater);
    Object.assign(this, { token: null, itemId: null, lost: false });
  }

  get held() { return this.token !== null && !this.lost; }
  get secondsLeft() { return Math.max(0, Math.round((this.#expiresAt - Date.now()) / 1000)); }

  /** Seconds that the item was in front of somebody: the page in view. */
  get activeSeconds() {
    const now = this.#activeSince === null ? 0 : performance.now() - this.#activeSince;
    return Math.round((this.#active + now) / 100) / 10;
  }

  /** Renews the lease, unless nobody has touched the page for long: then somebody else may have the item. */
  async beat() {
    if (!this.held || performance.now() - this.#lastSign > IDLE_LEASES * this.seconds * 1000) return;
    const { token } = this;
    try {
      const { expires_at } = await this.api.heartbeat(token);
      if (token === this.token) this.#expiresAt = Date.parse(expires_at);
    } catch (error) {
      if (token !== this.token) return;
      if (["lost_lease", "already_settled"].includes(error.code)) this.lose(error);
      else this.dispatchEvent(new CustomEvent("failed", { detail: error }));
    }
  }

  /** Notes that the lease is gone; the work is not. */
  lose(error) {
    if (this.lost) return;
    this.lost = true;
    clearInterval(this.#beater);
    clearInterval(this.#ticker);
    this.dispatchEvent(new CustomEvent("lost", { detail: error }));
  }

  #watch() {
    if (this.#activeSince !== null) this.#active += performance.now() - this.#activeSince;
    this.#activeSince = document.visibilityState === "visible" ? performance.now() : null;
  }
}
