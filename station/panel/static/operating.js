// What do the limits in force do, and what do those being tried? The rates side by side, each with its denominator.
import { atMost, ofAll, percent, ppm, share, signed, whole } from "./figures.js";
import { icon } from "./icons.js";
import { safe, text } from "./link.js";
import { titleOf } from "./words.js";

/** The table of rates; `answer` is the panel's, `minutes` the review minutes an hour of a line load of 1. */
export function operatingTable(answer, minutes, delta) {
  const { in_force: was, tried: now } = answer;
  const rows = [
    row("wb.rate.miss", was.misses, now.misses, (it) => cell(share(it), ofAll(it), text("wb.at.most", { bound: atMost(it.upper) }))),
    row("wb.rate.escape", was.escapes === null ? null : was, now.escapes === null ? null : now, (it) =>
      cell(`${ppm(it.escapes)} ppm`, text("wb.of.passed"), text("wb.at.most", { bound: `${ppm(it.escapes_upper, true)} ppm` })), "escapes"),
    row("wb.rate.overkill", was.overkill, now.overkill, (it) => cell(share(it), ofAll(it))),
    row("wb.rate.review", was, now, (it) => cell(share(it.review_load), ofAll(it.review_load),
      it.line_load === null ? "" : text("wb.on.line", { share: percent(it.line_load), minutes: whole(Math.round(it.line_load * minutes)) })), "line_load"),
    row("wb.rate.rejected", was.rejected, now.rejected, (it) => cell(share(it), ofAll(it))),
  ];
  return `<table class="wb-rates"><thead><tr><th scope="col">${safe(text("wb.rate"))}</th><th scope="col">${safe(text("wb.in.force"))}</th><th scope="col">${safe(text("wb.tried"))}</th></tr></thead>
    <tbody>${rows.join("")}</tbody></table><p class="wb-foot">${safe(text("wb.rates.foot", { sure: percent(1 - delta) }))}</p>`;
}

/** Misses of every class; the class being moved stands out, and a click on another shows its curve. */
export function classTable(bench) {
  const { in_force: was, tried: now } = bench.answer;
  const rows = bench.data.classes.map((c) => {
    const a = was.by_class[c.name], b = now.by_class[c.name];
    const reached = b && b.upper <= c.alpha;
    const sign = b ? `<span class="wb-sign" data-tone="${reached ? "good" : "warn"}">${icon(reached ? "ok" : "warn")}${safe(text(reached ? "wb.shown" : "wb.notshown", { alpha: percent(c.alpha) }))}</span>` : `<span class="wb-sign" data-tone="muted">${safe(text("wb.noparts"))}</span>`;
    return `<tr${c.name === bench.moved ? ' data-now="yes"' : ""}><th scope="row">${safe(titleOf(c.name))}<small>${safe(text(`wb.severity.${c.severity}`))}</small></th>
      <td>${a ? `${safe(ofAll(a))}<small>${safe(text("wb.at.most", { bound: atMost(a.upper) }))}</small>` : "–"}</td>
      <td>${b ? `${safe(ofAll(b))}<small>${safe(text("wb.at.most", { bound: atMost(b.upper) }))}</small>` : "–"}</td><td>${sign}</td></tr>`;
  });
  return `<table class="wb-rates"><thead><tr><th scope="col">${safe(text("wb.missed.by.class"))}</th><th scope="col">${safe(text("wb.in.force"))}</th><th scope="col">${safe(text("wb.tried"))}</th><th scope="col">${safe(text("wb.promise"))}</th></tr></thead><tbody>${rows.join("")}</tbody></table>`;
}

function row(key, was, now, of, what = null) {
  const before = was ? value(was, what) : null, after = now ? value(now, what) : null;
  const way = before === null || after === null || Math.abs(after - before) < 1e-12 ? "" : after > before ? "up" : "down";
  const arrow = way ? `<i class="wb-way" data-way="${way}" title="${safe(text(`wb.way.${way}`))}">${way === "up" ? "▲" : "▼"}</i>` : "";
  return `<tr data-rate="${key}"><th scope="row">${safe(text(key))}</th><td>${was ? of(was) : "–"}</td><td>${now ? of(now).replace("</b>", `</b>${arrow}`) : "–"}</td></tr>`;
}

function value(it, what) {
  if (what) return it[what] ?? null;
  return it.of ? it.count / it.of : null;
}

function cell(main, ...under) {
  return `<b>${safe(main)}</b>${under.filter(Boolean).map((u) => `<small>${safe(u)}</small>`).join("")}`;
}

/** A share under both limits in one line, with what the change is. */
export function changeLine(change) {
  if (!change?.before) return safe(text("wb.nothing.labelled"));
  const { before, after } = change;
  return `<b>${safe(signed(after.count - before.count))}</b> <span>${safe(text("wb.change", { before: `${whole(before.count)}`, after: `${whole(after.count)}`, all: whole(after.of), share: percent(after.count / after.of) }))}</span>`;
}
