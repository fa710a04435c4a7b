// What must be seen and heard across the room? A stopped line, a part that waits too long, a defect that keeps coming.
import { icon } from "./icons.js";
import { on, safe, shownState, state, text } from "./link.js";
import { call } from "./sound.js";
import { ageOf, secondsSince, titleOf } from "./words.js";

const AGAIN_MS = 15000; // between two calls while a part waits too long
const DISMISSED = "station.systematic"; // the row of parts put away: {label, until: number of its newest part}

export class Alarm {
  /** `age` is the chip with the waiting time, `banner` the bar of the systematic defect. */
  constructor({ age, banner }) {
    this.age = age;
    this.banner = banner;
    this.calledAt = -Infinity;
    this.waiting = null;
    this.row = null; // the parts the banner tells of
    banner.addEventListener("click", (event) => { if (event.target.closest("button")) this.#dismiss(this.row); });
    on("loop", () => this.paintLine());
    on("link", () => this.paintLine());
    on("change", (change) => this.#heard(change));
    on("boot", () => this.paintBanner());
    this.paintLine();
  }

  #heard(change) {
    // A part more than before: call, whatever the inspector is looking at.
    if (this.waiting !== null && change.waiting > this.waiting) call("stop");
    this.waiting = change.waiting;
    this.paintBanner();
  }

  /** The whole page tells whether the line stands. */
  paintLine() {
    const shown = shownState();
    const line = shown === "WAITING" ? "waiting" : shown === "FAULT" ? "fault" : "";
    if (document.documentElement.dataset.line !== line) document.documentElement.dataset.line = line;
  }

  /** How long `part` has waited; from half of the time allowed on amber, then red, with words and a call. */
  tick(part) {
    this.age.hidden = !part;
    if (!part) return;
    const limit = state.boot.escalate_s ?? 0, waited = secondsSince(part.opened_at);
    const level = limit > 0 && waited >= limit ? "late" : limit > 0 && waited >= limit / 2 ? "soon" : "";
    const words = text(level === "late" ? "age.late" : "age.waiting", { age: ageOf(part.opened_at) });
    if (this.age.dataset.level !== level) this.age.dataset.level = level;
    if (this.age.dataset.words !== words) {
      this.age.dataset.words = words;
      this.age.innerHTML = `${icon(level === "late" ? "bell" : "clock")}<span>${safe(words)}</span>`;
    }
    if (level === "late" && !part.peeked && performance.now() - this.calledAt >= AGAIN_MS) {
      this.calledAt = performance.now();
      call("call");
    }
  }

  paintBanner() {
    const found = state.change?.systematic ?? null;
    // The same row goes on: the panel looks back only so far, so its beginning may move while it is the same one.
    const away = dismissed();
    const same = found !== null && away?.label === found.label && found.since_number <= away.until;
    if (same) this.#dismiss(found);
    const shown = found !== null && !same;
    this.row = shown ? found : this.row;
    this.banner.hidden = !shown;
    if (!shown) return;
    const known = found.label && found.count;
    const words = known ? text("systematic.words", { title: titleOf(found.label), n: found.count, number: found.since_number }) : found.words;
    if (this.banner.dataset.words === words) return;
    this.banner.dataset.words = words;
    this.banner.innerHTML = `${icon("warn")}<div><b>${safe(text("systematic.title"))}</b><span>${safe(words)}</span></div>
      <button type="button" aria-label="${safe(text("systematic.dismiss"))}">${icon("cross")}<span>${safe(text("systematic.dismiss"))}</span></button>`;
  }

  #dismiss(row) {
    const until = Math.max(row.since_number, ...(state.change?.recent ?? []).map((part) => part.number));
    try {
      sessionStorage.setItem(DISMISSED, JSON.stringify({ label: row.label, until }));
    } catch { /* private window: comes back with the next change */ }
    this.banner.hidden = true;
  }
}

function dismissed() {
  try {
    return JSON.parse(sessionStorage.getItem(DISMISSED));
  } catch {
    return null;
  }
}
