// How is a figure, a class, a reason said in the screen's language? Pure: values of a part in, words out.
import { now, sentence, state, text } from "./link.js";

/** A name from the recipe in the screen's language, where the words know it. */
function translated(title) {
  const key = `title.${title}`;
  const said = text(key);
  return said === key ? title : said;
}

/** The class's title, as people read it. */
export function titleOf(name) {
  const found = state.boot.classes.find((c) => c.name === name);
  return found ? translated(found.title) : name ?? "";
}

/** The title of a reason for a false alarm. */
export function causeOf(name) {
  const found = (state.boot.causes ?? []).find((c) => c.name === name);
  return found ? translated(found.title) : name ?? "";
}

/** A score or limit with two decimals, as this language writes them. */
export function score(value) {
  return value.toFixed(2).replace(".", text("number.point"));
}

/** How long ago, in words as short as a clock. */
export function ageOf(moment) {
  const s = secondsSince(moment);
  if (s < 3600) return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
  return s < 86400 ? `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min` : `${Math.floor(s / 86400)} d`;
}

/** Whole seconds since `moment` on the panel's clock. */
export function secondsSince(moment) {
  return Math.max(0, Math.floor((now() - Date.parse(moment)) / 1000));
}

const REASONS = { NOT_OK: "reason.above", NOT_DECIDABLE: "reason.between", OK: "reason.below" };

/** Why the machine thinks so: composed where the values are given, else the panel's own words. */
export function reasonOf(part) {
  const key = REASONS[part.evaluation];
  const known = typeof part.score === "number" && part.label && typeof part.pass_below === "number";
  if (!key || !known) return sentence(part.reason);
  return text(key, { title: titleOf(part.label), score: score(part.score), pass: score(part.pass_below), fail: score(part.fail_above) });
}

const OTHER_WORTH_SAYING = 0.1;

/** How the model did on this class before, in one sentence; empty where nothing is known. */
export function recordOf(record) {
  if (!record || !record.judged) return "";
  const { judged, false_alarms: wrong } = record;
  const key = wrong === 0 ? "record.none" : wrong === 1 ? "record.one" : "record.some";
  let said = text(key, { title: titleOf(record.label), n: wrong, judged });
  const cause = most(record.causes);
  if (wrong > 1 && cause) said += text("record.mostly", { cause: causeOf(cause[0]) });
  const other = most(record.other);
  if (other && other[1] >= OTHER_WORTH_SAYING * judged) said += text("record.other", { n: other[1], title: titleOf(other[0]) });
  return said;
}

function most(counts) {
  return Object.entries(counts ?? {}).sort((a, b) => b[1] - a[1])[0] ?? null;
}
