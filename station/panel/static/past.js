// How is the past said? Times, verdicts, dispositions and answers as words with their signs.
import { VERDICT_ICON, icon } from "./icons.js";
import { safe, text } from "./link.js";
import { titleOf } from "./words.js";

const DISPOSITION_ICON = { RELEASE: "ok", HOLD: "pause", REJECT: "cross", REWORK: "tool" };

/** A moment as people of this place write it; `fine` with milliseconds. */
export function clock(moment, fine = false) {
  const options = { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false };
  if (fine) options.fractionalSecondDigits = 3;
  return new Intl.DateTimeFormat(document.documentElement.lang, options).format(new Date(moment));
}

/** The day of a moment. */
export function day(moment) {
  return new Intl.DateTimeFormat(document.documentElement.lang, { year: "numeric", month: "2-digit", day: "2-digit" }).format(new Date(moment));
}

/** A whole number as this language groups it. */
export function whole(n) {
  return new Intl.NumberFormat(document.documentElement.lang).format(n);
}

/** What the machine thinks: sign and word. */
export function verdictFace(part) {
  const kind = part.hidden ? "hidden" : part.evaluation;
  return `<span class="hx-chip" data-kind="${kind}">${icon(VERDICT_ICON[kind])}<b>${safe(text(part.hidden ? "history.hidden" : `verdict.${kind}`))}</b></span>`;
}

/** What is done with the part: sign and word. */
export function dispositionFace(part) {
  return `<span class="hx-chip" data-kind="${part.disposition}">${icon(DISPOSITION_ICON[part.disposition])}<b>${safe(text(`disposition.${part.disposition}`))}</b></span>`;
}

/** An answer in words. */
export function answerWords(answer, name = titleOf) {
  const key = `said.${answer.answer}`;
  return text(key, { class: answer.label ? name(answer.label) : "" });
}
