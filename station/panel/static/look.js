// What had the machine said to a part that was judged blind? Shown for a moment, after the answer has settled.
import { lookFace } from "./faces.js";
import { ask, state } from "./link.js";

const SHOWN_MS = 4000;
const MARGIN_MS = 1000; // after the undo time
const TRIES = 6;
const AGAIN_MS = 1500;

export class FirstLook {
  constructor(box) {
    this.box = box;
    this.line = Promise.resolve(); // one after the other
    this.asked = new Map(); // review id -> timer
  }

  /** A blind part was answered: asks for the machine's opinion when nothing can be taken back any more. */
  after(part) {
    const later = (state.boot.undo_s ?? 0) * 1000 + MARGIN_MS;
    this.asked.set(part.id, setTimeout(() => this.#ask(part, TRIES), later));
  }

  /** The answer was taken back: nothing to show. */
  forget(id) {
    clearTimeout(this.asked.get(id));
    this.asked.delete(id);
  }

  /** Another person sits here. */
  clear() {
    for (const id of [...this.asked.keys()]) this.forget(id);
  }

  async #ask(part, tries) {
    let seen;
    try {
      seen = await ask(`/api/first-look/${part.id}`);
    } catch {
      if (!this.asked.has(part.id)) return;
      if (tries > 1) this.asked.set(part.id, setTimeout(() => this.#ask(part, tries - 1), AGAIN_MS));
      else this.asked.delete(part.id);
      return;
    }
    if (!this.asked.delete(part.id)) return;
    this.line = this.line.then(() => this.#show(part, seen));
  }

  async #show(part, { said, machine }) {
    const face = lookFace(part.number, typeof said === "string" ? { answer: said } : said, machine);
    this.box.dataset.kind = face.kind;
    this.box.innerHTML = face.html;
    this.box.hidden = false;
    await new Promise((wake) => setTimeout(wake, SHOWN_MS));
    this.box.hidden = true;
  }
}
