// What does the station do right now? The camera, state and faults, the shift in figures, the last parts.
import { Camera } from "./camera.js";
import { STATE_ICON, VERDICT_ICON, icon } from "./icons.js";
import { ask, label, now, on, safe, sentence, shownState, start, state, text } from "./link.js";
import { whole } from "./past.js";
import { thumbnail } from "./strip.js";
import { reasonOf } from "./words.js";

const STAGES_SHOWN = ["detect", "image", "commit", "line"];
const FIGURES_MS = 5000;

export async function mount(element) {
  await start();
  const root = element.querySelector("#st-live");
  const at = (id) => element.querySelector(`#${id}`);
  const camera = new Camera({ canvas: root.querySelector("canvas"), stamp: at("lv-stamp"), none: at("lv-nocam") });
  let figures = { rate: null, checks: null };
  let seen = false;

  const visible = () => seen && !document.hidden;
  const known = () => !["AWAY", "LOST", "CONNECTING"].includes(shownState());

  /** Replaces what stands in a box only where it differs: nothing flickers, nothing loads twice. */
  function put(id, html) {
    const box = at(id);
    if (box.made !== html) { box.made = html; box.innerHTML = html; }
  }

  function paintState() {
    const shown = shownState();
    at("lv-state").dataset.state = shown;
    put("lv-state", `${icon(STATE_ICON[shown])}<div><b>${safe(text(`state.${shown}`))}</b><span>${safe(known() ? text(`hint.${shown}`) : sentence(state.loop?.words) || text("live.unknownfaults"))}</span></div>`);
    root.dataset.stale = known() ? "" : "yes";
  }

  function paintFaults() {
    const faults = known() ? state.loop?.faults ?? [] : null;
    const row = (sign, head, words, since, tone) => `<li data-tone="${tone}">${icon(sign)}<div><b>${safe(head)}</b>${since ? `<time>${safe(text("live.since", { age: since }))}</time>` : ""}<p>${safe(words)}</p></div></li>`;
    const rows = faults === null ? row("plug", text("live.faults"), text("live.unknownfaults"), "", "warn")
      : faults.length ? faults.map((f) => row("warn", text(`fault.${f.kind}`), sentence(f.words), ageOf(f.since), "bad")).join("")
      : row("ok", text("live.nofaults"), text("live.nofaults.words"), "", "good");
    put("st-faults", `<ul aria-label="${safe(text("live.faults"))}">${rows}</ul>`);
  }

  function paintLast() {
    const part = state.change?.recent?.[0];
    if (!part) return put("lv-last", `<div class="lv-nothing">${icon("ring")}<b>${safe(text("live.none"))}</b><p>${safe(text("live.none.words"))}</p></div>`);
    const kind = part.hidden ? "hidden" : part.evaluation;
    const picture = part.image ? `<img src="${part.image}" alt="" decoding="async">` : icon("warn");
    put("lv-last", `<h3>${safe(text("live.last"))} <b>#${part.number}</b></h3><div class="lv-lastpart" data-kind="${kind}"><div class="lv-thumb">${picture}</div>
      <div><p class="lv-verdict">${icon(VERDICT_ICON[kind])}<b>${safe(text(`verdict.${kind}`))}</b></p><p>${safe(text(`disposition.${part.disposition}`))}</p><p class="lv-why">${safe(part.hidden ? text("live.hidden") : reasonOf(part))}</p></div></div>`);
  }

  function paintTiles() {
    const c = state.change?.counts;
    if (!c) return put("st-counts", "");
    const tile = (name, value, of, tone = "", sign = "") => `<div class="lv-tile" data-tile="${name}" data-tone="${tone}"><dt>${safe(text(`live.tile.${name}`))}</dt><dd class="lv-value">${value}${sign ? icon(sign) : ""}</dd><dd><small>${safe(of)}</small></dd></div>`;
    const share = (n, all) => (all ? `${(100 * n / all).toFixed(1).replace(".", text("number.point"))}<i>%</i>` : "–");
    const judged = c.parts - c.hidden; // parts under a first look have no verdict yet
    const of = (name, n, all) => text(`live.tile.${name}.of`, { n: whole(n), all: whole(all) });
    const since = new Date(Date.parse(state.change.since)).toLocaleTimeString(document.documentElement.lang, { hour: "2-digit", minute: "2-digit", hour12: false });
    const { rate } = figures, capacity = state.boot.capacity;
    const full = capacity && c.held >= capacity;
    const queue = capacity ? text("live.tile.queue.of", { held: whole(c.held), capacity }) : text("live.tile.queue.held", { held: whole(c.held) });
    put("st-counts", `<dl>${tile("parts", whole(c.parts), text("live.tile.parts.of", { since }))}${tile("yield", share(c.passed, judged), of("yield", c.passed, judged))}
      ${tile("overkill", share(c.overkill, judged), of("overkill", c.overkill, judged))}${tile("load", share(judged - c.passed, judged), of("load", judged - c.passed, judged))}
      ${tile("rate", rate ? `${(rate.parts / rate.minutes).toFixed(rate.parts < 100 * rate.minutes ? 1 : 0).replace(".", text("number.point"))}<i>${safe(text("live.tile.rate.unit"))}</i>` : "–", rate ? text("live.tile.rate.of", { n: whole(rate.parts), minutes: rate.minutes }) : "")}
      ${tile("queue", whole(c.waiting), queue, full ? "bad" : c.waiting ? "warn" : "good", full ? "warn" : c.waiting ? "tray" : "ok")}</dl>`);
  }

  function paintCycle() {
    const times = state.loop?.stage_ms ?? {}, total = times.trigger_to_line;
    const ms = (v) => (v >= 100 ? v.toFixed(0) : v.toFixed(1)).replace(".", text("number.point"));
    const head = `<h3>${safe(text("live.cycle"))} <small>ms</small></h3>`;
    if (!total) return put("st-cycle", `${head}<p>${safe(text("live.nocycle"))}</p>`);
    const row = (name, t, kind = "") => `<tr ${kind}><th scope="row">${safe(name)}</th><td>${ms(t.median)}</td><td>${ms(t.p99)}</td></tr>`;
    const dropped = state.loop.dropped_frames;
    put("st-cycle", `${head}<table><thead><tr><th></th><th scope="col">${safe(text("live.median"))}</th><th scope="col">${safe(text("live.p99"))}</th></tr></thead><tbody>${row(text("live.total"), total, 'class="lv-total"')}
      ${STAGES_SHOWN.filter((s) => times[s]).map((s) => row(text(`live.stage.${s}`), times[s])).join("")}</tbody></table>${dropped ? `<p class="lv-dropped">${icon("warn")}${safe(text("live.dropped", { n: whole(dropped) }))}</p>` : ""}`);
  }

  function paintChecks() {
    const { checks } = figures;
    at("lv-checks").hidden = !checks;
    if (!checks) return;
    const row = (name, [all, n], missed) => `<tr data-tone="${!all ? "" : missed ? "bad" : "good"}"><th scope="row">${safe(text(`live.checks.${name}`))}</th><td>${all ? `${icon(missed ? "cross" : "ok")}${safe(text("live.checks.of", { n: whole(n), all: whole(all) }))}` : safe(text("live.checks.none"))}</td></tr>`;
    const [audits, escapes] = checks.audits, [defects, found] = checks.defects, [good, right] = checks.good;
    put("lv-checks", `<h3>${safe(text("live.checks"))} <small>${safe(text("live.checks.days", { days: checks.days }))}</small></h3><table>${row("defects", [defects, found], found < defects)}${row("good", [good, right], right < good)}${row("audits", [audits, audits - escapes], escapes > 0)}</table>`);
  }

  function paintRecent() {
    const parts = state.change?.recent ?? [], list = root.querySelector("#st-recent ol");
    list.setAttribute("aria-label", text("live.strip", { n: parts.length }));
    const before = new Map([...list.children].map((li) => [li.dataset.part, li]));
    list.replaceChildren(...parts.map((p) => {
      const kind = p.hidden ? "hidden" : p.evaluation, key = `${kind}/${p.image}/${document.documentElement.lang}`;
      const had = before.get(p.part_id);
      if (had?.key === key) return had;
      const li = document.createElement("li");
      li.key = key;
      Object.assign(li.dataset, { part: p.part_id, kind });
      const picture = p.image ? `<img src="${thumbnail(p.image)}" alt="" decoding="async">` : icon("warn");
      li.innerHTML = `<div>${picture}<span>${icon(VERDICT_ICON[kind])}</span></div><b>#${p.number}</b><small>${safe(text(`verdict.${kind}`))}</small>`;
      return li;
    }));
  }

  async function askFigures() {
    if (!visible()) return;
    figures = await ask("/api/figures").catch(() => ({ rate: null, checks: null }));
    paintTiles();
    paintChecks();
  }

  function ageOf(moment) {
    const s = Math.max(0, Math.floor((now() - Date.parse(moment)) / 1000));
    return s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  }

  function paintStation() {
    if (!visible()) return;
    paintState();
    paintFaults();
    paintCycle();
  }

  function paint() {
    if (!visible()) return;
    paintStation();
    paintLast();
    paintTiles();
    paintChecks();
    paintRecent();
  }

  function look() {
    const before = root.dataset.seen === "yes", here = visible();
    root.dataset.seen = here ? "yes" : "";
    camera.run(here);
    if (here && !before) { paint(); askFigures(); }
  }

  label(element);
  on("change", paint);
  on("link", paint);
  on("boot", () => { label(element); paint(); });
  on("loop", paintStation);
  new IntersectionObserver((entries) => { seen = entries.at(-1).isIntersecting; look(); }).observe(root);
  document.addEventListener("visibilitychange", look);
  setInterval(askFigures, FIGURES_MS);
  root.dataset.ready = "yes";
}
