// Which limits are being tried on which footage, and what does the panel say of them? One question on its way at a time.
import { ask } from "./link.js";

const KEPT = "station.workbench.assumed";
const TRIES = 4;
const ASSUMED = {
  prevalence: 0.01, parts_per_h: 600, review_s: 6, review_minute: 1, overkill: 0.1,
  escape_cost: { critical: 2000, major: 200, minor: 20 },
};

/** The engineer's bench. Tells `opened`, `limits` (changed by hand), `answer` (figures for them) and `refused`. */
export class Bench extends EventTarget {
  constructor() {
    super();
    this.name = null; // of the footage
    this.data = null; // what does not change with the limits
    this.limits = {}; // tried, by class
    this.moved = null; // class whose curve is drawn
    this.answer = null; // the panel's newest figures
    this.asking = false;
    this.again = false;
    this.turn = 0;
    try {
      this.assumed = { ...ASSUMED, ...JSON.parse(localStorage.getItem(KEPT) ?? "{}") };
    } catch {
      this.assumed = { ...ASSUMED };
    }
  }

  /** Opens a footage; the limits tried begin as those in force, or stay where it is opened again. */
  async open(name) {
    const mine = ++this.turn;
    let data = null;
    for (let tries = 1; data === null; tries++) {
      try {
        data = await ask(`/api/workbench/footage/${encodeURIComponent(name)}`);
      } catch (failure) { // a large footage takes its time at first; the panel goes on with it meanwhile
        if (failure.code !== "network" || tries === TRIES || mine !== this.turn) throw failure;
      }
    }
    if (mine !== this.turn) return;
    const stays = this.name === name && this.data?.recipe === data.recipe && this.data?.model === data.model;
    Object.assign(this, { name, data, answer: null });
    if (!stays) this.limits = copyOf(data.in_force.classes);
    if (!data.classes.some((c) => c.name === this.moved)) {
      this.moved = (data.classes.find((c) => c.defective) ?? data.classes[0]).name;
    }
    this.#tell("opened");
    this.try();
  }

  /** Nothing is open. */
  close() {
    this.turn += 1;
    Object.assign(this, { name: null, data: null, answer: null, limits: {} });
    this.#tell("opened");
  }

  /** One value of one class, by hand; limits that would cross push one another. */
  set(label, what, value) {
    const mine = this.limits[label];
    mine[what] = value;
    if (what === "pass_below") mine.fail_above = Math.max(mine.fail_above, value);
    if (what === "fail_above") mine.pass_below = Math.min(mine.pass_below, value);
    this.changed();
  }

  /** Other limits altogether, such as those of a version. */
  take(classes) {
    for (const [label, given] of Object.entries(classes)) if (label in this.limits) this.limits[label] = { ...given };
    this.changed();
  }

  /** Shows the curve of another class. */
  choose(label) {
    this.moved = label;
    this.changed();
  }

  /** What the engineer says of the line. */
  assume(values) {
    this.assumed = { ...this.assumed, ...values };
    try {
      localStorage.setItem(KEPT, JSON.stringify(this.assumed));
    } catch { /* private window: until the page is left */ }
    this.try();
  }

  changed() {
    this.#tell("limits");
    this.try();
  }

  /** The body of every question about the limits tried. */
  body() {
    return { footage: this.name, limits: copyOf(this.limits) };
  }

  /** What the question about the moved class needs besides. */
  asked() {
    return { ...this.body(), moved: this.moved, assumed: this.assumed };
  }

  /** Whether the limits tried are those in force. */
  get same() {
    return this.data !== null && JSON.stringify(this.limits) === JSON.stringify(this.data.in_force.classes);
  }

  /** Asks for the figures of the limits tried; while one question is on its way, only the newest limits wait. */
  async try() {
    if (!this.data?.sides || !this.data.tuning.parts) return;
    if (this.asking) {
      this.again = true;
      return;
    }
    this.asking = true;
    do {
      this.again = false;
      const mine = this.turn, asked = this.asked();
      try {
        const said = await ask("/api/workbench/try", asked);
        if (mine !== this.turn) continue;
        this.answer = { ...said, limits: asked.limits, assumed: asked.assumed };
        this.#tell("answer");
      } catch (failure) {
        this.#tell("refused", failure);
      }
    } while (this.again);
    this.asking = false;
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

function copyOf(classes) {
  return JSON.parse(JSON.stringify(classes));
}
