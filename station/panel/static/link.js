// What do all screens share? The words, the names, one event stream, and how to ask the panel for something.
const STALE_MS = 5000; // nothing heard for so long: what is shown is old
const ASK_TIMEOUT_MS = 20000;
const bus = new EventTarget();

export const state = {
  boot: null, // names, classes, words
  loop: null, // the loop's newest state
  change: null, // queue, newest parts, counts
  linked: false, // the event stream is alive
  person: "",
  skew_ms: 0, // the panel's clock minus this one's
};

let heardAt = -Infinity;
let stream = null;
let started = null;

/** Calls `fn` at every event `name`: boot, loop, change, link, person, part, stored, flash. */
export function on(name, fn) {
  bus.addEventListener(name, (event) => fn(event.detail));
}

/** Tells every screen. */
export function tell(name, detail) {
  bus.dispatchEvent(new CustomEvent(name, { detail }));
}

/** The words for `key`, with {names} filled in. */
export function text(key, values = {}) {
  const words = state.boot?.strings?.[key] ?? key;
  return words.replace(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all));
}

/** Text made safe to stand in HTML. */
export function safe(words) {
  return String(words ?? "").replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

/** A sentence of the machine for people: classes by their titles, the first letter large. */
export function sentence(words) {
  let said = String(words ?? "");
  for (const c of state.boot?.classes ?? []) said = said.replaceAll(new RegExp(`\\b${c.name}\\b`, "g"), c.title);
  return said.charAt(0).toUpperCase() + said.slice(1);
}

/** Fills the words into a template. */
export function label(root) {
  for (const e of root.querySelectorAll("[data-t]")) e.textContent = text(e.dataset.t);
  for (const e of root.querySelectorAll("[data-tl]")) e.setAttribute("aria-label", text(e.dataset.tl));
}

/** A key no other answer has. */
export function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  // Only pages of this machine or behind TLS have randomUUID; the station's network may have neither.
  const b = crypto.getRandomValues(new Uint8Array(16));
  return [...b].map((v) => v.toString(16).padStart(2, "0")).join("");
}

/** Whether answers can reach the ledger now, as far as is known. */
export function canStore() {
  return state.linked && state.loop !== null && !state.loop.away;
}

/** The state to show: the loop's own, or why it is not known. */
export function shownState() {
  if (!state.linked) return heardAt === -Infinity ? "CONNECTING" : "LOST";
  return state.loop ? state.loop.state : "CONNECTING";
}

/** Now on the panel's clock. */
export function now() {
  return Date.now() + state.skew_ms;
}

/** Why a question failed: `code` is the panel's, or `network`. */
export class Failure extends Error {
  constructor(code, words, status) {
    super(words);
    this.code = code;
    this.status = status;
  }
}

/** Asks the panel; gives the answer's JSON or throws a Failure. */
export async function ask(path, body) {
  const options = { signal: AbortSignal.timeout(ASK_TIMEOUT_MS) };
  if (body !== undefined) {
    Object.assign(options, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  }
  let reply;
  try {
    reply = await fetch(path, options);
  } catch (error) {
    throw new Failure("network", error.name === "TimeoutError" ? "the panel did not answer in time" : "the panel cannot be reached", 0);
  }
  let said = null;
  try {
    said = await reply.json();
  } catch {
    throw new Failure("network", `the panel answered ${reply.status} without words`, reply.status);
  }
  if (!reply.ok) throw new Failure(said.code ?? "refused", said.words ?? JSON.stringify(said.detail ?? said), reply.status);
  return said;
}

/** Sets who is inspecting. */
export function setPerson(name) {
  state.person = name.trim();
  try {
    localStorage.setItem("station.person", state.person);
  } catch { /* private window: asked again next time */ }
  tell("person", state.person);
}

/** Begins once, however many screens ask; resolves when the names are known. */
export function start() {
  started ??= begin();
  return started;
}

async function begin() {
  const asked = new URLSearchParams(location.search).get("person");
  try {
    state.person = (asked ?? localStorage.getItem("station.person") ?? "").trim();
  } catch {
    state.person = (asked ?? "").trim();
  }
  while (state.boot === null) {
    try {
      state.boot = await ask("/api/boot");
    } catch {
      await new Promise((wake) => setTimeout(wake, 1000));
    }
  }
  listen();
  setInterval(watch, 500);
  return state.boot;
}

function listen() {
  stream?.close();
  stream = new EventSource("/events");
  stream.addEventListener("ping", heard);
  stream.addEventListener("loop", (event) => {
    state.loop = heard(event);
    tell("loop", state.loop);
  });
  stream.addEventListener("change", (event) => {
    const change = heard(event);
    state.change = change;
    if (change.run !== state.boot.run) reboot();
    tell("change", change);
  });
}

function heard(event) {
  heardAt = performance.now();
  const what = JSON.parse(event.data);
  if (what.now) state.skew_ms = Date.parse(what.now) - Date.now();
  if (!state.linked) {
    state.linked = true;
    tell("link", true);
  }
  return what;
}

// An EventSource can stay "open" on a dead network, and closes for good on an error status.
function watch() {
  if (state.linked && performance.now() - heardAt > STALE_MS) {
    state.linked = false;
    tell("link", false);
  }
  if (stream.readyState === EventSource.CLOSED || (!state.linked && performance.now() - heardAt > 2 * STALE_MS && heardAt > 0)) {
    heardAt = Math.max(heardAt, performance.now() - STALE_MS - 1);
    listen();
  }
}

async function reboot() {
  try {
    state.boot = await ask("/api/boot");
    tell("boot", state.boot);
  } catch { /* the next change asks again */ }
}
