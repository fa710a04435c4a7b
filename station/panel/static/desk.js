// How do parts come to this screen and answers leave it, so that nothing is lost and nobody waits?
//
// The screen holds the part it shows and two more, claimed and decoded. An answer paints the next one at once and is
// sent in the background, one after the other. Only what the loop has committed counts as stored; what could not be
// stored comes back, even after another sign-in.
import { coloured } from "./heat.js";
import { Failure, ask, canStore, state, uuid } from "./link.js";
import { decode, warm } from "./stage.js";

const AHEAD = 2;
const SOON_MS = 60; // a picture that comes within so long is shown with its part, not after it
const RENEW_MS = 20000;
const ABSENT_MS = 180000; // nobody touched the screen for so long: its parts may go to someone else
const GONE = new Set(["answered", "taken", "settled", "same_person", "unknown"]);
const UNKNOWN = new Set(["network", "loop_away"]); // nobody knows whether it was done
const UNSENT = "station.unsent"; // parts whose answer was refused because the session had ended: {id: number}

export class Desk {
  /**
   * `show(why)`: the part to show has changed; `notice(kind, key, values)`: there is something to say;
   * `stored(part, body)`: an answer is in the ledger; `mayClaim()`: whether this screen takes parts at all.
   */
  constructor({ show, notice, stored = () => {}, mayClaim = () => true }) {
    Object.assign(this, { show, notice, onStored: stored, mayClaim });
    this.current = null;
    this.ready = [];
    this.flying = new Map(); // review id -> part whose answer is on its way
    this.stored = 0;
    this.done = new Set(); // review ids whose answer is stored
    this.unsent = remembered();
    this.undoKey = null; // of an undo whose reply was lost
    this.touchedAt = performance.now();
    this.chain = Promise.resolve();
    this.filling = null;
    this.again = false;
    this.epoch = 0;
    setInterval(() => { if (performance.now() - this.touchedAt < ABSENT_MS) this.renew(); }, RENEW_MS);
  }

  get holding() {
    return [this.current, ...this.ready].filter((p) => p && !p.peeked).map((p) => p.id);
  }

  /** Somebody is there: what lapsed while nobody was is asked for again. */
  touch() {
    const absent = performance.now() - this.touchedAt > ABSENT_MS;
    this.touchedAt = performance.now();
    if (absent) this.renew();
  }

  /** Review ids that need nobody else: shown here, on their way, or stored. */
  get known() {
    return new Set([...this.holding, ...this.flying.keys(), ...this.done]);
  }

  /** Claims until the screen has a part and two more, or nothing waits. */
  fill() {
    this.again = true;
    this.filling ??= this.#fill().finally(() => { this.filling = null; });
    return this.filling;
  }

  async #fill() {
    while (this.again && state.person && canStore() && this.mayClaim()) {
      this.again = false;
      while (this.ready.length < AHEAD || !this.current) {
        const epoch = this.epoch;
        this.#warm();
        let claimed;
        try {
          claimed = (await ask("/api/claim", { skip: [...this.holding, ...this.flying.keys()] })).review;
        } catch {
          return; // the next change of ledger or loop asks again
        }
        if (claimed !== null) {
          this.#load(claimed);
          if (!this.current) await soon(claimed.decoded); // one painting instead of two
        }
        if (epoch !== this.epoch) { this.again = true; break; }
        if (claimed === null) break;
        if (this.holding.includes(claimed.id) || this.flying.has(claimed.id)) break; // an undo brought it back meanwhile
        this.#take(claimed);
      }
    }
  }

  // The picture of the part that is claimed next comes at the same time as the claim.
  #warm() {
    const known = this.known;
    const next = (state.change?.queue ?? []).find((q) => !known.has(q.id) && (!q.claimed_by || q.claimed_by === state.person));
    warm(next?.image);
  }

  #take(part) {
    this.done.delete(part.id);
    const owed = this.unsent.delete(part.id);
    if (owed) {
      part.back = { key: "notice.unsent" };
      remember(this.unsent);
    }
    if (this.current) this.ready.push(part);
    else {
      this.current = part;
      this.show(owed ? "back" : "new");
    }
    if (owed) this.notice("failed", "notice.unsent", { number: part.number });
  }

  #load(part) {
    part.bitmap = null;
    part.heatmap = null;
    part.picture = part.image ? "loading" : "none";
    part.decoded = decode(part.image).then(
      (bitmap) => { part.bitmap = bitmap; part.picture = bitmap ? "here" : "none"; },
      () => { part.picture = "failed"; },
    ).then(() => { if (part === this.current) this.show("picture"); });
    if (!part.heat) return;
    part.decoded.then(() => decode(part.heat)).then((grey) => {
      part.heatmap = grey && coloured(grey);
      if (part === this.current) this.show("heat");
    }).catch(() => {}); // a part without heat is judged as well
  }

  /** Looks at a part without claiming it: it can be seen, not answered. */
  peek(part) {
    part.peeked = true;
    this.#load(part);
    this.current = part;
    this.show("peek");
  }

  /** Takes the inspector's answer to the part shown: {answer, label?, xyxy?, cause?, note?, judgements?}. */
  answer(given, shown = {}) {
    const part = this.current;
    if (!part || part.peeked) return;
    const content = JSON.stringify(given);
    // The same answer again after a failure keeps its key: were it stored after all, it is not stored twice.
    const key = part.sent?.content === content ? part.sent.key : uuid();
    part.sent = { content, key };
    this.undoKey = null;
    const seconds = Math.max(0, (performance.now() - (part.paintedAt ?? performance.now())) / 1000);
    const body = { key, review_id: part.id, ...given, seconds: Math.round(seconds * 1000) / 1000, shown };
    this.flying.set(part.id, part);
    this.current = this.ready.shift() ?? null;
    this.show("next");
    this.chain = this.chain.then(() => this.#send(part, body));
    this.fill();
  }

  async #send(part, body) {
    this.notice("busy", "notice.storing", { number: part.number });
    try {
      await ask("/api/answer", body);
    } catch (failure) {
      this.flying.delete(part.id);
      this.#failed(part, failure);
      return;
    }
    this.flying.delete(part.id);
    this.stored += 1;
    this.done.add(part.id);
    this.notice("stored", "notice.stored", { number: part.number, answer: body.answer ?? "judged", label: body.label, cause: body.cause });
    this.onStored(part, body);
    this.fill();
  }

  #failed(part, failure) {
    if (failure.code === "signed_out") {
      this.unsent.set(part.id, part.number);
      remember(this.unsent);
      this.notice("failed", "notice.signedout", { number: part.number });
    } else if (GONE.has(failure.code)) {
      const said = failure.code === "unknown" ? "notice.refused" : `notice.${failure.code}`;
      this.notice("conflict", said, { number: part.number, words: failure.message });
      this.fill();
    } else {
      // Whatever went wrong, even a fault of this page: the part is not lost.
      const unknown = !(failure instanceof Failure) || UNKNOWN.has(failure.code);
      this.#bringBack(part, unknown ? "notice.unknown" : "notice.returned", failure.message);
    }
  }

  #bringBack(part, key, words) {
    // Parts that failed earlier stand before those that failed later: the order of the belt.
    const rest = [this.current, ...this.ready].filter((p) => p && !p.peeked);
    const before = rest.filter((p) => p.back && p.number < part.number);
    const after = rest.filter((p) => !before.includes(p));
    part.back = { key, words };
    const line = [...before, part, ...after];
    this.current = line[0];
    this.ready = line.slice(1);
    this.show("back");
    this.notice("failed", key, { number: part.number, words });
  }

  /** Takes the last answer back, after those still on their way. */
  undo() {
    if (!this.mayClaim()) return;
    this.chain = this.chain.then(async () => {
      // Asked again because the reply was lost: the same key, so that no second answer is taken back.
      const key = this.undoKey ?? uuid();
      try {
        const { review } = await ask("/api/undo", { key });
        this.undoKey = null;
        this.#load(review);
        await review.decoded;
        const rest = [this.current, ...this.ready].filter((p) => p && p.id !== review.id && !p.peeked);
        this.done.delete(review.id);
        this.stored = Math.max(0, this.stored - 1);
        this.current = review;
        this.ready = rest;
        this.show("undone");
        this.notice("undone", "notice.undone", { number: review.number });
      } catch (failure) {
        const lost = !(failure instanceof Failure) || UNKNOWN.has(failure.code);
        this.undoKey = lost ? key : null;
        const said = failure.code === "nothing_to_undo" ? "notice.nothing_to_undo" : lost ? "notice.undolost" : "notice.refused";
        this.notice(lost ? "failed" : "conflict", said, { words: failure.message });
      }
    });
  }

  /** Keeps the parts of this screen its own; gives up those that went to someone else. */
  async renew() {
    const holding = this.holding;
    if (!holding.length || !state.person || !canStore()) return;
    let held;
    try {
      held = new Set((await ask("/api/renew", { holding })).held);
    } catch {
      return;
    }
    const lost = [this.current, ...this.ready].filter((p) => p && holding.includes(p.id) && !held.has(p.id));
    for (const part of lost) this.notice("conflict", "notice.gone", { number: part.number });
    if (lost.length) {
      const left = [this.current, ...this.ready].filter((p) => p && !lost.includes(p));
      const changed = left[0] !== this.current;
      this.current = left[0] ?? null;
      this.ready = left.slice(1);
      if (changed) this.show("next");
      this.fill();
    }
  }

  /** Nobody may answer here any more: what is shown goes away; its lease lapses or ended with the session. */
  free() {
    this.epoch += 1;
    this.undoKey = null;
    this.current = null;
    this.ready = [];
    this.show("next");
  }
}

/** Waits for a picture that is about to come, never for one that is not. */
function soon(decoded) {
  return Promise.race([decoded, new Promise((wake) => setTimeout(wake, SOON_MS))]);
}

function remembered() {
  try {
    return new Map(JSON.parse(sessionStorage.getItem(UNSENT) ?? "[]"));
  } catch {
    return new Map();
  }
}

function remember(unsent) {
  try {
    sessionStorage.setItem(UNSENT, JSON.stringify([...unsent]));
  } catch { /* private window: kept until the page closes */ }
}
