// Which parts were there, and what became of them? The search, its pages, and what passed since a moment.
import { icon } from "./icons.js";
import { ask, label, on, safe, start, state, text } from "./link.js";
import { answerWords, clock, day, dispositionFace, verdictFace, whole } from "./past.js";
import { Story } from "./story.js";
import { thumbnail } from "./strip.js";
import { score, titleOf } from "./words.js";

const EVALUATIONS = ["OK", "NOT_OK", "NOT_DECIDABLE", "UNDEFINED"];
const DISPOSITIONS = ["RELEASE", "HOLD", "REJECT", "REWORK"];
const PAGE = 50;
const MOST_EMPTY_PAGES = 40; // a search for something rare goes on by itself over so many parts-worth of pages

/** A local time typed into a field as the panel reads it; empty stays empty. */
export function asMoment(typed) {
  return typed ? new Date(typed).toISOString() : "";
}

/** A moment as a datetime-local field takes it. */
function asTyped(date) {
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60000);
  return local.toISOString().slice(0, 19);
}

export async function mount(element) {
  await start();
  const root = element.querySelector("#st-history");
  const at = (id) => element.querySelector(`#hx-${id}`);
  const form = at("asked"), passed = at("passed");
  const story = new Story(at("story"), { close: showList, changed: () => search(), step });
  let turn = 0, next = null, shown = [], begun = false, opened = null;

  function names() {
    label(element);
    const options = (name, entries) => {
      const field = form.elements[name], was = field.value;
      field.innerHTML = `<option value="">${safe(text("history.any"))}</option>${entries.map(([value, words]) => `<option value="${safe(value)}">${safe(words)}</option>`).join("")}`;
      field.value = entries.some(([value]) => value === was) ? was : "";
    };
    options("label", state.boot.classes.map((c) => [c.name, titleOf(c.name)]));
    options("evaluation", EVALUATIONS.map((e) => [e, text(`verdict.${e}`)]));
    options("disposition", DISPOSITIONS.map((d) => [d, text(`disposition.${d}`)]));
    options("person", (names.people ?? []).map((p) => [p, p]));
    root.dataset.ready = "yes";
  }

  async function askNames() {
    const said = await ask("/api/history/names").catch(() => null);
    if (!said) return;
    names.people = said.people;
    at("lots").innerHTML = said.lots.map((lot) => `<option value="${safe(lot)}"></option>`).join("");
    names();
  }

  function query(before) {
    const asked = new URLSearchParams();
    for (const [name, value] of new FormData(form)) {
      const given = name === "since" || name === "until" ? asMoment(value) : value.trim();
      if (given) asked.set(name, given);
    }
    asked.set("limit", PAGE);
    if (before !== null) asked.set("before", before);
    return asked;
  }

  function say(words, tone = "") {
    at("say").textContent = words;
    at("say").dataset.tone = tone;
  }

  async function search() {
    shown = [];
    next = null;
    at("body").replaceChildren();
    at("rows").scrollTop = 0;
    await page(null);
  }

  async function page(before) {
    const mine = ++turn;
    at("more").hidden = true;
    say(text("history.searching"), "busy");
    try {
      // A page may come back empty and still have a next one: the ledger is looked through in short steps.
      for (let pages = 0; ; pages++) {
        const said = await ask(`/api/history?${query(before)}`);
        if (mine !== turn) return;
        add(said.parts);
        next = before = said.next;
        if (said.parts.length || next === null || pages === MOST_EMPTY_PAGES) break;
        say(text("history.looking", { number: whole(next) }), "busy");
      }
    } catch (error) {
      if (mine === turn) say(text("history.failed", { words: error.message }), "bad");
      return;
    }
    at("more").hidden = next === null;
    if (!shown.length) say(text(next === null ? "history.none" : "history.none.yet", { number: next === null ? "" : whole(next) }));
    else say(text(next === null ? "history.all" : "history.some", { n: whole(shown.length) }));
  }

  function add(parts) {
    shown.push(...parts);
    at("body").insertAdjacentHTML("beforeend", parts.map(row).join(""));
  }

  function row(part) {
    const picture = part.image ? `<img src="${thumbnail(part.image)}" alt="" loading="lazy" decoding="async">` : `<i title="${safe(text(part.image_dropped ? "history.dropped" : "stage.none"))}">${icon("warn")}</i>`;
    const found = part.hidden || !part.label ? "–" : `${safe(titleOf(part.label))} <small>${part.score === null ? "" : score(part.score)}</small>`;
    const a = part.answer;
    const who = a ? `<b>${safe(a.person)}</b> ${safe(answerWords(a))}${a.reason === "correction" ? ` <em>${safe(text("history.corrected"))}</em>` : ""}` : "–";
    const origin = [part.serial, part.lot].filter(Boolean).map(safe).join(" · ");
    return `<tr data-part="${safe(part.part_id)}">
      <td class="hx-thumb">${picture}</td>
      <td class="hx-no"><button type="button" aria-label="${safe(text("history.open", { number: part.number }))}">#${part.number}</button></td>
      <td class="hx-when"><span>${safe(day(part.triggered_at))}</span> ${safe(clock(part.triggered_at))}</td>
      <td>${verdictFace(part)}</td><td class="hx-what">${found}</td><td>${dispositionFace(part)}</td>
      <td class="hx-who">${who}</td><td class="hx-origin">${origin || (part.simulated ? `<small>${safe(text("top.simulated"))}</small>` : "–")}</td></tr>`;
  }

  function open(part_id) {
    opened = part_id;
    at("list").hidden = true;
    at("story").hidden = false;
    story.open(part_id);
  }

  function showList() {
    at("story").hidden = true;
    at("list").hidden = false;
    const line = [...at("body").children].find((tr) => tr.dataset.part === opened);
    line?.querySelector("button").focus({ preventScroll: false });
    opened = null;
  }

  function step(way) {
    const i = shown.findIndex((p) => p.part_id === opened);
    const to = i < 0 ? null : shown[i + way];
    if (to) open(to.part_id);
  }

  async function count(event) {
    event?.preventDefault();
    const asked = new URLSearchParams({ since: asMoment(passed.elements.since.value) });
    const lot = passed.elements.lot.value.trim();
    if (lot) asked.set("lot", lot);
    at("csv").hidden = true;
    at("count").textContent = text("history.searching");
    try {
      const said = await ask(`/api/passed?${asked}`);
      at("count").textContent = said.parts === 0 ? text("history.passed.none") : text("history.passed.some", {
        n: whole(said.parts), persons: whole(said.by_person), first: `${day(said.first)} ${clock(said.first)}`, last: `${day(said.last)} ${clock(said.last)}`,
      });
      asked.set("until", said.until); // the file holds exactly what was counted
      at("csv").href = `/api/passed.csv?${asked}`;
      at("csv").hidden = said.parts === 0;
    } catch (error) {
      at("count").textContent = text("history.failed", { words: error.message });
    }
  }

  form.addEventListener("submit", (event) => { event.preventDefault(); search(); });
  form.addEventListener("reset", () => setTimeout(search));
  form.addEventListener("change", (event) => { if (event.target.tagName === "SELECT") search(); });
  passed.addEventListener("submit", count);
  passed.addEventListener("input", () => { at("csv").hidden = true; at("count").textContent = ""; });
  at("passed-open").addEventListener("click", () => {
    passed.hidden = !passed.hidden;
    at("passed-open").setAttribute("aria-expanded", String(!passed.hidden));
    if (!passed.hidden && !passed.elements.since.value) passed.elements.since.value = asTyped(new Date(Date.now() - 3600000));
    if (!passed.hidden) passed.elements.since.focus();
  });
  at("body").addEventListener("click", (event) => {
    const line = event.target.closest("tr");
    if (line) open(line.dataset.part);
  });
  at("more").addEventListener("click", () => { if (next !== null) page(next); });
  new IntersectionObserver((seen) => { if (seen.some((s) => s.isIntersecting) && next !== null && !at("more").hidden) page(next); }, { root: at("rows") }).observe(at("more"));
  document.addEventListener("keydown", (event) => {
    if (at("story").hidden || !root.getClientRects().length || event.target.closest?.("input, select, textarea")) return;
    if (event.key === "Escape") { event.preventDefault(); if (!story.cancel()) showList(); }
    if (event.key === "ArrowRight" || event.key === "j") step(1);
    if (event.key === "ArrowLeft" || event.key === "k") step(-1);
  });
  on("boot", () => { names(); if (opened) story.open(opened); });
  names();
  new ResizeObserver(() => {
    if (begun || !root.getClientRects().length) return;
    begun = true;
    askNames();
    search();
  }).observe(root);
}
