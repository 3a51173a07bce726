// Talks to the review server: JSON in, JSON out, errors with a code and a hint.
// Addresses are relative to the page, so that it works below whatever path a proxy has it under.

/** What the server refused, or that it did not answer (`code` "unavailable"). */
export class ApiError extends Error {
  constructor(status, { code = "unavailable", message = "", hint = "", draft_id = null } = {}) {
    super(message || `The server answered ${status}.`);
    Object.assign(this, { name: "ApiError", status, code, hint, draftId: draft_id });
  }
}

const SILENT = {
  code: "unavailable",
  message: "The server does not answer.",
  hint: "Your work is kept in this browser. Check that the server runs, then try again.",
};

/** One session with the server; writes carry the token that `api/me` gave. */
export class Api {
  csrf = "";
  /** Called when the session has ended (401), so that the page can ask to sign in again. */
  onSignedOut = () => {};
  /** Called when the server does not answer, and when it answers again after that. */
  onSilent = () => {};
  onBack = () => {};
  #silent = false;

  async call(method, path, { body, query, signal } = {}) {
    const response = await this.#send(method, path + queryText(query), body, signal);
    if (response.status === 204) return {};
    const answer = await response.json().catch((error) => {
      // Given up by the page itself while the answer was still coming.
      if (error.name === "AbortError") throw error;
      return null;
    });
    if (response.ok && answer !== null) return answer;
    const failed = new ApiError(response.status, answer?.error ?? { message: `The server answered ${response.status}.` });
    if (failed.status === 401 && path !== "api/me" && path !== "api/login") this.onSignedOut();
    throw failed;
  }

  async #send(method, address, body, signal) {
    const headers = { Accept: "application/json" };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (method !== "GET") headers["X-CSRF-Token"] = this.csrf;
    const given = { method, headers, signal, credentials: "same-origin" };
    if (body !== undefined) given.body = JSON.stringify(body);
    const response = await fetch(address, given).catch((error) => {
      if (error.name === "AbortError") throw error;
      return null;
    });
    // A proxy answers for a server that is away, and not in JSON.
    const away = !response || ([502, 503, 504].includes(response.status) && !isJson(response));
    const back = this.#silent && !away;
    this.#silent = away;
    if (away) {
      this.onSilent();
      throw new ApiError(0, SILENT);
    }
    if (back) this.onBack();
    return response;
  }

  async me() { return this.#signedIn(await this.call("GET", "api/me")); }
  async login(form) { return this.#signedIn(await this.call("POST", "api/login", { body: form })); }
  async logout() { return this.call("POST", "api/logout", { body: {} }); }

  #signedIn(me) {
    this.csrf = me.csrf;
    return me;
  }

  queue(query, signal) { return this.call("GET", "api/queue", { query, signal }); }
  stats() { return this.call("GET", "api/stats"); }
  claim(body) { return this.call("POST", "api/claim", { body }); }
  heartbeat(token) { return this.call("POST", "api/heartbeat", { body: { token } }); }
  release(token, note = "") { return this.call("POST", "api/release", { body: { token, note } }); }
  undo(seq) { return this.call("POST", "api/undo", { body: { seq } }); }
  detail(itemId, width) { return this.call("GET", itemPath(itemId), { query: { width } }); }
  /** Masks of a half-open span of frames, of the item's own object or of another one of its video. */
  masks(itemId, start, end, track = null) {
    return this.call("GET", `${itemPath(itemId)}/masks`, { query: { start, end, track } });
  }
  preview(itemId, body, signal) { return this.call("POST", `${itemPath(itemId)}/preview`, { body, signal }); }
  propagate(itemId, body, signal) { return this.call("POST", `${itemPath(itemId)}/propagate`, { body, signal }); }
  draft(itemId, token, work) { return this.call("PUT", `${itemPath(itemId)}/draft`, { body: { token, work } }); }
  decide(itemId, body) { return this.call("POST", `${itemPath(itemId)}/decision`, { body }); }

  /** A frame as a picture that can be drawn at once. */
  async frame(itemId, frameIdx, width, signal) {
    const address = `${itemPath(itemId)}/frames/${frameIdx}.jpg${queryText({ width })}`;
    const response = await this.#send("GET", address, undefined, signal);
    if (!response.ok) {
      const answer = await response.json().catch(() => null);
      throw new ApiError(response.status, answer?.error ?? { message: `Frame ${frameIdx} could not be read.` });
    }
    return createImageBitmap(await response.blob());
  }
}

function isJson(response) {
  return (response.headers.get("content-type") ?? "").includes("json");
}

function itemPath(itemId) {
  return `api/items/${encodeURIComponent(itemId)}`;
}

function queryText(query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}
