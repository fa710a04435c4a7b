// Which limits would be right? The engineer's bench: footage, limits, what they do, and what becomes of them.
import { Bench } from "./bench.js";
import { CertificateCard } from "./certificate.js";
import { Curves } from "./curves.js";
import { Difference } from "./difference.js";
import { EscapesCard } from "./escapes.js";
import { whole } from "./figures.js";
import { Histogram } from "./histogram.js";
import { icon } from "./icons.js";
import { ask, label, on, safe, start, state, text } from "./link.js";
import { classTable, operatingTable } from "./operating.js";
import { Proposals } from "./proposals.js";
import { Scoring } from "./scored.js";
import { Versions } from "./versions.js";
import { titleOf } from "./words.js";

const LAST = "station.workbench.footage";
const LOOK_MS = 15000; // others draft, approve and audit meanwhile

export async function mount(element) {
  await start();
  const root = element.querySelector("#st-workbench");
  const at = (id) => element.querySelector(`#wb-${id}`);
  const bench = new Bench();
  const histogram = new Histogram(at("plot"), (what, value) => bench.set(bench.moved, what, value));
  const curves = new Curves(at("curves"));
  const difference = new Difference(at("diff"), bench);
  const certificate = new CertificateCard(at("cert"), bench, (looks) => { bench.data.footage.looks = looks; facts(); });
  const scoring = new Scoring(at("need"), bench, (name) => open(name));
  const versions = new Versions(at("ver"), bench, { certificate: () => certificate.kept, acted: () => bench.name && open(bench.name) });
  const escapes = new EscapesCard(at("esc"), bench);
  new Proposals(at("propose"), bench);
  let footages = [], begun = false;

  function names() {
    label(element);
    list();
    if (bench.data) opened();
    for (const card of [difference, certificate]) card.paint();
    root.dataset.ready = "yes";
  }

  function list() {
    const options = footages.map((f) => `<option value="${safe(f.name)}"${f.refused ? " disabled" : ""}>${safe(f.name)}${f.refused ? "" : ` · ${safe(text("wb.parts", { n: whole(f.parts) }))}`}</option>`);
    at("footage").innerHTML = `<option value="">${safe(text(footages.length ? "wb.footage.choose" : "wb.footage.none"))}</option>${options.join("")}`;
    at("footage").value = bench.name ?? "";
    if (!bench.name) empty(footages.length ? text("wb.footage.choose.words") : text("wb.footage.none.words"));
  }

  function empty(words, tone = "") {
    at("empty").hidden = false;
    root.dataset.open = "";
    at("empty").innerHTML = `${icon(tone === "bad" ? "warn" : "tray")}<p>${safe(words)}</p>`;
  }

  async function look() {
    try {
      ({ footages } = await ask("/api/workbench/footages"));
    } catch (failure) {
      empty(text("wb.refused", { words: failure.message }), "bad");
      return;
    }
    list();
    const last = stored();
    const wanted = footages.find((f) => f.name === last && !f.refused) ?? (footages.length === 1 && !footages[0].refused ? footages[0] : null);
    if (!bench.name && wanted) await open(wanted.name);
    scoring.look();
  }

  async function open(name) {
    at("empty").innerHTML = `<p>${safe(text("wb.opening", { name }))}</p>`;
    try {
      await bench.open(name);
      keep(name);
    } catch (failure) {
      bench.close();
      empty(failure.code === "no_ledger" ? text("wb.no.run") : text("wb.refused", { words: failure.message }), "bad");
    }
    at("footage").value = bench.name ?? "";
  }

  function opened() {
    facts();
    if (!bench.data) return;
    const { data } = bench, ready = data.sides !== null && data.tuning.parts > 0;
    at("empty").hidden = ready;
    root.dataset.open = ready ? "yes" : "";
    if (!ready) empty(text(data.sides === null ? "wb.split.words" : "wb.nothing.scored"));
    at("mm2").hidden = data.mm_per_px === null;
    classes();
    typed();
  }

  function facts() {
    const d = bench.data;
    at("facts").innerHTML = !d ? "" : [
      [text("wb.recipe"), `${d.recipe} · ${d.model}`],
      [text("wb.tuning"), d.sides ? text("wb.tuning.parts", { n: whole(d.tuning.parts), defective: whole(d.tuning.defective), good: whole(d.tuning.good), out: whole(d.tuning.left_out) }) : "–"],
      [text("wb.sealed"), d.sides ? text("wb.sealed.parts", { n: whole(d.sides.sealed.units), looks: whole(d.footage.looks) }) : "–"],
    ].map(([name, words]) => `<div><span>${safe(name)}</span><b>${safe(words)}</b></div>`).join("");
  }

  function classes() {
    at("classes").innerHTML = bench.data.classes.map((c) => `<button type="button" data-class="${safe(c.name)}" aria-pressed="${c.name === bench.moved}"><b>${safe(titleOf(c.name))}</b><small>${safe(text("wb.class.parts", { n: whole(c.defective), severity: text(`wb.severity.${c.severity}`) }))}</small></button>`).join("");
  }

  function typed() {
    const mine = bench.limits[bench.moved];
    for (const field of at("typed").querySelectorAll("input")) {
      const value = mine?.[field.name];
      if (document.activeElement !== field || Number(field.value) !== value) field.value = value === null || value === undefined ? "" : String(Math.round(value * 10000) / 10000);
    }
    at("reset").disabled = bench.same;
  }

  // What moves is drawn at once, with the figures that are there; the panel's come when they come.
  function draw() {
    if (!bench.data || root.dataset.open !== "yes") return;
    const name = bench.moved, mine = bench.limits[name], inForce = bench.data.in_force.classes[name];
    const fits = bench.answer?.moved === name ? bench.answer : null;
    histogram.paint(name, fits?.histogram, mine, inForce);
    curves.paint(fits?.curves, mine, inForce, bench.data.classes.find((c) => c.name === name).alpha);
    at("spoken").textContent = curves.words(fits?.curves, mine);
  }

  function told() {
    const { parts_per_h, review_s } = bench.answer.assumed;
    at("rates").innerHTML = operatingTable(bench.answer, (parts_per_h * review_s) / 60, bench.data.delta);
    at("by-class").innerHTML = classTable(bench);
    draw();
    performance.clearMarks("station-workbench");
    performance.mark("station-workbench", { detail: { limits: bench.answer.limits, moved: bench.answer.moved } });
  }

  function assumed() {
    const a = bench.assumed, form = at("assumed").elements;
    form.prevalence.value = String(Math.round(a.prevalence * 1e6) / 1e4);
    for (const name of ["parts_per_h", "review_s", "review_minute", "overkill"]) form[name].value = String(a[name]);
    for (const name of ["critical", "major", "minor"]) form[name].value = String(a.escape_cost[name]);
  }

  bench.addEventListener("opened", () => { opened(); if (bench.data) draw(); escapes.look(); });
  bench.addEventListener("limits", () => { classes(); typed(); draw(); });
  bench.addEventListener("answer", told);
  bench.addEventListener("refused", ({ detail }) => { at("rates").innerHTML = `<p class="wb-bad">${icon("warn")} ${safe(text("wb.refused", { words: detail.message }))}</p>`; });
  at("footage").addEventListener("change", (event) => { if (event.target.value) open(event.target.value); });
  at("classes").addEventListener("click", (event) => {
    const button = event.target.closest("[data-class]");
    if (!button) return;
    bench.choose(button.dataset.class);
    at("classes").querySelector(`[data-class="${CSS.escape(bench.moved)}"]`).focus({ preventScroll: true });
  });
  at("typed").addEventListener("change", (event) => {
    const { name, value } = event.target, number = Number(value), size = name.startsWith("min_area");
    const right = size ? number >= 0 : value !== "" && number >= 0 && number <= 1;
    if (right) bench.set(bench.moved, name, size ? number || null : number);
    else typed();
  });
  at("typed").addEventListener("submit", (event) => event.preventDefault());
  at("reset").addEventListener("click", () => bench.take(bench.data.in_force.classes));
  at("assumed").addEventListener("change", () => {
    const form = at("assumed").elements, given = (name) => Math.max(0, Number(form[name].value) || 0);
    bench.assume({
      prevalence: Math.min(1, given("prevalence") / 100), parts_per_h: given("parts_per_h"), review_s: given("review_s"), review_minute: given("review_minute"), overkill: given("overkill"),
      escape_cost: { critical: given("critical"), major: given("major"), minor: given("minor") },
    });
    assumed();
  });
  at("assumed").addEventListener("submit", (event) => event.preventDefault());
  on("boot", names);
  const shown = () => root.getClientRects().length > 0;
  new ResizeObserver(() => {
    if (!shown()) return;
    draw();
    if (begun) return;
    begun = true;
    look();
    versions.look();
    escapes.look();
  }).observe(root);
  new MutationObserver(draw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  setInterval(() => { if (shown() && state.permissions.includes("workbench") && at("ver").querySelector("form").hidden) { versions.refresh(); escapes.look(); } }, LOOK_MS);
  assumed();
  names();
}

function stored() {
  try {
    return localStorage.getItem(LAST);
  } catch {
    return null;
  }
}

function keep(name) {
  try {
    localStorage.setItem(LAST, name);
  } catch { /* private window */ }
}
