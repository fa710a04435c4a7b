// Who comes to this screen? The sign-in page: it needs nobody signed in, and nothing of the panel but its words.
import { SignInForm } from "./pin.js";
import { ask, label, state, text } from "./link.js";

const ASK_AGAIN_MS = 3000;
const stored = (name) => { try { return localStorage.getItem(`station.${name}`); } catch { return null; } };
let people = null;

document.documentElement.dataset.theme = stored("theme") === "light" ? "light" : "dark";

async function words(language) {
  const reply = await fetch(`/static/panel/strings.${encodeURIComponent(language)}.json`);
  return reply.ok ? reply.json() : {};
}

/** Where to go from here: where this page was asked from, or the role's own page. */
function wayFrom(home) {
  const to = new URLSearchParams(location.search).get("to") ?? "/";
  const url = new URL(to, location.origin);
  const inside = to.startsWith("/") && url.origin === location.origin && !url.pathname.startsWith("/sign-in");
  if (!inside) return home;
  return (url.pathname === "/" ? home : url.pathname) + url.search;
}

function paintLanguage() {
  const button = document.querySelector("#si-language");
  const next = people.languages.find((x) => x !== document.documentElement.lang);
  button.hidden = !next;
  if (!next) return;
  button.textContent = next.toUpperCase();
  button.setAttribute("aria-label", text(`signin.language.${next}`));
  button.onclick = () => {
    try { localStorage.setItem("station.language", next); } catch { /* private window: for this page only */ }
    location.reload();
  };
}

async function look() {
  try {
    return await ask("/api/people");
  } catch {
    return null;
  }
}

async function begin() {
  while (people === null) {
    people = await look();
    if (people === null) await new Promise((wake) => setTimeout(wake, 1000));
  }
  const chosen = [stored("language"), people.language].find((x) => people.languages.includes(x)) ?? "en";
  document.documentElement.lang = chosen;
  state.boot = { strings: { ...(await words("en")), ...(chosen === "en" ? {} : await words(chosen)) } };
  label(document.body);
  document.title = `${people.station} · ${text("signin.enter")}`;
  document.querySelector("#si-station").textContent = people.station;
  paintLanguage();
  const form = new SignInForm(document.querySelector("#si-main"), {
    heading: "h1",
    done: (session) => location.assign(wayFrom(session.home)),
  });
  form.show(people);
  document.addEventListener("keydown", (event) => form.key(event));
  setInterval(async () => {
    const now = await look();
    form.reachable(now !== null);
    if (now !== null && JSON.stringify(now) !== JSON.stringify(people)) form.show((people = now));
  }, ASK_AGAIN_MS);
}

addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
begin();
