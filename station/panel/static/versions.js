// Which limits were drafted, approved, in force, and by whom? What is done with them, each with a reason.
import { limit } from "./figures.js";
import { icon } from "./icons.js";
import { ask, safe, sentence, state, text, uuid } from "./link.js";
import { clock, day } from "./past.js";
import { certificateWords } from "./certificate.js";
import { changeLine } from "./operating.js";

const STANDING = { draft: "pen", approved: "ok", in_force: "play", was_in_force: "clock", withdrawn: "cross" };
const KNOWN = new Set(["same_person", "not_approved", "no_diff", "withdrawn", "does_not_fit", "in_force", "nothing_to_roll_back", "loop_away"]);

/** The card of versions. */
export class Versions {
  /** `bench` gives the limits tried; `certificate()` the one issued for them; `acted` is called when others are in force. */
  constructor(room, bench, { certificate, acted }) {
    Object.assign(this, { room, bench, certificate, acted });
    this.told = null;
    this.open = null; // version whose details are shown
    this.doing = null; // { what, version }: what asks for a reason
    this.key = null;
    this.out = room.querySelector(".wb-out");
    this.form = room.querySelector("form.wb-act");
    this.says = room.querySelector("[role=status]");
    room.querySelector("[data-do=draft]").addEventListener("click", () => this.#begin("draft", null));
    this.form.addEventListener("submit", (event) => { event.preventDefault(); this.#send(); });
    this.form.querySelector("[data-do=cancel]").addEventListener("click", () => this.#end());
    this.out.addEventListener("click", (event) => {
      const button = event.target.closest("button[data-act]");
      if (button) this.#act(button.dataset.act, button.dataset.version === "" ? null : Number(button.dataset.version));
    });
    this.out.addEventListener("change", () => this.#compare());
    for (const name of ["limits", "opened"]) bench.addEventListener(name, () => this.#mayDraft());
  }

  async look() {
    const before = this.told?.in_force;
    try {
      this.told = await ask("/api/limits");
    } catch (failure) {
      this.told = null;
      this.out.innerHTML = `<p class="wb-bad">${icon("warn")} ${safe(failure.code === "no_ledger" ? text("wb.no.run") : text("wb.refused", { words: failure.message }))}</p>`;
      return;
    }
    this.paint();
    if (before !== undefined && before !== this.told.in_force) this.acted(); // by whomever
  }

  /** Looks again, but leaves alone what somebody is reading or choosing. */
  refresh() {
    if (this.open === null && !this.out.contains(document.activeElement)) this.look();
  }

  #mayDraft() {
    this.room.querySelector("[data-do=draft]").disabled = !this.bench.data || this.bench.same;
  }

  paint() {
    const { versions, in_force, roll_back_to } = this.told;
    this.#mayDraft();
    const file = `<option value="file">${safe(text("wb.file"))}</option>`;
    const choices = file + versions.map((v) => `<option value="${v.id}">${safe(text("wb.version", { n: v.id }))}</option>`).join("");
    this.out.innerHTML = `<p>${icon("play")} ${safe(in_force === null ? text("wb.in.force.file") : text("wb.in.force.version", { n: in_force }))}
      ${roll_back_to ? `<button type="button" data-act="rollback" data-version="">${icon("undo")} ${safe(roll_back_to.version === null ? text("wb.rollback.file") : text("wb.rollback", { n: roll_back_to.version }))}</button>` : ""}</p>
      ${versions.length ? `<div class="wb-scroll" tabindex="0" role="group" aria-label="${safe(text("wb.versions"))}"><table class="wb-rates wb-versions"><thead><tr>${["wb.version.number", "wb.standing", "wb.by.when", "wb.why", "wb.do"].map((k) => `<th scope="col">${safe(text(k))}</th>`).join("")}</tr></thead><tbody>${versions.map((v) => this.#row(v)).join("")}</tbody></table></div>
      <div class="wb-compare"><label>${safe(text("wb.compare"))} <select data-side="a">${choices}</select></label><label>${safe(text("wb.compare.with"))} <select data-side="b">${choices}</select></label><div class="wb-changes"></div></div>` : `<p class="wb-muted">${safe(text("wb.versions.none"))}</p>`}`;
    const sides = this.out.querySelectorAll("select");
    if (sides.length) {
      sides[0].value = in_force === null ? "file" : String(in_force);
      sides[1].value = String(versions[0].id);
      this.#compare();
    }
  }

  #row(v) {
    const approved = v.approved_by.length ? `<small>${icon("persons")} ${safe(text("wb.approved.by", { names: v.approved_by.join(", ") }))}</small>` : "";
    const has = [v.diff ? text("wb.has.diff") : text("wb.has.no.diff"), v.certificate ? text("wb.has.cert") : text("wb.has.no.cert")].join(" · ");
    const row = `<tr data-version="${v.id}"><th scope="row">${v.id}</th>
      <td><span class="wb-sign" data-tone="${v.standing === "in_force" ? "good" : v.standing === "withdrawn" ? "bad" : "muted"}">${icon(STANDING[v.standing])}${safe(text(`wb.standing.${v.standing}`))}</span>${approved}${v.widens ? `<small>${icon("warn")} ${safe(text("wb.widens"))}</small>` : ""}</td>
      <td>${safe(v.made_by)}<small>${safe(`${day(v.made_at)} ${clock(v.made_at)}`)}</small></td>
      <td><q>${safe(v.reason)}</q><small>${safe(has)}</small></td><td class="wb-acts">${this.#buttons(v)}</td></tr>`;
    return this.open === v.id ? `${row}<tr class="wb-open"><td colspan="5">${this.#details(v)}</td></tr>` : row;
  }

  #buttons(v) {
    const button = (what, sign) => `<button type="button" data-act="${what}" data-version="${v.id}" aria-label="${safe(text(`wb.act.${what}`))}: ${safe(text("wb.version", { n: v.id }))}">${icon(sign)} ${safe(text(`wb.act.${what}`))}</button>`;
    const open = `<button type="button" data-act="open" data-version="${v.id}" aria-expanded="${this.open === v.id}" aria-label="${safe(text("wb.act.open"))}: ${safe(text("wb.version", { n: v.id }))}">${icon("eye")} ${safe(text("wb.act.open"))}</button>`;
    const take = this.bench.data ? button("take", "swap") : "";
    if (v.standing === "withdrawn") return open + take;
    if (v.standing === "in_force") return open + take;
    const approve = v.made_by !== state.person && !v.approved_by.includes(state.person) ? button("approve", "ok") : "";
    const activate = v.needs_approval ? `<span class="wb-muted">${safe(text("wb.needs.approval"))}</span>` : button("activate", "play");
    return open + take + approve + activate + (v.standing === "was_in_force" ? "" : button("withdraw", "cross"));
  }

  #details(v) {
    const limits = Object.entries(v.limits.classes).map(([label, it]) => `<li><b>${safe(sentence(label))}</b> ${safe(text("wb.limits.line", { pass: limit(it.pass_below), fail: limit(it.fail_above) }))}</li>`).join("");
    const sums = v.diff ? [["wb.rate.miss", v.diff.misses], ["wb.rate.overkill", v.diff.overkill], ["wb.rate.review", v.diff.review_load]] : [];
    return `<ul class="wb-list">${limits}</ul>${v.diff ? `<dl class="wb-sums">${sums.map(([key, c]) => `<div><dt>${safe(text(key))}</dt><dd>${changeLine(c)}</dd></div>`).join("")}</dl>` : ""}
      ${v.certificate ? certificateWords(v.certificate) : ""}
      <ol class="wb-list">${v.events.map((e) => `<li><time>${safe(`${day(e.at)} ${clock(e.at)}`)}</time> <b>${safe(e.person)}</b> ${safe(text(`wb.did.${e.kind}`))} <q>${safe(e.reason)}</q></li>`).join("")}</ol>`;
  }

  async #compare() {
    const [a, b] = [...this.out.querySelectorAll("select")].map((s) => s.value), room = this.out.querySelector(".wb-changes");
    try {
      const { changes } = await ask(`/api/limits/compare?${new URLSearchParams({ a, b })}`);
      room.innerHTML = changes.length ? `<ul class="wb-list">${changes.map((c) => `<li>${c.widens ? icon("warn") : icon("ok")} ${safe(sentence(c.words))}${c.widens ? ` <small>${safe(text("wb.widens"))}</small>` : ""}</li>`).join("")}</ul>` : `<p class="wb-muted">${safe(text("wb.compare.same"))}</p>`;
    } catch (failure) {
      room.textContent = text("wb.refused", { words: failure.message });
    }
  }

  #act(what, version) {
    if (what === "open") {
      this.open = this.open === version ? null : version;
      this.paint();
    } else if (what === "take") {
      this.bench.take(this.told.versions.find((v) => v.id === version).limits.classes);
    } else this.#begin(what, version);
  }

  #begin(what, version) {
    this.doing = { what, version };
    this.key = uuid(); // the same one when it is sent again
    const has = what === "activate" && !this.told.versions.find((v) => v.id === version)?.diff;
    this.form.hidden = false;
    this.form.querySelector("h3").textContent = version === null ? text(`wb.act.${what}`) : `${text(`wb.act.${what}`)}: ${text("wb.version", { n: version })}`;
    this.form.querySelector(".wb-carries").textContent = what === "draft" ? text(this.certificate() ? "wb.carries.both" : "wb.carries.diff") : "";
    this.form.elements.without.closest("label").hidden = !has;
    this.form.elements.without.required = has;
    this.form.elements.reason.focus();
    this.form.scrollIntoView({ block: "nearest" });
  }

  #end() {
    this.doing = null;
    this.form.hidden = true;
    this.form.reset();
  }

  async #send() {
    const { what, version } = this.doing, reason = this.form.elements.reason.value.trim();
    if (!reason) {
      this.form.elements.reason.focus();
      return;
    }
    const body = { key: this.key, reason };
    if (what === "draft") Object.assign(body, this.bench.body(), { certificate: this.certificate()?.sha256 ?? null });
    else if (what !== "rollback") body.version = version;
    const without = this.form.elements.without.value.trim();
    if (what === "activate" && without) body.without_diff = without;
    try {
      const said = await ask(what === "draft" ? "/api/workbench/draft" : `/api/limits/${what}`, body);
      this.#end();
      this.#say("ok", text(`wb.done.${what}`, { n: said.version ?? text("wb.file") }));
    } catch (failure) {
      this.#say("warn", KNOWN.has(failure.code) ? `${text(`wb.refused.${failure.code}`)} (${failure.message})` : text("wb.refused", { words: failure.message }));
      return;
    }
    this.look();
  }

  #say(sign, words) {
    this.says.innerHTML = `<span class="wb-sign" data-tone="${sign === "ok" ? "good" : "warn"}">${icon(sign)}</span> ${safe(words)}`;
  }
}
