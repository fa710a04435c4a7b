// What has been said of each defect of one part, when they are answered one by one? Pure: no screen, no panel.

/** The answers to one part's proposed defects, and the defects drawn beside them. */
export class Judge {
  constructor(part) {
    const proposed = (part?.candidates ?? []).filter((c) => Number.isInteger(c.defect));
    this.defects = proposed.sort((a, b) => a.defect - b.defect);
    this.said = new Map(); // number of the defect -> {answer, label?, cause?}
    this.drawn = []; // {label, xyxy}
    this.order = []; // what was said or drawn, oldest first: the way back
    this.selected = null; // place in `defects`, null: all at once
  }

  get active() {
    return this.selected !== null || this.order.length > 0;
  }

  /** The selected defect, null while none is. */
  get defect() {
    return this.selected === null ? null : this.defects[this.selected];
  }

  get complete() {
    return this.defects.length > 0 && this.defects.every((d) => this.said.has(d.defect));
  }

  select(number) {
    const at = this.defects.findIndex((d) => d.defect === number);
    this.selected = at < 0 ? null : at;
  }

  /** Goes on to the next (1) or back to the previous (-1) defect, round and round. */
  step(by) {
    const n = this.defects.length;
    if (n) this.selected = this.selected === null ? (by > 0 ? 0 : n - 1) : (this.selected + by + n) % n;
  }

  /** Says something of the selected defect and goes on to the next unanswered one. */
  say(judgement) {
    const { defect } = this.defect;
    this.said.set(defect, judgement);
    this.order = [...this.order.filter((o) => o !== defect), defect];
    const n = this.defects.length;
    for (let k = 1; k <= n; k++) {
      const next = (this.selected + k) % n;
      if (!this.said.has(this.defects[next].defect)) { this.selected = next; return; }
    }
  }

  /** Adds a defect the model missed. */
  draw(label, xyxy) {
    this.drawn.push({ label, xyxy });
    this.order.push("drawn");
  }

  /** Takes back what was said or drawn last; false where nothing was. */
  back() {
    const last = this.order.pop();
    if (last === undefined) return false;
    if (last === "drawn") this.drawn.pop();
    else { this.said.delete(last); this.select(last); }
    return true;
  }

  /** Everything said so far is dropped: one answer counts for the whole part again. */
  leave() {
    this.said.clear();
    this.drawn = [];
    this.order = [];
    this.selected = null;
  }

  /** As the panel takes it. */
  get judgements() {
    const about = this.defects.map((d) => ({ defect: d.defect, ...this.said.get(d.defect) }));
    return [...about, ...this.drawn.map((d) => ({ defect: null, answer: "missed_defect", ...d }))];
  }
}
