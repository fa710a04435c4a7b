// Is every part of this footage dealt and scored? If not: what is missing, a button for it, and how far it is.
import { whole } from "./figures.js";
import { icon } from "./icons.js";
import { ask, safe, text } from "./link.js";

const LOOK_MS = 1000;

export class Scoring {
  /** `done(name)` is called when a footage has to be opened anew. */
  constructor(room, bench, done) {
    Object.assign(this, { room, bench, done });
    this.told = null; // the newest replay
    this.words = ""; // of a refusal
    this.timer = 0;
    room.addEventListener("click", (event) => {
      const button = event.target.closest("[data-do]");
      if (button) this.#do(button.dataset.do, button.dataset.by);
    });
    bench.addEventListener("opened", () => { this.words = ""; this.paint(); });
  }

  async look() {
    try {
      const { scoring } = await ask("/api/workbench/score");
      this.#take(scoring);
    } catch { /* asked again with the next look */ }
  }

  async #do(what, by) {
    const footage = this.bench.name;
    this.words = "";
    try {
      if (what === "score") this.#take((await ask("/api/workbench/score", { footage })).scoring);
      if (what === "stop") this.#take((await ask("/api/workbench/score/stop", {})).scoring);
      if (what === "split") {
        await ask("/api/workbench/split", { footage, by });
        this.done(footage);
      }
    } catch (failure) {
      this.words = text("wb.refused", { words: failure.message });
      this.paint();
    }
  }

  #take(scoring) {
    const ran = this.told?.running;
    this.told = scoring;
    this.paint();
    clearTimeout(this.timer);
    if (scoring?.running) this.timer = setTimeout(() => this.look(), LOOK_MS);
    else if (ran && this.bench.name === scoring?.footage) this.done(scoring.footage);
  }

  paint() {
    const { data, name } = this.bench, rows = [], running = this.told?.running ? this.told : null;
    if (data && data.sides === null) {
      rows.push(`<p>${icon("warn")} <span>${safe(text("wb.split.needed"))}</span> <button type="button" class="wb-main" data-do="split" data-by="part">${safe(text("wb.split.part"))}</button>${data.footage.lots > 1 ? ` <button type="button" data-do="split" data-by="lot">${safe(text("wb.split.lot"))}</button>` : ""}</p>`);
    } else if (data?.sides.nowhere) {
      rows.push(`<p>${icon("warn")} <span>${safe(text("wb.split.nowhere", { n: whole(data.sides.nowhere) }))}</span> <button type="button" data-do="split" data-by="${safe(data.sides.by)}">${safe(text("wb.split.more"))}</button></p>`);
    }
    if (running) {
      const { done, total, footage } = running;
      rows.push(`<p><span>${safe(text("wb.scoring", { name: footage, n: whole(done), all: whole(total) }))}</span> <progress max="${total}" value="${done}" aria-label="${safe(text("wb.scoring.bar"))}"></progress> <button type="button" data-do="stop">${safe(text("wb.score.stop"))}</button></p>`);
    } else if (data?.unscored) {
      rows.push(`<p>${icon("warn")} <span>${safe(text("wb.unscored", { n: whole(data.unscored), all: whole(data.footage.parts) }))}</span> <button type="button" class="wb-main" data-do="score">${safe(text("wb.score"))}</button></p>`);
    }
    if (!running && this.told?.failed && this.told.footage === name) rows.push(`<p class="wb-bad">${icon("warn")} <span>${safe(text("wb.score.failed", { words: this.told.failed }))}</span></p>`);
    if (this.words) rows.push(`<p class="wb-bad">${icon("warn")} <span>${safe(this.words)}</span></p>`);
    this.room.hidden = rows.length === 0;
    this.room.innerHTML = rows.join("");
  }
}
