// What does a press mean for the part shown? From key or button to an answer of the whole part or of one defect.
import { Judge } from "./judge.js";
import { canStore, state } from "./link.js";

const HOLD_KEYS_MS = 700; // after a part came back or was taken back: a key meant for another part must not hit it
const MIN_SIGHT_MS = 200; // nobody judges a part faster: a key that bounces must not answer the next one
const NOBODY = new Judge(null);

export class Answering {
  /**
   * `notice(kind, key)` says why a press is not taken; `evidence(part)` tells what the screen shows;
   * `repaint()` draws all words anew, `reselect()` what follows the selected defect, `redraw()` what follows drawing.
   */
  constructor({ desk, stage, note, notice, evidence, repaint, reselect, redraw }) {
    Object.assign(this, { desk, stage, note, notice, evidence, repaint, reselect, redraw });
    this.drawing = null; // null, "drag" or "class"
    this.deaf = 0; // keys are not heard before this moment
    this.seen = { id: null, at: 0 }; // the part shown, and since when
  }

  /** What was said of each defect of the part shown. */
  get judge() {
    return this.desk.current?.judge ?? NOBODY;
  }

  /** Whether the part shown can be answered here and now. */
  get possible() {
    const part = this.desk.current;
    return Boolean(part && !part.peeked && canStore() && state.person);
  }

  /** A part is shown: it is sight that begins, not a press meant for the part before. */
  appeared(part, why) {
    const id = part?.id ?? null;
    if (this.seen.id !== id) this.seen = { id, at: performance.now() };
    if (why === "back" || why === "undone") this.deaf = performance.now() + HOLD_KEYS_MS;
    if (part && !part.blind) part.judge ??= new Judge(part);
  }

  /** The part this press may answer; null where it may not, said why where that helps. */
  #heard() {
    const part = this.desk.current;
    if (performance.now() < Math.max(this.deaf, this.seen.at + MIN_SIGHT_MS) || !part || part.peeked || !state.person) return null;
    if (canStore()) return part;
    this.notice("hint", "notice.away");
    return null;
  }

  #give(part, given) {
    const words = this.note.take(part);
    this.desk.answer(words ? { ...given, note: words } : given, this.evidence(part));
  }

  /** One defect is answered, the others wait; with the last one the whole is sent. */
  #say(part, judgement) {
    const { judge } = this;
    judge.say(judgement);
    this.seen.at = performance.now();
    if (judge.complete) this.#give(part, { answer: null, judgements: judge.judgements });
    else this.reselect();
  }

  /** agree, false_alarm, draw, unsure, rework or undo. */
  press(which) {
    if (which === "undo") return this.#undo();
    const part = this.#heard();
    if (!part) return;
    const { judge } = this;
    if (which === "draw") return this.drawing ? this.cancelDrawing() : this.#beginDrawing(part);
    if (this.drawing) return this.notice("hint", "notice.drawing");
    if (which === "unsure" || which === "rework") return this.#give(part, { answer: which }); // of the whole part
    if (judge.complete && which === "agree") return this.#give(part, { answer: null, judgements: judge.judgements });
    if (judge.defect) return this.#say(part, { answer: which });
    if (which === "agree" && part.blind) return this.notice("hint", "notice.blindagree");
    if (which === "agree" && !part.proposed) return this.notice("hint", "notice.noagree");
    this.#give(part, { answer: which });
  }

  /** No defect, and why the machine saw one. */
  pressCause(cause) {
    const part = this.#heard();
    if (!part) return;
    if (this.drawing) return this.notice("hint", "notice.drawing");
    if (this.judge.defect) this.#say(part, { answer: "false_alarm", cause });
    else this.#give(part, { answer: "false_alarm", cause });
  }

  /** Another class, the class of a drawn box, or the proposed one: then it is agreed. */
  chooseClass(name) {
    const part = this.#heard();
    if (!part) return;
    const { judge } = this;
    if (this.drawing === "drag") return this.notice("hint", "draw.drag");
    if (this.drawing === "class") return this.#chooseDrawn(part, name);
    if (judge.defect) this.#say(part, judge.defect.label === name ? { answer: "agree" } : { answer: "other_class", label: name });
    else if (!part.blind && part.proposed === name) this.#give(part, { answer: "agree" });
    else this.#give(part, { answer: "other_class", label: name });
  }

  #chooseDrawn(part, name) {
    const xyxy = this.stage.drawn.map((v) => Math.round(v * 10) / 10);
    if (!this.judge.active) return this.#give(part, { answer: "missed_defect", label: name, xyxy });
    this.judge.draw(name, xyxy);
    this.cancelDrawing();
    this.reselect();
  }

  #undo() {
    if (this.drawing) return this.cancelDrawing();
    if (this.judge.back()) return this.reselect();
    if (!canStore()) return this.notice("hint", "notice.away");
    if (state.person && !this.desk.current?.peeked) this.desk.undo();
  }

  #beginDrawing(part) {
    if (part.picture !== "here") return this.notice("hint", "notice.nodraw");
    this.drawing = "drag";
    this.stage.startDrawing(() => { this.drawing = "class"; this.redraw(); });
    this.redraw();
  }

  /** Ends drawing without a word painted: the next part is. */
  endDrawing() {
    if (!this.drawing) return;
    this.drawing = null;
    this.stage.stopDrawing();
  }

  cancelDrawing() {
    this.endDrawing();
    this.repaint();
  }

  /** One answer counts for the whole part again. */
  leave() {
    this.judge.leave();
    this.reselect();
  }

  /** The next (1) or previous (-1) of several defects; false where there are not several. */
  step(by) {
    if (this.drawing || !this.possible || this.judge.defects.length < 2) return false;
    this.judge.step(by);
    this.reselect();
    return true;
  }

  /** What Escape leaves. */
  escape() {
    if (this.drawing) this.cancelDrawing();
    else if (this.judge.active) this.leave();
  }
}
