// What do all screens share? The words, the names, one event stream, and how to ask the panel for something.
const STALE_MS = 5000; // nothing heard for so long: what is shown is old
const ASK_TIMEOUT_MS = 20000;
const LISTEN_AGAIN_MS = 2000; // between two tries to get the event stream back
const MOST_ACTIVE_MS = 60000; // a hand on the screen is told to the panel at most so often
const bus = new EventTarget();

export const state = {
  boot: null, // names, classes, words
  loop: null, // the loop's newest state
  change: null, // queue, newest parts, counts
  linked: false, // the event stream is alive
  person: "", // who is signed in; empty while nobody is
  role: "", // inspector, engineer, ml or admin
  permissions: [], // live, review, history, correct, people
  home: "/", // the role's own page
  timeout_s: 0, // without a hand on the screen the session ends; 0: never
  skew_ms: 0, // the panel's clock minus this one's
};

let heardAt = -Infinity;
let stream = null;
let listenedAt = -Infinity;
let sending = 0; // posts whose answer is not here yet
let activeAt = -Infinity;
let started = null;

/** Calls `fn` at every event `name`: boot, loop, change, link, person, signedout, mute, part, stored, flash. */
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
  constructor(code, words, status, said = {}) {
    super(words);
    this.code = code;
    this.status = status;
    this.said = said; // everything the panel said
  }
}

/** Asks the panel; gives the answer's JSON or throws a Failure. */
export async function ask(path, body) {
  const options = { signal: AbortSignal.timeout(ASK_TIMEOUT_MS) };
  if (body === undefined) return answerOf(fetch(path, options));
  Object.assign(options, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  sending += 1;
  try {
    return await answerOf(fetch(path, options));
  } finally {
    sending -= 1;
  }
}

async function answerOf(asked) {
  let reply;
  try {
    reply = await asked;
  } catch (error) {
    throw new Failure("network", error.name === "TimeoutError" ? "the panel did not answer in time" : "the panel cannot be reached", 0);
  }
  let said = null;
  try {
    said = await reply.json();
  } catch {
    throw new Failure("network", `the panel answered ${reply.status} without words`, reply.status);
  }
  if (reply.ok) return said;
  if (reply.status === 401 && said.code === "signed_out") signedOut();
  throw new Failure(said.code ?? "refused", said.words ?? JSON.stringify(said.detail ?? said), reply.status, said);
}

/** Resolves when every answer on its way has arrived: only then may someone else sign in. */
export async function settled() {
  do await new Promise((wake) => setTimeout(wake, 30)); while (sending);
}

/** Takes who is signed in from now on, as GET /api/session or a sign-in says it. */
export function takeSession(session) {
  const { person, role, permissions, home, timeout_s } = session;
  const other = person !== state.person || role !== state.role;
  if (other && state.person) tell("signedout", "changed");
  Object.assign(state, { person, role, permissions, home, timeout_s });
  activeAt = performance.now();
  if (other && state.boot) {
    listen();
    tell("person", person);
  }
}

function signedOut() {
  if (!state.person) return;
  Object.assign(state, { person: "", role: "", permissions: [] });
  stream?.close();
  tell("person", "");
  tell("signedout", "ended");
}

/** The sign-in page, and from there back to here. */
export function toSignIn() {
  location.assign(`/sign-in?to=${encodeURIComponent(location.pathname + location.search)}`);
}

/** Begins once, however many screens ask; resolves when the names are known. */
export function start() {
  started ??= begin();
  return started;
}

async function begin() {
  while (state.boot === null) {
    try {
      const [session, boot] = await Promise.all([ask("/api/session"), ask(bootPath())]);
      takeSession(session);
      state.boot = boot;
    } catch (failure) {
      if (failure.code === "signed_out") {
        toSignIn();
        return new Promise(() => {}); // the page ends here
      }
      await new Promise((wake) => setTimeout(wake, 1000));
    }
  }
  document.documentElement.lang = state.boot.language ?? "en";
  listen();
  setInterval(watch, 500);
  for (const touch of ["pointerdown", "keydown", "wheel"]) addEventListener(touch, active, { passive: true, capture: true });
  return state.boot;
}

function bootPath() {
  let language = null;
  try {
    language = localStorage.getItem("station.language");
  } catch { /* private window: the station's own language */ }
  return language ? `/api/boot?lang=${encodeURIComponent(language)}` : "/api/boot";
}

// Somebody is there: the session goes on.
function active() {
  if (!state.person || !state.timeout_s) return;
  if (performance.now() - activeAt < Math.min(MOST_ACTIVE_MS, state.timeout_s * 100)) return;
  activeAt = performance.now();
  ask("/api/active", {}).catch(() => { activeAt = -Infinity; });
}

function listen() {
  stream?.close();
  listenedAt = performance.now();
  stream = new EventSource("/events");
  stream.addEventListener("signedout", signedOut);
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
  const dead = stream.readyState === EventSource.CLOSED || (!state.linked && performance.now() - heardAt > 2 * STALE_MS && heardAt > 0);
  if (dead && state.person && performance.now() - listenedAt > LISTEN_AGAIN_MS) {
    heardAt = Math.max(heardAt, performance.now() - STALE_MS - 1);
    listen();
    ask("/api/session").catch(() => {}); // an ended session closes the stream without a word
  }
}

async function reboot() {
  try {
    state.boot = await ask(bootPath());
    tell("boot", state.boot);
  } catch { /* the next change asks again */ }
}
