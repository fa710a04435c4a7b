// These limits instead of those in force: which parts get another verdict, and what does it change?
import { whole } from "./figures.js";
import { VERDICT_ICON, icon } from "./icons.js";
import { ask, safe, text } from "./link.js";
import { changeLine } from "./operating.js";
import { titleOf } from "./words.js";

/** The card of the difference; keeps what was told, so that a draft can carry it. */
export class Difference {
  constructor(room, bench) {
    this.room = room;
    this.bench = bench;
    this.told = null; // what the panel said
    this.asked = ""; // for which limits
    this.filter = "";
    this.out = room.querySelector(".wb-out");
    this.large = room.querySelector("dialog");
    room.querySelector("[data-do=diff]").addEventListener("click", () => this.ask());
    this.out.addEventListener("click", (event) => {
      const chosen = event.target.closest("[data-flips]"), part = event.target.closest("[data-part]");
      if (chosen) {
        this.filter = this.filter === chosen.dataset.flips ? "" : chosen.dataset.flips;
        this.paint();
      }
      if (part) this.#open(part.dataset.part);
    });
    this.large.addEventListener("click", (event) => { if (event.target === this.large || event.target.closest("button")) this.large.close(); });
    bench.addEventListener("limits", () => this.#stale());
    bench.addEventListener("opened", () => { this.told = null; this.paint(); });
  }

  /** The difference for the limits tried now, to be kept with a draft; `null` where it is about others. */
  get kept() {
    if (!this.told || this.asked !== JSON.stringify(this.bench.body())) return null;
    return { ...this.told, flips: this.told.flips.map(({ picture, ...flip }) => flip) };
  }

  async ask() {
    if (!this.bench.data) return;
    const body = this.bench.body();
    this.out.innerHTML = `<p class="wb-muted">${safe(text("wb.counting"))}</p>`;
    try {
      this.told = await ask("/api/workbench/diff", body);
      this.asked = JSON.stringify(body);
      this.filter = "";
      this.paint();
    } catch (failure) {
      this.told = null;
      this.out.innerHTML = `<p class="wb-bad">${icon("warn")} ${safe(text("wb.refused", { words: failure.message }))}</p>`;
    }
  }

  #stale() {
    if (this.told && this.kept === null) this.room.dataset.stale = "yes";
    else delete this.room.dataset.stale;
  }

  paint() {
    delete this.room.dataset.stale;
    const it = this.told;
    if (!it) {
      this.out.innerHTML = `<p class="wb-muted">${safe(text("wb.diff.hint"))}</p>`;
      return;
    }
    const sums = [["wb.rate.miss", it.misses], ["wb.rate.overkill", it.overkill], ["wb.rate.review", it.review_load]];
    const shown = it.flips.filter((f) => !this.filter || keyOf(f) === this.filter);
    this.out.innerHTML = `<p class="wb-stale">${icon("warn")} ${safe(text("wb.stale"))}</p>
      <dl class="wb-sums">${sums.map(([key, change]) => `<div><dt>${safe(text(key))}</dt><dd>${changeLine(change)}</dd></div>`).join("")}</dl>
      ${it.flipped ? `<p class="wb-flips-head">${safe(text("wb.flipped", { n: whole(it.flipped), all: whole(it.parts) }))}</p>
      <ul class="wb-counted">${Object.entries(it.counted).map(([key, n]) => `<li><button type="button" data-flips="${safe(key)}" aria-pressed="${this.filter === key}">${counted(key)} <b>${whole(n)}</b></button></li>`).join("")}</ul>
      <ul class="wb-flips">${shown.map((f) => this.#flip(f)).join("")}</ul>
      ${it.flips.length < it.flipped ? `<p class="wb-muted">${safe(text("wb.flips.first", { n: whole(it.flips.length) }))}</p>` : ""}` : `<p>${safe(text("wb.flipped.none"))}</p>`}`;
  }

  #flip(f) {
    const picture = f.picture ? `<img src="${this.#picture(f, true)}" alt="" loading="lazy" decoding="async">` : icon("warn");
    const wrong = f.truth !== null && ((f.truth === "ok") !== (f.after === "OK"));
    return `<li><button type="button" data-part="${safe(f.part)}" data-wrong="${f.truth === null ? "unknown" : wrong}">
      <span class="wb-thumb">${picture}</span><b>${safe(f.class ? titleOf(f.class) : "–")}</b>
      <span>${verdict(f.before)} ${icon("play")} ${verdict(f.after)}</span>
      <small>${safe(truthWords(f.truth))}</small></button></li>`;
  }

  #picture(f, small) {
    return `/api/workbench/picture/${encodeURIComponent(this.told.footage)}/${f.picture}${small ? "?small=1" : ""}`;
  }

  #open(key) {
    const f = this.told.flips.find((it) => it.part === key);
    if (!f) return;
    this.large.innerHTML = `<header><h3 id="wb-large-title">${safe(key)}</h3><button type="button">${icon("cross")} ${safe(text("wb.close"))}</button></header>
      ${f.picture ? `<img src="${this.#picture(f, false)}" alt="${safe(key)}">` : `<p>${safe(text("stage.none"))}</p>`}
      <p>${safe(f.class ? titleOf(f.class) : "")}: ${verdict(f.before)} ${icon("play")} ${verdict(f.after)} · ${safe(truthWords(f.truth))}</p>`;
    this.large.showModal();
  }
}

function keyOf(f) {
  return `${f.class ?? "part"}: ${f.before} -> ${f.after}`;
}

function counted(key) {
  const [, label, before, after] = key.match(/^(.*): (\w+) -> (\w+)$/) ?? [null, key, "", ""];
  return `${safe(titleOf(label))}: ${verdict(before)} ${icon("play")} ${verdict(after)}`;
}

function verdict(name) {
  return name ? `<span class="wb-verdict" data-kind="${safe(name)}">${icon(VERDICT_ICON[name])}${safe(text(`verdict.${name}`))}</span>` : "";
}

function truthWords(truth) {
  return truth === null ? text("wb.truth.none") : truth === "ok" ? text("wb.truth.good") : text("wb.truth.bad", { title: titleOf(truth) });
}
