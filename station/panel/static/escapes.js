// How many defective parts leave, as far as audits, stops and known parts tell? A card of its own, without footage.
import { atMost, ofAll, percent, ppm, share, whole } from "./figures.js";
import { icon } from "./icons.js";
import { ask, safe, text } from "./link.js";
import { clock, day } from "./past.js";

export class EscapesCard {
  constructor(room, bench) {
    this.room = room;
    this.bench = bench;
    this.out = room.querySelector(".wb-out");
    this.target = room.querySelector("input");
    this.target.addEventListener("change", () => this.look());
  }

  async look() {
    const target = Number(this.target.value) / 100;
    if (!(target > 0 && target < 1)) return;
    const asked = new URLSearchParams({ target });
    if (this.bench.data?.tuning.parts) asked.set("footage", this.bench.name);
    try {
      this.paint(await ask(`/api/workbench/escapes?${asked}`));
    } catch (failure) {
      this.out.innerHTML = `<p class="wb-bad">${icon("warn")} ${safe(failure.code === "no_ledger" ? text("wb.no.run") : text("wb.refused", { words: failure.message }))}</p>`;
    }
  }

  paint(it) {
    const b = it.bounds, tiles = [];
    const tile = (name, main, ...under) => tiles.push(`<div><dt>${safe(text(name))}</dt><dd><b>${main}</b>${under.filter(Boolean).map((u) => `<small>${safe(u)}</small>`).join("")}</dd></div>`);
    tile("wb.audits", it.audits ? safe(whole(it.audits.of)) : "0", it.audits ? text("wb.audits.found", { n: whole(it.audits.count) }) : text("wb.audits.none", { share: percent(it.audit_fraction) }));
    if (b) {
      tile("wb.escape.live", safe(atMost(b.live)), text("wb.escape.live.more", { ppm: ppm(b.live, true) }));
      tile("wb.escape.fixed", safe(atMost(b.fixed)), text("wb.escape.fixed.more"));
      tile("wb.toaudit", b.to_audit_live ? safe(whole(b.to_audit_live)) : icon("ok"), text(b.to_audit_live ? "wb.toaudit.more" : "wb.toaudit.done", { target: percent(b.target), fixed: whole(b.to_audit_fixed) }));
    }
    tile("wb.product", it.product === null ? "–" : safe(atMost(it.product)), it.product === null ? text(it.misses ? "wb.product.unbound" : "wb.product.none") : text("wb.product.more", { ppm: ppm(it.product, true), confirmed: whole(it.confirmed), waiting: whole(it.waiting), passed: whole(it.passed) }));
    const since = text("wb.escapes.since", { at: `${day(it.since)} ${clock(it.since)}`, n: whole(it.passed) });
    this.out.innerHTML = `<p class="wb-muted">${safe(since)}</p><dl class="wb-tiles">${tiles.join("")}</dl>${this.#alarm(it)}${this.#total(it)}`;
  }

  #alarm(it) {
    if (it.alarm === null) return "";
    return it.alarm
      ? `<p class="wb-alarm" role="alert">${icon("warn")} <span><b>${safe(text("wb.alarm"))}</b> ${safe(text("wb.alarm.words", { audits: ofAll(it.audits), misses: ofAll(it.misses) }))}</span></p>`
      : `<p class="wb-calm"><span class="wb-sign" data-tone="good">${icon("ok")}</span> ${safe(text("wb.alarm.none"))}</p>`;
  }

  #total(it) {
    if (!it.total) return `<p class="wb-muted">${safe(text("wb.total.none"))}</p>`;
    const row = (key, value, under) => `<tr><th scope="row">${safe(text(key))}<small>${safe(under)}</small></th><td><b>${value === null ? "–" : safe(atMost(value))}</b></td></tr>`;
    const people = it.inspectors ? text("wb.total.inspector.of", { said: ofAll(it.inspectors), share: share(it.inspectors) }) : text("wb.total.inspector.none");
    return `<h3>${safe(text("wb.total"))}</h3><table class="wb-rates"><tbody>
      ${row("wb.total.model", it.total.model, text("wb.total.model.of", { said: ofAll(it.misses) }))}
      ${row("wb.total.inspector", it.inspectors ? it.total.inspector : null, people)}
      ${row("wb.total.all", it.inspectors ? it.total.total : null, text(it.inspectors ? "wb.total.all.of" : "wb.total.unmeasured"))}
      ${row("wb.total.unaudited", it.total.unaudited, text("wb.total.unaudited.of", { share: percent(it.audit_fraction) }))}
    </tbody></table>`;
  }
}
