// Which limit would keep the promise, and which would be cheapest? Proposals; the engineer takes one or none.
import { atMost, limit, percent, whole } from "./figures.js";
import { icon } from "./icons.js";
import { ask, safe, text } from "./link.js";
import { titleOf } from "./words.js";

export class Proposals {
  /** `room` holds the three buttons and the words under them. */
  constructor(room, bench) {
    this.room = room;
    this.bench = bench;
    this.says = room.querySelector("[role=status]");
    room.addEventListener("click", (event) => {
      const button = event.target.closest("[data-propose]");
      if (button) this.#propose(button.dataset.propose);
    });
    bench.addEventListener("opened", () => this.clear());
  }

  clear() {
    this.says.innerHTML = "";
  }

  async #propose(which) {
    const label = this.bench.moved;
    let said;
    try {
      said = await ask("/api/workbench/propose", this.bench.asked());
    } catch (failure) {
      this.#say("warn", text("wb.refused", { words: failure.message }));
      return;
    }
    const title = titleOf(label), promise = said.promise?.pass_below ?? null;
    const found = which === "promise" ? promise : which === "cost" ? said.cost : promise === null || said.cost === null ? null : Math.min(promise, said.cost);
    const why = [];
    if (which !== "cost") {
      if (said.promise) why.push(text("wb.promise.said", { limit: limit(promise), missed: said.promise.misses.count, parts: whole(said.promise.misses.of), claim: atMost(said.promise.claim), sure: percent(1 - said.promise.delta) }));
      else if (!said.too_few.parts) why.push(text("wb.promise.none", { title, more: whole(said.too_few.more), alpha: percent(said.too_few.alpha) }));
      else why.push(text("wb.promise.few", { parts: whole(said.too_few.parts), bound: atMost(said.too_few.upper), more: whole(said.too_few.more), alpha: percent(said.too_few.alpha) }));
    }
    if (which !== "promise") why.push(said.cost === null ? text("wb.cost.none") : text("wb.cost.said", { limit: limit(said.cost) }));
    if (found === null) {
      this.#say("warn", `${text("wb.propose.none", { title })} ${why.join(" ")}`);
      return;
    }
    this.#say("ok", `${text("wb.propose.taken", { title, limit: limit(found) })} ${why.join(" ")}`);
    // Rounded down, never up: a limit above the one proposed promises less.
    this.bench.set(label, "pass_below", Math.floor(found * 10000) / 10000);
  }

  #say(sign, words) {
    this.says.innerHTML = `<span class="wb-sign" data-tone="${sign === "ok" ? "good" : "warn"}">${icon(sign)}</span> <span>${safe(words)}</span>`;
  }
}
