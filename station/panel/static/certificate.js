// What does the sealed set say of these limits? A look is asked for twice, counted, and told with what it rests on.
import { atMost, limit, percent, whole } from "./figures.js";
import { icon } from "./icons.js";
import { ask, safe, text } from "./link.js";
import { day } from "./past.js";
import { titleOf } from "./words.js";

const HOLDS = { true: ["ok", "good", "wb.holds"], false: ["cross", "bad", "wb.fails"], null: ["question", "warn", "wb.unknown"] };
// What an assumption's words say, so that they can be said in every language.
const SAID = [
  [/^(\d+) defective parts, each once$/, "wb.assume.each", ["n"]],
  [/^(.+?): (\d+) defective parts from (\d+) lots, (\d+) are asked for(?:; (\d+) without a known lot)?$/, "wb.assume.lots", ["class", "n", "lots", "asked", "without"]],
  [/^first look$/, "wb.assume.first", []],
  [/^looked at (\d+) times; .*$/, "wb.assume.again", ["n"]],
  [/^nobody has said what was trained and tuned on$/, "wb.assume.untold", []],
  [/^(\d+) of (\d+) defective parts were trained or tuned on$/, "wb.assume.trained", ["n", "all"]],
  [/^(\d+) of (\d+) defective parts were labelled by two people or more, (\d+) by one$/, "wb.assume.people", ["n", "all", "one"]],
  [/^the camera is not calibrated: nobody would notice that it moved$/, "wb.assume.uncalibrated", []],
  [/^calibrated, (\w+)$/, "wb.assume.calibrated", ["sha"]],
];

/** The claims, assumptions and validity of a certificate as its own JSON has them. */
export function certificateWords(it) {
  const now = Date.now(), expired = Date.parse(it.expires_at) <= now;
  const claims = it.claims.map((c) => `<tr><th scope="row">${safe(titleOf(c.label))}</th><td>${safe(limit(c.limit))}</td>
    <td>${safe(text("wb.of", { n: whole(c.misses), all: whole(c.parts) }))}<small>${safe(text("wb.lots", { n: whole(c.lots) }))}</small></td>
    <td><b>${safe(text("wb.at.most", { bound: atMost(c.upper) }))}</b></td><td>${verdictOf(c)}</td></tr>`);
  const rests = it.assumptions.map((a) => {
    const [sign, tone, key] = HOLDS[String(a.holds)];
    return `<li><span class="wb-sign" data-tone="${tone}">${icon(sign)}${safe(text(key))}</span> <b>${safe(nameOf(a.name))}</b><small>${safe(saidOf(a.words))}</small></li>`;
  });
  return `<table class="wb-rates wb-claims"><thead><tr>${["wb.class", "wb.pass_below", "wb.missed", "wb.bound", "wb.promise"].map((k) => `<th scope="col">${safe(text(k))}</th>`).join("")}</tr></thead><tbody>${claims.join("")}</tbody></table>
    <p class="wb-foot">${safe(text("wb.cert.foot", { sure: percent(1 - it.delta), looks: whole(it.looks) }))}</p>
    <h3>${safe(text("wb.rests"))}</h3><ul class="wb-rests">${rests.join("")}</ul>
    <p class="wb-valid">${expired ? icon("warn") : icon("clock")} ${safe(text(expired ? "wb.cert.expired" : "wb.cert.valid", { from: day(it.issued_at), to: day(it.expires_at) }))}</p>`;
}

function verdictOf(c) {
  const reached = c.reached ?? c.upper <= c.alpha;
  if (reached) return `<span class="wb-sign" data-tone="good">${icon("ok")}${safe(text("wb.shown", { alpha: percent(c.alpha) }))}</span>`;
  const words = c.more ? text("wb.more.parts", { n: whole(c.more), alpha: percent(c.alpha) }) : text("wb.notshown", { alpha: percent(c.alpha) });
  return `<span class="wb-sign" data-tone="warn">${icon("warn")}${safe(words)}</span>`;
}

function nameOf(name) {
  const key = `wb.assumption.${name.replaceAll(" ", "_")}`, said = text(key);
  return said === key ? name : said;
}

function saidOf(words) {
  for (const [pattern, key, names] of SAID) {
    const found = words.match(pattern);
    if (!found) continue;
    const values = Object.fromEntries(names.map((n, i) => [n, found[i + 1] ?? 0]));
    if (values.class) values.class = values.class === "every class" ? values.class : titleOf(values.class);
    return text(key, values);
  }
  return words;
}

/** The card: the warning, the look, the certificate. */
export class CertificateCard {
  constructor(room, bench, looked) {
    this.room = room;
    this.bench = bench;
    this.looked = looked; // called after a look, with how many there are now
    this.told = null;
    this.asked = "";
    this.out = room.querySelector(".wb-out");
    this.form = room.querySelector("form");
    room.querySelector("[data-do=seal]").addEventListener("click", () => this.#warn());
    this.form.addEventListener("submit", (event) => { event.preventDefault(); this.#look(); });
    this.form.querySelector("[data-do=cancel]").addEventListener("click", () => { this.form.hidden = true; });
    bench.addEventListener("limits", () => this.#stale());
    bench.addEventListener("opened", () => { this.told = null; this.form.hidden = true; this.paint(); });
  }

  /** The certificate of the limits tried now; `null` where it is about others. */
  get kept() {
    return this.told && this.asked === JSON.stringify(this.bench.body()) ? this.told.certificate : null;
  }

  #stale() {
    this.form.hidden = true;
    if (this.told && this.kept === null) this.room.dataset.stale = "yes";
    else delete this.room.dataset.stale;
  }

  #warn() {
    const { data } = this.bench;
    if (!data?.sides) return;
    this.form.querySelector(".wb-warning").innerHTML = `${icon("warn")} <span>${safe(text(data.footage.looks ? "wb.seal.warning.again" : "wb.seal.warning", { n: whole(data.footage.looks), parts: whole(data.sides.sealed.units), defective: whole(data.sides.sealed.defective_units) }))}</span>`;
    this.form.hidden = false;
    this.form.elements.why.focus();
  }

  async #look() {
    const why = this.form.elements.why.value.trim();
    if (!why) {
      this.form.elements.why.focus();
      return;
    }
    const body = this.bench.body(), button = this.form.querySelector("[type=submit]");
    button.disabled = true;
    try {
      this.told = await ask("/api/workbench/certify", { ...body, why, looks: this.bench.data.footage.looks });
      this.asked = JSON.stringify(body);
      this.form.hidden = true;
      this.form.reset();
      this.looked(Math.max(this.bench.data.footage.looks, this.told.looks));
      this.paint();
    } catch (failure) {
      this.out.innerHTML = `<p class="wb-bad">${icon("warn")} ${safe(text("wb.refused", { words: failure.message }))}</p>`;
    }
    button.disabled = false;
  }

  paint() {
    delete this.room.dataset.stale;
    const { data } = this.bench;
    const looks = data ? `<p class="wb-looks">${icon("eye")} ${safe(text(["wb.looked.never", "wb.looked.once"][data.footage.looks] ?? "wb.looked", { n: whole(data.footage.looks) }))}</p>` : "";
    this.room.querySelector("[data-do=seal]").disabled = !data?.sides;
    this.out.innerHTML = this.told ? `<p class="wb-stale">${icon("warn")} ${safe(text("wb.stale"))}</p>${looks}${certificateWords(this.told)}` : `${looks}<p class="wb-muted">${safe(text("wb.cert.hint"))}</p>`;
  }
}
