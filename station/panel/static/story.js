// What happened to one part? Its picture, its scores against the limits then in force, and everything in order of time.
import { coloured } from "./heat.js";
import { icon } from "./icons.js";
import { ask, safe, sentence, text, uuid } from "./link.js";
import { answerWords, clock, day, dispositionFace, verdictFace, whole } from "./past.js";
import { reasonOf, score, titleOf } from "./words.js";

const LINE_ICON = {
  trigger: "box", verdict: "ring", asked: "question", command: "play", answer: "person", undone: "undo", settled: "ok", correction: "pen",
  known: "eye", withdrawn: "eye", dropped: "warn", event: "clock",
};
const MIN_DRAWN = 3; // part pixels; anything smaller is a slip of the hand

/** The page of one part inside `room`; `close` goes back, `changed` is called after something was set right. */
export class Story {
  constructor(room, { close, changed, step }) {
    this.room = room;
    this.told = null;
    this.turn = 0;
    this.drawn = null;
    this.changed = changed;
    this.doing = { back: close, before: () => step(-1), after: () => step(1), correct: () => this.#form("correct"), known: () => this.#form("known"), withdraw: () => this.#withdraw(), cancel: () => this.cancel(), draw: () => this.#startDrawing(), heat: (e) => this.#toggle(e, "heat"), boxes: (e) => this.#toggle(e, "boxes") };
    room.addEventListener("click", (event) => {
      const button = event.target.closest("[data-do]");
      if (button) this.doing[button.dataset.do](button);
    });
    room.addEventListener("submit", (event) => { event.preventDefault(); this.#send(event.target); });
    room.addEventListener("change", (event) => { if (event.target.name === "what") this.#choose(event.target.form); });
  }

  /** Fetches and shows a part. */
  async open(part_id) {
    const mine = ++this.turn;
    if (this.told?.part_id !== part_id) this.room.innerHTML = `<p class="hx-say">${safe(text("history.searching"))}</p>`;
    try {
      const told = await ask(`/api/part/${encodeURIComponent(part_id)}`);
      if (mine !== this.turn) return;
      this.told = told;
    } catch (error) {
      if (mine === this.turn) this.room.innerHTML = `${this.#bar(null)}<p class="hx-say" data-tone="bad">${safe(text("history.failed", { words: error.message }))}</p>`;
      return;
    }
    this.#paint();
  }

  /** Takes back what is half done; true where there was something. */
  cancel() {
    const form = this.room.querySelector(".hx-form");
    if (!form) return false;
    form.remove();
    this.#stopDrawing();
    return true;
  }

  /** A class's title as the part's own recipe calls it. */
  title = (name) => {
    const known = titleOf(name);
    return known !== name ? known : this.told?.classes.find((c) => c.name === name)?.title ?? name;
  };

  #bar(p) {
    const acts = [];
    if (p?.correctable && !p.hidden && p.disposition !== "HOLD") {
      acts.push(`<button type="button" data-do="correct">${icon("pen")}${safe(text("history.correct"))}</button>`);
      if (p.known) acts.push(`<button type="button" data-do="withdraw">${icon("eye")}${safe(text("history.withdraw"))}</button>`);
      else if (p.image) acts.push(`<button type="button" data-do="known">${icon("eye")}${safe(text("history.known"))}</button>`);
    }
    const head = p ? `<h2>${safe(text("top.part", { number: p.number }))}</h2><code>${safe(p.part_id)}</code>${verdictFace(p)}${dispositionFace(p)}${p.simulated ? `<span class="hx-tag">${safe(text("top.simulated"))}</span>` : ""}` : "";
    const step = (name, way, sign) => `<button type="button" class="hx-step" data-do="${way}" aria-label="${safe(text(`history.${name}`))}" title="${safe(text(`history.${name}`))}">${sign}</button>`;
    return `<header class="hx-bar"><button type="button" data-do="back">${icon("undo")}${safe(text("history.back"))}</button>${step("newer", "before", "‹")}${step("older", "after", "›")}${head}<span class="hx-gap"></span>${acts.join("")}</header>`;
  }

  #paint() {
    const p = this.told;
    this.room.innerHTML = `${this.#bar(p)}<div class="hx-tell"><div class="hx-left">${this.#picture(p)}${p.hidden ? "" : this.#scores(p)}${p.hidden ? "" : this.#evidence(p)}</div>
      <div class="hx-right"><div class="hx-here"></div>${p.hidden ? this.#why() : ""}<h3>${safe(text("history.line"))} <small>${safe(day(p.triggered_at))}</small></h3><ol class="hx-line">${this.#line(p)}</ol></div></div>`;
    this.room.scrollTop = 0;
    if (p.heat) this.#paintHeat(p);
    this.room.querySelector("[data-do=back]").focus({ preventScroll: true });
  }

  #why() {
    return `<p class="hx-note">${icon("eye")}<span>${safe(text("history.hidden.words"))}</span></p>`;
  }

  #picture(p) {
    if (!p.image) {
      const why = p.image_dropped_at ? text("history.dropped.words", { at: `${day(p.image_dropped_at)} ${clock(p.image_dropped_at)}` }) : text("stage.none");
      return `<figure class="hx-pic hx-nopic">${icon("warn")}<p>${safe(why)}</p></figure>`;
    }
    const boxes = (p.candidates ?? []).map((b) => this.#box(b.xyxy, b.relation, `${this.title(b.label)} ${score(b.score)}`, p)).join("");
    const said = (p.line ?? []).filter((e) => e.xyxy && !e.undone).map((e) => this.#box(e.xyxy, "drawn", e.person, p)).join("");
    const toggle = (name, on) => `<button type="button" data-do="${name}" aria-pressed="${on}">${icon(name)}${safe(text(`history.${name}`))}</button>`;
    return `<figure class="hx-pic" data-boxes="yes" style="--ratio:${p.width / p.height}"><div class="hx-frame"><img src="${p.image}" alt="${safe(text("history.picture.of", { number: p.number }))}">
      <canvas class="hx-heat" hidden></canvas><div class="hx-boxes">${boxes}${said}<b class="hx-drawn" hidden></b></div></div>
      <figcaption><span>${p.width} × ${p.height}</span>${boxes || said ? toggle("boxes", true) : ""}${p.heat ? toggle("heat", false) : ""}<a href="${p.image}" target="_blank" rel="noopener">${safe(text("history.full"))}</a></figcaption></figure>`;
  }

  #box([x0, y0, x1, y1], relation, words, p) {
    const share = (v, all) => `${(100 * v / all).toFixed(3)}%`;
    return `<i data-relation="${relation}" ${y0 / p.height < 0.08 ? 'data-low="yes"' : ""} style="left:${share(x0, p.width)};top:${share(y0, p.height)};width:${share(x1 - x0, p.width)};height:${share(y1 - y0, p.height)}"><span>${safe(words)}</span></i>`;
  }

  async #paintHeat(p) {
    const canvas = this.room.querySelector(".hx-heat");
    try {
      const reply = await fetch(p.heat);
      if (!reply.ok) return;
      const map = coloured(await createImageBitmap(await reply.blob()));
      canvas.width = map.width;
      canvas.height = map.height;
      canvas.getContext("2d").drawImage(map, 0, 0);
    } catch { /* without it: the button shows nothing */ }
  }

  #toggle(button, name) {
    const shown = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(shown));
    if (name === "heat") this.room.querySelector(".hx-heat").hidden = !shown;
    else this.room.querySelector(".hx-pic").dataset.boxes = shown ? "yes" : "";
  }

  #scores(p) {
    const rows = p.scores.map((s) => {
      const known = s.pass_below !== null;
      const bar = !known ? "" : `<span class="hx-bar2"><i data-where="below" style="left:0;width:${100 * s.pass_below}%"></i><i data-where="between" style="left:${100 * s.pass_below}%;width:${100 * (s.fail_above - s.pass_below)}%"></i><i data-where="above" style="left:${100 * s.fail_above}%;right:0"></i>${s.score === null ? "" : `<b style="left:${100 * s.score}%"></b>`}</span>`;
      return `<tr data-where="${s.relation}" ${s.label === p.label ? 'data-decides="yes"' : ""}><th scope="row">${safe(this.title(s.label))}</th><td class="hx-num">${s.score === null ? "–" : s.score.toFixed(4).replace(".", text("number.point"))}</td><td class="hx-wide">${bar}</td><td class="hx-num">${known ? `${score(s.pass_below)} / ${score(s.fail_above)}` : "–"}</td><td>${safe(text(`history.where.${s.relation}`))}</td></tr>`;
    }).join("");
    return `<section class="hx-card"><h3>${safe(text("history.scores"))}</h3><p class="hx-reason">${safe(reasonOf(p))}</p>
      <table class="hx-scores"><thead><tr><th></th><th scope="col" class="hx-num">${safe(text("history.score"))}</th><th></th><th scope="col" class="hx-num">${safe(text("history.limits"))}</th><th></th></tr></thead><tbody>${rows}</tbody></table></section>`;
  }

  #evidence(p) {
    const r = p.run;
    const facts = [
      ["model", p.model_sha256 ? `${r.model ?? ""}` : text("history.nomodel")], ["model.sha", p.model_sha256], ["preprocess", p.preprocess],
      ["recipe", `${r.title} (${r.recipe})`], ["recipe.sha", p.recipe_sha256 + (p.recipe_is_the_runs ? "" : ` – ${text("history.recipe.other")}`)], ["image.sha", p.image_sha256],
      ["run", text("history.run.words", { id: r.id, station: r.station, at: `${day(r.started_at)} ${clock(r.started_at)}`, software: r.software })],
      ["source", `${p.source}, ${text("history.frame", { n: p.frame_index })}`], ["outlet", r.line], ["serial", p.serial], ["lot", p.lot], ["truth", p.truth],
      ["drawn", p.p_select === undefined ? null : text(p.audit ? "history.drawn.audit" : "history.drawn.words", { p: +(100 * p.p_select).toFixed(3) })],
    ].filter(([, words]) => words).map(([name, words]) => `<dt>${safe(text(`history.fact.${name}`))}</dt><dd ${/\.sha$|preprocess/.test(name) ? 'class="hx-hash"' : ""}>${safe(words)}</dd>`).join("");
    const stages = Object.entries(p.stage_ms).map(([name, ms]) => `<tr><th scope="row">${safe(name)}</th><td class="hx-num">${ms.toFixed(1)} ms</td></tr>`).join("");
    return `<section class="hx-card"><h3>${safe(text("history.evidence"))}</h3><dl class="hx-facts">${facts}</dl></section>${stages ? `<section class="hx-card"><h3>${safe(text("history.timing"))}</h3><table class="hx-stages">${stages}</table></section>` : ""}`;
  }

  #line(p) {
    const from = Date.parse(p.triggered_at);
    let today = day(p.triggered_at);
    return p.line.map((e) => {
      const date = day(e.at), turned = date !== today ? `<li class="hx-day">${safe(date)}</li>` : "";
      today = date;
      const [head, ...more] = this.#words(e);
      return `${turned}<li data-kind="${e.kind}" ${e.undone ? 'data-undone="yes"' : ""}><time datetime="${safe(e.at)}"><b>${safe(clock(e.at, true))}</b><small>${safe(after(Date.parse(e.at) - from))}</small></time>
        <span class="hx-sign">${icon(LINE_ICON[e.kind] ?? "ring")}</span><div><p class="hx-head">${head}</p>${more.filter(Boolean).map((m) => `<p>${m}</p>`).join("")}${this.#crops(e)}</div></li>`;
    }).join("");
  }

  /** What an entry of the time line says: its head, then details; safe HTML. */
  #words(e) {
    const t = (key, values) => safe(text(`history.line.${key}`, values));
    if (e.kind === "trigger") return [t("trigger"), t("trigger.more", { source: e.source, frame: e.frame_index })];
    if (e.kind === "verdict") return [t("verdict", { verdict: text(`verdict.${e.evaluation}`) }), safe(reasonOf(this.told)), e.audit ? t("audit", { p: +(100 * e.p_select).toFixed(3) }) : ""];
    if (e.kind === "command") {
      const acknowledged = e.acknowledged_at ? t("acknowledged", { after: after(Date.parse(e.acknowledged_at) - Date.parse(e.at)).slice(1) }) : `<strong>${t("unacknowledged")}</strong>`;
      return [t("command", { disposition: text(`disposition.${e.disposition}`) }), e.by ? t("by", { person: e.by }) : t("by.machine"), acknowledged];
    }
    if (e.kind === "asked") {
      return [t("asked", { reason: text(`history.reason.${e.reason}`) }), e.blind ? t("blind") : t("seeing"), e.excluded_person ? t("excluded", { person: e.excluded_person }) : "", e.shown_as ? t("shown_as", { part: e.shown_as }) : "", e.open ? t("open") : ""];
    }
    if (e.kind === "answer" || e.kind === "correction") return this.#answer(e, t);
    if (e.kind === "undone") return [t("undone", { person: e.by }), e.by === e.person ? "" : t("undone.of", { person: e.person })];
    if (e.kind === "settled") return [t(e.moves ? "settled" : "settled.still")];
    if (e.kind === "known" || e.kind === "withdrawn") return [t(e.kind, { person: e.by, expected: text(`history.expected.${e.expected}`) })];
    if (e.kind === "event") return [safe(sentence(e.words)), t("event", { kind: e.event })];
    return [t(e.kind)];
  }

  #answer(e, t) {
    const said = answerWords(e, this.title);
    const shown = Object.entries(e.shown ?? {}).map(([k, v]) => `${k}: ${v}`).join(", ");
    const cause = e.cause ? this.#cause(e.cause) : "";
    const judged = (e.judgements ?? []).map((j) => `<span class="hx-judged">${safe(j.defect === null ? text("history.line.drawn") : text("history.line.defect", { n: j.defect + 1, class: j.proposed ? this.title(j.proposed) : "" }))}: ${safe(answerWords(j, this.title))}${j.cause ? ` – ${safe(this.#cause(j.cause))}` : ""}</span>`).join("");
    return [
      e.kind === "correction" ? t("corrected", { person: e.person, said }) : t("answered", { person: e.person, said }),
      cause ? t("cause", { cause }) : "",
      e.note ? `<q>${safe(e.note)}</q>` : "",
      judged,
      e.kind === "correction" ? t("corrected.more") : t("seconds", { s: e.seconds.toFixed(1).replace(".", text("number.point")) }) + (e.challenge ? ` · ${t("challenge")}` : "") + (e.blind ? ` · ${t("blind.short")}` : ""),
      shown && e.kind === "answer" ? `<details><summary>${t("shown")}</summary>${safe(shown)}</details>` : "",
    ];
  }

  #cause(name) {
    const found = this.told.causes.find((c) => c.name === name)?.title ?? name;
    const said = text(`title.${found}`);
    return said === `title.${found}` ? found : said;
  }

  #crops(e) {
    if (!e.crops?.length) return "";
    return `<ul class="hx-crops">${e.crops.map((c) => `<li title="${safe(`sha256 ${c.sha256}`)}"><img src="${c.url}" alt="" loading="lazy" decoding="async"><span><b>${safe(c.label === "ok" ? text("history.good") : this.title(c.label))}</b>
      ${c.proposed ? `<small>${safe(text("history.crop.proposed", { class: this.title(c.proposed), score: c.score === null ? "" : score(c.score) }))}</small>` : ""}<small>${safe(c.format)}, ${whole(Math.ceil(c.bytes / 1024))} KiB · ${safe(c.sha256.slice(0, 12))}…</small></span></li>`).join("")}</ul>`;
  }

  #form(kind) {
    this.cancel();
    const p = this.told;
    const choose = (name, entries, any) => `<select name="${name}" required><option value="">${safe(any)}</option>${entries.map(([v, w]) => `<option value="${safe(v)}">${safe(w)}</option>`).join("")}</select>`;
    const inner = kind === "known" ? `<h3>${safe(text("history.known"))}</h3><p>${safe(text("history.known.words"))}</p>
      <label><span>${safe(text("history.known.is"))}</span>${choose("expected", [["ok", text("history.expected.ok")], ["defect", text("history.expected.defect")]], text("history.choose"))}</label>`
      : `<h3>${safe(text("history.correct"))}</h3><p>${safe(text("history.correct.words"))}</p>
      <label><span>${safe(text("history.correct.is"))}</span>${choose("what", [["ok", text("history.good")], ...p.classes.map((c) => [`class:${c.name}`, this.title(c.name)])], text("history.choose"))}</label>
      <label class="hx-cause" hidden><span>${safe(text("history.correct.cause"))}</span><select name="cause"><option value="">${safe(text("history.correct.nocause"))}</option>${p.causes.map((c) => `<option value="${safe(c.name)}">${safe(this.#cause(c.name))}</option>`).join("")}</select></label>
      ${p.image ? `<div class="hx-place" hidden><button type="button" data-do="draw">${icon("box")}${safe(text("history.correct.draw"))}</button><small>${safe(text("history.correct.place"))}</small></div>` : ""}
      <label><span>${safe(text("history.correct.note"))}</span><textarea name="note" rows="2" maxlength="500" required></textarea></label>`;
    this.room.querySelector(".hx-here").innerHTML = `<form class="hx-form hx-card" data-form="${kind}" data-key="${uuid()}">${inner}<p class="hx-say" role="alert"></p>
      <div class="hx-do"><button type="submit" class="hx-main">${safe(text("history.store"))}</button><button type="button" data-do="cancel">${safe(text("answer.cancel"))}</button></div></form>`;
    this.room.querySelector(".hx-form select").focus();
    this.room.querySelector(".hx-here").scrollIntoView({ block: "nearest" });
  }

  #choose(form) {
    const defect = form.elements.what.value.startsWith("class:");
    form.querySelector(".hx-cause").hidden = defect || !form.elements.what.value;
    form.querySelector(".hx-place")?.toggleAttribute("hidden", !defect);
    if (!defect) this.#stopDrawing();
  }

  async #send(form) {
    const p = this.told, fields = form.elements, failed = form.querySelector(".hx-say");
    const button = form.querySelector("[type=submit]");
    button.disabled = true;
    failed.textContent = "";
    try {
      if (form.dataset.form === "known") await ask("/api/known", { part_id: p.part_id, expected: fields.expected.value });
      else {
        const what = fields.what.value, body = { key: form.dataset.key, part_id: p.part_id, note: fields.note.value.trim() };
        if (!body.note) throw new Error(text("history.correct.noted"));
        if (what === "ok") Object.assign(body, { answer: "false_alarm" }, fields.cause.value ? { cause: fields.cause.value } : {});
        else if (this.drawn) Object.assign(body, { answer: "missed_defect", label: what.slice(6), xyxy: this.drawn });
        else Object.assign(body, { answer: "other_class", label: what.slice(6) });
        await ask("/api/correct", body);
      }
    } catch (error) {
      failed.dataset.tone = "bad";
      failed.textContent = text("history.refused", { words: error.message });
      button.disabled = false;
      return;
    }
    this.#stopDrawing();
    this.changed();
    await this.open(p.part_id);
  }

  async #withdraw() {
    try {
      await ask("/api/known/withdraw", { part_id: this.told.part_id });
    } catch (error) {
      this.room.querySelector(".hx-here").innerHTML = `<p class="hx-say" data-tone="bad">${safe(text("history.refused", { words: error.message }))}</p>`;
      return;
    }
    await this.open(this.told.part_id);
  }

  #startDrawing() {
    const frame = this.room.querySelector(".hx-frame"), box = frame.querySelector(".hx-drawn");
    frame.dataset.draw = "yes";
    const at = (event) => {
      const r = frame.getBoundingClientRect(), clip = (v) => Math.min(Math.max(v, 0), 1);
      return [clip((event.clientX - r.left) / r.width) * this.told.width, clip((event.clientY - r.top) / r.height) * this.told.height];
    };
    let from = null;
    frame.onpointerdown = (event) => { event.preventDefault(); from = at(event); frame.setPointerCapture(event.pointerId); };
    frame.onpointermove = (event) => {
      if (!from) return;
      const to = at(event), { width, height } = this.told;
      const [x0, y0, x1, y1] = [Math.min(from[0], to[0]), Math.min(from[1], to[1]), Math.max(from[0], to[0]), Math.max(from[1], to[1])];
      this.drawn = x1 - x0 < MIN_DRAWN || y1 - y0 < MIN_DRAWN ? null : [x0, y0, x1, y1];
      Object.assign(box.style, { left: `${100 * x0 / width}%`, top: `${100 * y0 / height}%`, width: `${100 * (x1 - x0) / width}%`, height: `${100 * (y1 - y0) / height}%` });
      box.hidden = false;
    };
    frame.onpointerup = () => { from = null; if (!this.drawn) box.hidden = true; };
  }

  #stopDrawing() {
    const frame = this.room.querySelector(".hx-frame");
    this.drawn = null;
    if (!frame) return;
    delete frame.dataset.draw;
    frame.onpointerdown = frame.onpointermove = frame.onpointerup = null;
    frame.querySelector(".hx-drawn").hidden = true;
  }
}

/** So long after the trigger, as short as it can be said. */
function after(ms) {
  const sign = ms < 0 ? "−" : "+", s = Math.abs(ms) / 1000;
  if (s < 10) return `${sign}${s.toFixed(3).replace(".", text("number.point"))} s`;
  if (s < 3600) return `${sign}${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")} min`;
  return s < 172800 ? `${sign}${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min` : `${sign}${Math.floor(s / 86400)} d`;
}
