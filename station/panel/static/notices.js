// What is said for a moment over the picture? Stored, taken back, refused, not stored.
import { icon } from "./icons.js";
import { safe, text } from "./link.js";
import { causeOf, titleOf } from "./words.js";

const SHOWN_MS = { stored: 2500, undone: 4000, conflict: 7000, failed: 12000, busy: 0, hint: 3000 };
const SIGN = { stored: "ok", busy: "ring", undone: "undo", conflict: "persons", failed: "warn", hint: "warn" };

export class Notices {
  constructor(box) {
    this.box = box;
    this.timer = 0;
  }

  /** Shows the words for `key`; what failed is not covered by what is still under way. */
  say(kind, key, values = {}) {
    if (key === "notice.stored") values = { ...values, answer: answered(values) };
    if (kind === "busy" && this.box.dataset.kind === "failed") return;
    this.box.dataset.kind = kind;
    this.box.innerHTML = `${icon(SIGN[kind])}<span>${safe(text(key, values))}</span>`;
    clearTimeout(this.timer);
    if (SHOWN_MS[kind]) this.timer = setTimeout(() => this.clear(), SHOWN_MS[kind]);
  }

  clear() {
    this.box.dataset.kind = "";
    this.box.textContent = "";
  }
}

function answered({ answer, label, cause }) {
  return cause ? text("said.cause", { cause: causeOf(cause) }) : text(`said.${answer}`, { class: titleOf(label) });
}
