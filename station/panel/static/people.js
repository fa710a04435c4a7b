// Who may do what here? An admin's list of people: add, disable, new PIN, other role; and who changed what.
import { icon } from "./icons.js";
import { ask, label, on, safe, start, state, text } from "./link.js";

const ROLES = ["inspector", "engineer", "ml", "admin"];
const LOOK_MS = 10000;
const SURE_MS = 4000;
const KNOWN = new Set(["exists", "unknown", "last_admin", "invalid"]);

export async function mount(element) {
  await start();
  label(element);
  const at = (id) => element.querySelector(`#${id}`);
  let people = [];
  let changes = [];
  let sure = null; // name whose "Disable" was pressed once
  const sheet = new Sheet(look);
  at("pp-add").innerHTML = `${icon("person")}<span>${safe(text("people.add"))}</span>`;

  async function look() {
    if (!state.permissions.includes("people")) return;
    try {
      ({ people, changes } = await ask("/api/people-admin/list"));
    } catch (failure) {
      say(failure);
      return;
    }
    paint();
  }

  function paint() {
    const before = document.activeElement?.closest("[data-name]");
    const focus = before && element.contains(before) ? [before.dataset.name, document.activeElement.dataset.do] : null;
    at("pp-table").innerHTML = `<thead><tr>${["people.name", "people.role", "people.since", "people.secret"].map((k) => `<th scope="col">${safe(text(k))}</th>`).join("")}<th scope="col"><span class="pp-hidden">${safe(text("people.disable"))}</span></th></tr></thead>
      <tbody>${people.map((p) => row(p, sure)).join("")}</tbody>`;
    at("pp-changes").innerHTML = changes.map((c) => `<li><time>${safe(when(c.at))}</time> <b>${safe(c.about)}</b> ${safe(what(c.what))} <small>${safe(text("people.by", { name: c.by }))}</small></li>`).join("");
    if (focus) at("pp-table").querySelector(`[data-name="${CSS.escape(focus[0])}"] [data-do="${focus[1]}"]`)?.focus({ preventScroll: true });
  }

  function say(failure) {
    const box = at("pp-said");
    box.dataset.kind = failure ? "failed" : "";
    box.innerHTML = failure ? `${icon("warn")}<span>${safe(refusal(failure))}</span>` : "";
  }

  async function change(path, body) {
    try {
      await ask(`/api/people-admin/${path}`, body);
      say(null);
    } catch (failure) {
      say(failure);
    }
    await look();
  }

  at("pp-add").addEventListener("click", () => sheet.add());
  at("pp-table").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const { name } = button.closest("[data-name]").dataset;
    if (button.dataset.do === "secret") sheet.secret(name);
    if (button.dataset.do === "enable") change("enable", { name });
    if (button.dataset.do !== "disable") return;
    if (sure === name) {
      sure = null;
      change("disable", { name });
      return;
    }
    sure = name;
    paint();
    setTimeout(() => { if (sure === name) { sure = null; paint(); } }, SURE_MS);
  });
  at("pp-table").addEventListener("change", (event) => {
    const { name } = event.target.closest("[data-name]").dataset;
    change("role", { name, role: event.target.value });
  });

  const shown = () => element.getClientRects().length > 0;
  new ResizeObserver(() => { if (shown()) look(); }).observe(element);
  setInterval(() => { if (shown() && !sure && document.activeElement?.tagName !== "SELECT") look(); }, LOOK_MS);
  on("person", look);
  at("st-people").dataset.ready = "yes";
  look();
}

/** Asks for a new person, or for someone's new PIN; the PIN twice. */
class Sheet {
  constructor(done) {
    this.done = done;
    this.dialog = document.createElement("dialog");
    this.dialog.className = "si-dialog pp-sheet";
    this.dialog.setAttribute("aria-labelledby", "pp-sheet-title");
    document.body.append(this.dialog);
    this.dialog.addEventListener("submit", (event) => { event.preventDefault(); this.#send(); });
    this.dialog.addEventListener("click", (event) => { if (event.target.closest("[data-do=cancel]")) this.dialog.close(); });
    addEventListener("keydown", (event) => { if (this.dialog.open) event.stopPropagation(); }, true);
  }

  add() {
    const roles = ROLES.map((r) => `<option value="${r}">${safe(text(`people.role.${r}`))}</option>`).join("");
    this.#show(text("people.add"), "add", null, `<label><span>${safe(text("people.name"))}</span><input name="name" maxlength="64" required autocomplete="off"></label>
      <label><span>${safe(text("people.role"))}</span><select name="role">${roles}</select></label>`);
  }

  secret(name) {
    this.#show(text("people.secret.of", { name }), "secret", name, "");
  }

  #show(title, path, name, fields) {
    this.path = path;
    this.name = name;
    this.dialog.innerHTML = `<form method="dialog" novalidate><h2 id="pp-sheet-title">${safe(title)}</h2>${fields}
      <label><span>${safe(text("people.secret.new"))}</span><input name="secret" type="password" maxlength="128" required autocomplete="new-password"></label>
      <label><span>${safe(text("people.secret.again"))}</span><input name="again" type="password" maxlength="128" required autocomplete="new-password"></label>
      <p class="pp-hint">${safe(text("people.secret.rule"))}</p>
      <div class="pp-said" role="alert" data-kind="failed"></div>
      <div class="pp-buttons"><button type="button" data-do="cancel">${safe(text("people.cancel"))}</button><button type="submit" class="pp-main">${safe(text("people.save"))}</button></div></form>`;
    this.dialog.showModal();
    this.dialog.querySelector("input").focus();
  }

  async #send() {
    const given = Object.fromEntries(new FormData(this.dialog.querySelector("form")));
    if (given.secret !== given.again) return this.#say(text("people.secret.differ"));
    const body = { name: this.name ?? given.name.trim(), secret: given.secret };
    if (!body.name || !body.secret) return this.#say(text("people.missing"));
    if (this.path === "add") body.role = given.role;
    try {
      await ask(`/api/people-admin/${this.path}`, body);
    } catch (failure) {
      return this.#say(refusal(failure));
    }
    this.dialog.close();
    return this.done();
  }

  #say(words) {
    this.dialog.querySelector(".pp-said").innerHTML = `${icon("warn")}<span>${safe(words)}</span>`;
  }
}

function row(p, sure) {
  const name = safe(p.name);
  const roles = ROLES.map((r) => `<option value="${r}"${r === p.role ? " selected" : ""}>${safe(text(`people.role.${r}`))}</option>`).join("");
  const button = (what, words, more = "") => `<button type="button" data-do="${what}" aria-label="${safe(words)}: ${name}"${more}>${safe(words)}</button>`;
  const last = p.disabled ? button("enable", text("people.enable"))
    : sure === p.name ? button("disable", text("people.sure"), ' class="pp-sure"') : button("disable", text("people.disable"));
  const you = p.name === state.person ? ` <small>${safe(text("people.you"))}</small>` : "";
  return `<tr data-name="${name}"${p.disabled ? ' data-disabled="yes"' : ""}><th scope="row"><span>${name}</span>${you}${p.disabled ? `<small>${safe(text("people.disabled"))}</small>` : ""}</th>
    <td><select data-do="role" aria-label="${safe(text("people.role"))}: ${name}">${roles}</select></td>
    <td>${safe(day(p.created_at))} <small>${safe(text("people.by", { name: p.created_by }))}</small></td>
    <td>${button("secret", text("people.secret.new"))}</td><td>${last}</td></tr>`;
}

function what(words) {
  const added = words.match(/^added as (\w+)$/);
  const role = words.match(/^role (\w+) to (\w+)$/);
  const titled = (r) => text(`people.role.${r}`);
  if (added) return text("people.did.added", { role: titled(added[1]) });
  if (role) return text("people.did.role", { from: titled(role[1]), to: titled(role[2]) });
  if (words === "new secret") return text("people.did.secret");
  if (words === "disabled") return text("people.did.disabled");
  if (words === "enabled") return text("people.did.enabled");
  return words;
}

function refusal(failure) {
  return KNOWN.has(failure.code) ? text(`people.refused.${failure.code}`) : text("people.refused", { words: failure.message });
}

function day(iso) {
  return new Date(iso).toLocaleDateString(document.documentElement.lang);
}

function when(iso) {
  return new Date(iso).toLocaleString(document.documentElement.lang, { dateStyle: "short", timeStyle: "short" });
}
