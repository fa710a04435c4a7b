// Where is the part looked at closely, and beside which good part? The two crops at pixel scale.
import { state, text } from "./link.js";
import { Loupe, decode, fetchPicture } from "./stage.js";

const LAZY_MS = 150; // a part looked at for so long is worth its aligned good part

export class Closer {
  /** `at(id)` finds an element; `current()` gives the part shown. */
  constructor(at, current) {
    this.at = at;
    this.current = current;
    this.loupe = new Loupe(at("crop-this"), at("crop-good"));
    new ResizeObserver(() => this.look(null)).observe(at("crop-this").parentElement);
  }

  /** Shows the place at `point`; without one the selected or strongest candidate, else the middle. */
  look(point) {
    const part = this.current();
    const bitmap = part?.bitmap ?? null;
    let box = null;
    if (bitmap) {
      const half = Math.min(bitmap.width, bitmap.height) / 10;
      const middle = point ?? [bitmap.width / 2, bitmap.height / 2];
      const best = part.judge?.defect ?? part.candidates?.find((c) => c.label === part.label) ?? part.candidates?.[0];
      box = !point && best ? best.xyxy : [middle[0] - half, middle[1] - half, middle[0] + half, middle[1] + half];
    }
    const good = part?.good?.bitmap ?? this.loupe.reference;
    const zoom = this.loupe.show(bitmap, box, good);
    this.at("crop-scale").textContent = zoom ? text("crop.scale", { n: zoom }) : "";
    this.at("crop-caption").textContent = text(good && !part?.good?.aligned ? "crop.unaligned" : "crop.good");
    this.at("crop-hint").hidden = !part || good !== null;
  }

  /** Asks for the good part laid over this one, once it is looked at, so that it never delays the next part. */
  later(part) {
    setTimeout(() => this.#align(part), LAZY_MS);
  }

  async #align(part) {
    if (part !== this.current() || !part.aligned || part.goodAsked) return;
    part.goodAsked = true;
    try {
      const { bitmap, headers } = await fetchPicture(part.aligned);
      part.good = { bitmap, aligned: headers.get("x-aligned") === "yes" };
    } catch {
      return; // the plain reference stays
    }
    if (part === this.current()) this.look(null);
  }

  /** The recipe's picture of a good part, for parts without an aligned one. */
  async loadReference() {
    this.loupe.reference = state.boot.reference ? await decode(state.boot.reference).catch(() => null) : null;
    this.look(null);
  }

  /** Which good part stands beside `part`, kept as evidence. */
  kind(part) {
    if (part.good) return part.good.aligned ? "aligned" : "unaligned";
    return this.loupe.reference ? "reference" : "none";
  }
}
