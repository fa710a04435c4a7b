// How is each block of the review screen drawn? Pure: a part in, HTML out. A blind part brings no opinion to draw.
import { STATE_ICON, icon } from "./icons.js";
import { canStore, now, safe, sentence, state, text } from "./link.js";

const HELD_ICON = { uncertain: "question", rejected: "cross", undefined: "warn", second_person: "persons" };

/** The class's title, as people read it. */
export function titleOf(name) {
  return state.boot.classes.find((c) => c.name === name)?.title ?? name ?? "";
}

/** How long ago, in words as short as a clock. */
export function ageOf(moment) {
  const s = Math.max(0, Math.floor((now() - Date.parse(moment)) / 1000));
  if (s < 3600) return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
  return s < 86400 ? `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min` : `${Math.floor(s / 86400)} d`;
}

/** Why the part is held: sign and word. */
export function heldFace(part) {
  const kind = part.blind ? "blind" : part.why;
  const sign = part.blind ? "eye" : HELD_ICON[kind] ?? "pause";
  return { kind, html: `${icon(sign)}<span>${safe(text(`held.${kind}`))}</span>` };
}

/** What stands in the picture's place: loading, or why there is none. */
export function noPictureFace(part) {
  if (part.picture === "loading") return `<h2>${safe(text("stage.loading"))}</h2>`;
  const words = text(part.picture === "failed" ? "stage.failed" : "stage.none");
  const reason = part.blind ? "" : `<p class="st-why">${safe(sentence(part.reason))}</p>`;
  return `${icon("warn")}<h2>${safe(words)}</h2>${reason}<p>${safe(text("stage.none.words"))}</p>`;
}

/** Class and score against both limits. */
export function verdictFace(part) {
  if (!part) return "";
  if (part.blind) return `<h2 class="st-blind">${safe(text("blind.title"))}</h2><p>${safe(text("blind.words"))}</p>`;
  if (part.score === null || part.label === null || part.pass_below === null) {
    return `<div class="st-head"><h2>${safe(text(`held.${part.why}`))}</h2><b class="st-score">–</b></div><p>${safe(sentence(part.reason))}</p>`;
  }
  const { score, pass_below: pass, fail_above: fail } = part;
  const where = score > fail ? "above" : score >= pass ? "between" : "below";
  const values = { title: titleOf(part.label), score: score.toFixed(2), pass: pass.toFixed(2), fail: fail.toFixed(2) };
  return `
    <div class="st-head"><h2>${safe(values.title)}</h2><b class="st-score" data-where="${where}">${values.score}</b></div>
    <div class="st-bar" role="img" aria-label="${safe(text("verdict.bar", values))}">
      <i class="st-zone" data-where="below" style="left:0;width:${pass * 100}%"></i>
      <i class="st-zone" data-where="between" style="left:${pass * 100}%;width:${(fail - pass) * 100}%"></i>
      <i class="st-zone" data-where="above" style="left:${fail * 100}%;right:0"></i>
      <i class="st-fill" data-where="${where}" style="width:${score * 100}%"></i>
      <i class="st-mark" style="left:${pass * 100}%"></i><i class="st-mark" style="left:${fail * 100}%"></i>
      <i class="st-needle" data-where="${where}" style="left:${score * 100}%"></i>
    </div>
    <p class="st-limits"><span style="left:${pass * 100}%">${values.pass}</span><span style="left:${fail * 100}%">${values.fail}</span></p>`;
}

/** One button per class, the proposed one marked. */
export function classesFace(part, enabled) {
  return state.boot.classes.map((c) => {
    const score = part && !part.blind ? part.scores?.[c.name] : undefined;
    const mine = part && !part.blind && part.proposed === c.name;
    const number = score === undefined ? "" : `<small>${score.toFixed(2)}</small>`;
    return `<button type="button" data-class="${safe(c.name)}" data-proposed="${mine ? "yes" : ""}" ${enabled ? "" : "disabled"}>
      ${c.key ? `<kbd>${c.key}</kbd>` : ""}<span>${safe(c.title)}</span>${number}</button>`;
  }).join("");
}

/** The strip of waiting parts, the one shown first. */
export function queueFace(parts, current) {
  if (!parts.length && !canStore()) return ""; // what waits is not known now
  if (!parts.length) return `<p class="st-muted">${safe(text("queue.empty"))}</p>`;
  return `<ol>${parts.map((q) => {
    const other = q.claimed_by && q.claimed_by !== state.person;
    const under = q === current ? text("queue.now") : other ? text("queue.other", { name: q.claimed_by }) : ageOf(q.opened_at);
    const picture = q.image ? `<img src="${q.image}" alt="" loading="lazy" decoding="async">` : icon("warn");
    return `<li data-now="${q === current ? "yes" : ""}" data-other="${other ? "yes" : ""}"><div>${picture}</div><b>#${q.number}</b><small>${safe(under)}</small></li>`;
  }).join("")}</ol>`;
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
