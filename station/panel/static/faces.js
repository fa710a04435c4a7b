// How is each block of the review screen drawn? Pure: a part in, HTML out. A blind part brings no opinion to draw.
import { STATE_ICON, icon } from "./icons.js";
import { safe, state, text } from "./link.js";
import { causeOf, reasonOf, recordOf, score as figure, titleOf } from "./words.js";

const HELD_ICON = { uncertain: "question", rejected: "cross", undefined: "warn", second_person: "persons" };

const drawn = new WeakMap();

/** Draws HTML into a block only where it differs: a button redrawn under a pressing finger would not be pressed. */
export function put(box, html) {
  if (drawn.get(box) === html) return;
  drawn.set(box, html);
  box.innerHTML = html;
}

/** Why the part is held: sign and word. */
export function heldFace(part) {
  const kind = part.blind ? "blind" : HELD_ICON[part.why] ? part.why : "waiting";
  const sign = part.blind ? "eye" : HELD_ICON[kind] ?? "pause";
  return { kind, html: `${icon(sign)}<span>${safe(text(`held.${kind}`))}</span>` };
}

/** What stands in the picture's place: loading, or why there is none. */
export function noPictureFace(part) {
  if (part.picture === "loading") return `<h2>${safe(text("stage.loading"))}</h2>`;
  const words = text(part.picture === "failed" ? "stage.failed" : "stage.none");
  const reason = part.blind ? "" : `<p class="st-why">${safe(reasonOf(part))}</p>`;
  return `${icon("warn")}<h2>${safe(words)}</h2>${reason}<p>${safe(text("stage.none.words"))}</p>`;
}

/** Class and score against both limits, and how the model did on this class before. With a judge: of its defect. */
export function verdictFace(part, judge = null) {
  if (!part) return "";
  if (part.blind) return `<h2 class="st-blind">${safe(text("blind.title"))}</h2><p>${safe(text("blind.words"))}</p>`;
  const about = judge?.defect ? ofDefect(judge) : part;
  const limits = about.pass_below !== null && about.pass_below !== undefined;
  const record = recordOf(part.record?.label === about.label ? part.record : null);
  const known = record ? `<p class="st-record">${safe(record)}</p>` : "";
  if (typeof about.score !== "number" || !about.label || !limits) {
    return `<div class="st-head"><h2>${safe(heldWord(part))}</h2><b class="st-score">–</b></div><p>${safe(reasonOf(part))}</p>`;
  }
  const { score, pass_below: pass, fail_above: fail } = about;
  const where = score > fail ? "above" : score >= pass ? "between" : "below";
  const values = { title: titleOf(about.label), score: figure(score), pass: figure(pass), fail: figure(fail) };
  const place = judge?.defect ? `<span class="st-which">${judge.selected + 1}/${judge.defects.length}</span>` : "";
  return `
    <div class="st-head"><h2>${place}${safe(values.title)}</h2><b class="st-score" data-where="${where}">${values.score}</b></div>
    <div class="st-bar" role="img" aria-label="${safe(text("verdict.bar", values))}">
      <i class="st-zone" data-where="below" style="left:0;width:${pass * 100}%"></i>
      <i class="st-zone" data-where="between" style="left:${pass * 100}%;width:${(fail - pass) * 100}%"></i>
      <i class="st-zone" data-where="above" style="left:${fail * 100}%;right:0"></i>
      <i class="st-fill" data-where="${where}" style="width:${score * 100}%"></i>
      <i class="st-mark" style="left:${pass * 100}%"></i><i class="st-mark" style="left:${fail * 100}%"></i>
      <i class="st-needle" data-where="${where}" style="left:${score * 100}%"></i>
    </div>
    <p class="st-limits"><span style="left:${pass * 100}%">${values.pass}</span><span style="left:${fail * 100}%">${values.fail}</span></p>${known}`;
}

function heldWord(part) {
  return text(`held.${heldFace(part).kind}`);
}

function ofDefect(judge) {
  const { label, score } = judge.defect;
  const limits = state.boot.classes.find((c) => c.name === label);
  return { label, score, pass_below: limits?.pass_below, fail_above: limits?.fail_above };
}

/** One button per class, the proposed one marked. */
export function classesFace(part, enabled, judge = null) {
  const proposed = part && !part.blind ? judge?.defect?.label ?? part.proposed : null;
  return state.boot.classes.map((c) => {
    const score = part && !part.blind ? part.scores?.[c.name] : undefined;
    const number = score === undefined ? "" : `<small>${figure(score)}</small>`;
    return `<button type="button" data-class="${safe(c.name)}" data-proposed="${proposed === c.name ? "yes" : ""}" ${enabled ? "" : "disabled"}>
      ${c.key ? `<kbd>${safe(c.key)}</kbd>` : ""}<span>${safe(titleOf(c.name))}</span>${number}</button>`;
  }).join("");
}

/** One button per reason for a false alarm. */
export function causesFace(enabled) {
  return (state.boot.causes ?? []).map((c) =>
    `<button type="button" data-cause="${safe(c.name)}" ${enabled ? "" : "disabled"}><b>${safe(causeOf(c.name))}</b>${c.key ? `<kbd>${safe(c.key.toUpperCase())}</kbd>` : ""}</button>`).join("");
}

/** What the screen says while it shows no part: why, and what happens next. */
export function idleFace(shown, busy) {
  let kind = "none", title = "idle.title", sign = STATE_ICON[shown], words = text(`hint.${shown}`);
  if (!state.person) [kind, title, sign] = ["signon", "idle.signon", "person"];
  else if (shown === "AWAY") [kind, title, sign] = ["away", "idle.away", "plug"];
  else if (shown === "LOST" || shown === "CONNECTING") [kind, title, sign] = ["lost", "idle.lost", "plug"];
  else if (shown === "FAULT") kind = "fault";
  else if (busy) [kind, title, sign] = ["busy", "idle.busy", "persons"];
  else if (shown === "RUNNING") sign = "ok";
  if (title !== "idle.title") words = text(`${title}.words`, { n: state.change?.waiting ?? 0 });
  return { kind, html: `${icon(sign)}<h1>${safe(text(title))}</h1><p>${safe(words)}</p>` };
}

/** After a first look: what the person said and what the machine had said. */
export function lookFace(number, said, machine) {
  const person = said.answer === "false_alarm" || said.answer === "agree" ? text(`look.${said.answer}`)
    : said.label ? titleOf(said.label) : text(`look.${said.answer}`);
  const stopped = machine.evaluation !== "OK";
  const found = machine.label && typeof machine.score === "number" ? ` ${titleOf(machine.label)} ${figure(machine.score)}` : "";
  const opinion = stopped ? found.trim() || text(`verdict.${machine.evaluation}`) : text("look.good");
  const defect = said.answer === "other_class" || said.answer === "missed_defect" || said.answer === "agree";
  const same = defect ? machine.evaluation === "NOT_OK" || machine.evaluation === "NOT_DECIDABLE" : !stopped;
  const undecided = !defect && said.answer !== "false_alarm" || machine.evaluation === "UNDEFINED";
  const kind = undecided ? "open" : same ? "same" : "differs";
  const words = text("look.words", { number, person, machine: opinion });
  return { kind, html: `${icon({ same: "ok", differs: "swap", open: "eye" }[kind])}<div><b>${safe(text(`look.${kind}`))}</b><span>${safe(words)}</span></div>` };
}
