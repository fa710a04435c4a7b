// How do parts come to this screen and answers leave it, so that nothing is lost and nobody waits?
//
// The screen holds the part it shows and two more, claimed and decoded. An answer paints the next one at once and is
// sent in the background, one after the other. Only what the loop has committed counts as stored; what could not be
// stored comes back.
import { Failure, ask, canStore, state, uuid } from "./link.js";
import { decode } from "./stage.js";

const AHEAD = 2;
const RENEW_MS = 20000;
const ABSENT_MS = 180000; // nobody touched the screen for so long: its parts may go to someone else
const GONE = new Set(["answered", "taken", "settled", "same_person", "unknown"]);

export class Desk {
  /** `show()` is called when the part to show has changed; `notice(kind, key, values)` when there is something to say. */
  constructor({ show, notice }) {
    this.show = show;
    this.notice = notice;
    this.current = null;
    this.ready = [];
    this.flying = new Map(); // review id -> part whose answer is on its way
    this.stored = 0;
    this.done = new Set(); // review ids whose answer is stored
    this.touchedAt = performance.now();
    this.chain = Promise.resolve();
    this.filling = null;
    this.again = false;
    this.epoch = 0;
    setInterval(() => { if (performance.now() - this.touchedAt < ABSENT_MS) this.renew(); }, RENEW_MS);
  }

  get holding() {
    return [this.current, ...this.ready].filter(Boolean).map((p) => p.id);
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
    while (this.again && state.person && canStore()) {
      this.again = false;
      while (this.ready.length < AHEAD || !this.current) {
        const epoch = this.epoch;
        let claimed;
        try {
          claimed = (await ask("/api/claim", { person: state.person, skip: [...this.holding, ...this.flying.keys()] })).review;
        } catch {
          return; // the next change of ledger or loop asks again
        }
        if (epoch !== this.epoch) { this.again = true; break; }
        if (claimed === null) break;
        if (this.holding.includes(claimed.id) || this.flying.has(claimed.id)) break; // an undo brought it back meanwhile
        this.#take(claimed);
      }
    }
  }

  #take(part) {
    this.#load(part);
    if (this.current) {
      this.ready.push(part);
    } else {
      this.current = part;
      this.show("new");
    }
  }

  #load(part) {
    part.bitmap = null;
    part.picture = part.image ? "loading" : "none";
    part.decoded = decode(part.image).then(
      (bitmap) => { part.bitmap = bitmap; part.picture = bitmap ? "here" : "none"; },
      () => { part.picture = "failed"; },
    ).then(() => { if (part === this.current) this.show("picture"); });
  }

  /** Takes the inspector's answer to the part shown. */
  answer(answer, { label = null, xyxy = null, shown = {} } = {}) {
    const part = this.current;
    if (!part) return;
    const content = JSON.stringify([answer, label, xyxy]);
    // The same answer again after a failure keeps its key: were it stored after all, it is not stored twice.
    const key = part.sent?.content === content ? part.sent.key : uuid();
    part.sent = { content, key };
    const seconds = Math.max(0, (performance.now() - (part.paintedAt ?? performance.now())) / 1000);
    const body = { key, review_id: part.id, answer, person: state.person, seconds: Math.round(seconds * 1000) / 1000, label, xyxy, shown };
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
      if (!(failure instanceof Failure)) throw failure;
      if (GONE.has(failure.code)) {
        const known = ["answered", "taken", "settled", "same_person"].includes(failure.code);
        this.notice("conflict", known ? `notice.${failure.code}` : "notice.refused", { number: part.number, words: failure.message });
        this.fill();
        return;
      }
      const unknown = failure.code === "network" || failure.code === "loop_away";
      this.#bringBack(part, unknown ? "notice.unknown" : "notice.returned", failure.message);
      return;
    }
    this.flying.delete(part.id);
    this.stored += 1;
    this.done.add(part.id);
    this.notice("stored", "notice.stored", { number: part.number, answer: body.answer, label: body.label });
    this.fill();
  }

  #bringBack(part, key, words) {
    // Parts that failed earlier stand before those that failed later: the order of the belt.
    const rest = [this.current, ...this.ready].filter(Boolean);
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
    const key = uuid();
    this.chain = this.chain.then(async () => {
      try {
        const { review } = await ask("/api/undo", { person: state.person, key });
        const rest = [this.current, ...this.ready].filter((p) => p && p.id !== review.id);
        this.#load(review);
        await review.decoded;
        this.done.delete(review.id);
        this.stored = Math.max(0, this.stored - 1);
        this.current = review;
        this.ready = rest;
        this.show("undone");
        this.notice("undone", "notice.undone", { number: review.number });
      } catch (failure) {
        const key = failure.code === "nothing_to_undo" ? "notice.nothing_to_undo" : "notice.refused";
        this.notice("conflict", key, { words: failure.message });
      }
    });
  }

  /** Keeps the parts of this screen its own; gives up those that went to someone else. */
  async renew() {
    const holding = this.holding;
    if (!holding.length || !state.person || !canStore()) return;
    let held;
    try {
      held = new Set((await ask("/api/renew", { person: state.person, holding })).held);
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

  /** Another person sits down: what this one held is free again. */
  async leave(person) {
    this.epoch += 1;
    this.current = null;
    this.ready = [];
    this.show("next");
    if (person) await ask("/api/leave", { person }).catch(() => {});
  }
}
