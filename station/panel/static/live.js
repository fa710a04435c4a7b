// What does the station do right now? The live screen: last part, faults, counts, cycle time, the last parts.
import { titleOf } from "./faces.js";
import { VERDICT_ICON, icon } from "./icons.js";
import { label, now, on, safe, sentence, shownState, start, state, text } from "./link.js";
import { Stage, decode } from "./stage.js";

const STAGES_SHOWN = ["detect", "commit", "image", "line"];

export async function mount(element) {
  await start();
  label(element);
  const root = element.querySelector("#st-live");
  root.dataset.ready = "yes";
  const room = element.querySelector("#st-live-stage");
  const at = (name) => room.querySelector(`.st-${name}`);
  const stage = new Stage(room.querySelector("canvas"), room.querySelector("svg"), { titleOf });
  let shownId = null;
  let loading = 0;

  const visible = () => root.getClientRects().length > 0;

  async function paintLast() {
    const part = state.change?.recent?.[0] ?? null;
    at("idle").hidden = Boolean(part);
    for (const name of ["held", "age", "reason"]) at(name).hidden = !part;
    if (!part) {
      at("idle").innerHTML = `${icon("ring")}<h1>${safe(text("live.none"))}</h1><p>${safe(text("live.none.words"))}</p>`;
      at("nopic").hidden = true;
      stage.show(null, []);
      shownId = null;
      return;
    }
    paintPartWords(part);
    const id = `${part.part_id}/${part.hidden}/${part.disposition}`;
    if (id === shownId) return;
    shownId = id;
    const turn = ++loading;
    const bitmap = await decode(part.image).catch(() => null);
    if (turn !== loading) return;
    stage.show(bitmap, part.candidates ?? []);
    at("nopic").hidden = bitmap !== null;
    if (!bitmap) at("nopic").innerHTML = `${icon("warn")}<h2>${safe(text("stage.none"))}</h2>`;
  }

  function paintPartWords(part) {
    const kind = part.hidden ? "hidden" : part.evaluation;
    at("held").dataset.kind = kind;
    at("held").innerHTML = `${icon(VERDICT_ICON[kind])}<span>${safe(text(`verdict.${kind}`))}</span>`;
    at("age").textContent = `#${part.number} · ${text(`disposition.${part.disposition}`)}`;
    at("reason").textContent = part.hidden ? text("live.hidden") : sentence(part.reason);
  }

  function paintFaults() {
    const shown = shownState();
    const known = shown !== "AWAY" && shown !== "LOST" && shown !== "CONNECTING";
    const faults = known ? state.loop.faults : [];
    let inner;
    if (!known) inner = row("plug", text(`state.${shown}`), shown === "AWAY" ? sentence(state.loop?.words) : text("live.unknownfaults"), "", "bad");
    else if (!faults.length) inner = row("ok", text("live.nofaults"), text("live.nofaults.words"), "", "good");
    else inner = faults.map((f) => row("warn", text(`fault.${f.kind}`), sentence(f.words), since(f.since), "bad")).join("");
    const box = element.querySelector("#st-faults");
    const made = `<ul aria-label="${safe(text("live.faults"))}">${inner}</ul>`;
    if (box.dataset.made !== made) { box.dataset.made = made; box.innerHTML = made; }
  }

  const row = (sign, head, words, age, tone) =>
    `<li data-tone="${tone}">${icon(sign)}<div><b>${safe(head)}</b>${age ? `<time>${safe(age)}</time>` : ""}<p>${safe(words)}</p></div></li>`;

  function paintCounts() {
    const c = state.change?.counts;
    const box = element.querySelector("#st-counts");
    if (!c) { box.innerHTML = ""; return; }
    const cell = (name, n, tone = "", sign = "") => `<div data-tone="${n ? tone : ""}"><dt>${safe(text(`count.${name}`))}</dt><dd>${n}${sign ? icon(sign) : ""}</dd></div>`;
    const rate = (name, n, all) => `<div class="st-rate"><dt>${safe(text(`rate.${name}`))}</dt><dd>${all ? `${(100 * n / all).toFixed(1)} %` : "–"}</dd><small>${safe(text(`rate.${name}.of`, { n, all }))}</small></div>`;
    const judged = c.parts - c.hidden; // parts under a first look have no verdict yet
    const since = new Date(Date.parse(state.change.since)).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
    box.innerHTML = `<h3>${safe(text("live.today"))} <small>${safe(since)} –</small></h3><dl>
      ${cell("parts", c.parts)}${cell("passed", c.passed, "good", "ok")}${cell("rejected", c.rejected, "bad", "cross")}${cell("uncertain", c.uncertain, "warn", "question")}
      ${cell("undefined", c.undefined, "warn", "warn")}${cell("held", c.held, "warn", "pause")}${cell("waiting", c.waiting, "warn", "tray")}${cell("labels", c.labels)}
      </dl><dl class="st-rates">${rate("yield", c.passed, judged)}${rate("overkill", c.overkill, judged)}${rate("stopped", judged - c.passed, judged)}</dl>`;
  }

  function paintCycle() {
    const times = state.loop?.stage_ms ?? {};
    const total = times.trigger_to_line;
    const ms = (v) => (v >= 100 ? v.toFixed(0) : v.toFixed(1));
    const box = element.querySelector("#st-cycle");
    const head = `<h3>${safe(text("live.cycle"))} <small>ms</small></h3>`;
    if (!total) { box.innerHTML = `${head}<p class="st-muted">${safe(text("live.nocycle"))}</p>`; return; }
    const most = Math.max(...STAGES_SHOWN.map((s) => times[s]?.p99 ?? 0), 1e-3);
    const rows = STAGES_SHOWN.filter((s) => times[s]).map((s) =>
      `<tr><th scope="row">${safe(s)}</th><td class="st-meter"><i style="width:${100 * times[s].p99 / most}%"></i><b style="width:${100 * times[s].median / most}%"></b></td><td>${ms(times[s].median)}</td><td>${ms(times[s].p99)}</td></tr>`);
    box.innerHTML = `${head}<table><thead><tr><th></th><td></td><th scope="col">${safe(text("live.median"))}</th><th scope="col">${safe(text("live.p99"))}</th></tr></thead>
      <tbody><tr class="st-total"><th scope="row" colspan="2">${safe(text("live.total"))}</th><td>${ms(total.median)}</td><td>${ms(total.p99)}</td></tr>${rows.join("")}</tbody></table>
      ${state.loop.dropped_frames ? `<p class="st-dropped">${safe(text("live.dropped", { n: state.loop.dropped_frames }))}</p>` : ""}`;
  }

  function paintRecent() {
    const parts = state.change?.recent ?? [];
    element.querySelector("#st-recent").innerHTML = `<ol aria-label="${safe(text("live.strip", { n: parts.length }))}">${parts.map((p) => {
      const kind = p.hidden ? "hidden" : p.evaluation;
      const picture = p.image ? `<img src="${p.image}" alt="" loading="lazy" decoding="async">` : "";
      return `<li data-kind="${kind}"><div>${picture}<span title="${safe(text(`verdict.${kind}`))}">${icon(VERDICT_ICON[kind])}</span></div><b>#${p.number}</b><small>${safe(text(`verdict.${kind}`))}</small></li>`;
    }).join("")}</ol>`;
  }

  function since(moment) {
    const s = Math.max(0, Math.floor((now() - Date.parse(moment)) / 1000));
    return s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  }

  function paint() {
    if (!visible()) return;
    root.dataset.stale = ["AWAY", "LOST"].includes(shownState()) ? "yes" : "";
    paintLast();
    paintFaults();
    paintCounts();
    paintCycle();
    paintRecent();
  }

  on("change", paint);
  on("link", paint);
  on("boot", paint);
  on("loop", () => { if (visible()) { root.dataset.stale = ["AWAY", "LOST"].includes(shownState()) ? "yes" : ""; paintFaults(); paintCycle(); } });
  new ResizeObserver(paint).observe(root);
  paint();
}
