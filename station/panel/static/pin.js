// How does a gloved hand say who it is? Name tiles and a PIN pad; the keyboard does the same.
import { icon } from "./icons.js";
import { ask, safe, settled, text } from "./link.js";

const PAD = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "letters", "0", "back"];
const LONGEST = 128;
const BACK = '<svg class="st-icon" viewBox="0 0 24 24" aria-hidden="true"><path d="M8.500 5H21v14H8.500L2.500 12zM11.500 9.500l5 5M16.500 9.500l-5 5"/></svg>';

export class SignInForm {
  /**
   * `done(session)` is called when someone is signed in; `cancel()`, where given, when Escape is pressed.
   * `heading` is the element of the title: h1 on a page of its own, h2 in a dialog.
   */
  constructor(host, { heading = "h2", done, cancel = null }) {
    this.host = host;
    this.done = done;
    this.cancel = cancel;
    this.people = { names: [], nobody: false, demo: null };
    this.name = "";
    this.busy = false;
    this.waits = new Map(); // name -> until when its next try is refused
    host.innerHTML = frame(heading);
    const at = (id) => host.querySelector(`[data-si="${id}"]`);
    this.at = at;
    at("form").addEventListener("submit", (event) => { event.preventDefault(); this.#enter(); });
    at("name").addEventListener("input", () => this.#choose(at("name").value));
    at("secret").addEventListener("input", () => this.#paint());
    at("tiles").addEventListener("click", (event) => {
      const tile = event.target.closest("button");
      if (!tile) return;
      at("name").value = tile.dataset.name;
      this.#choose(tile.dataset.name, true);
      this.#toSecret(event.detail > 0);
    });
    at("pad").addEventListener("click", (event) => {
      const key = event.target.closest("button")?.dataset.key;
      if (key) this.#press(key);
    });
    this.timer = setInterval(() => this.#count(), 250);
  }

  /** Paints the people; keeps what is typed. */
  show(people, name = this.name) {
    this.people = people;
    const { at } = this;
    at("tiles").innerHTML = people.names.map(tileFace).join("");
    at("tiles").hidden = !people.names.length;
    at("none").hidden = !people.nobody;
    at("form").hidden = Boolean(people.nobody);
    at("demo").hidden = !people.demo;
    at("demo").innerHTML = people.demo ? demoFace(people.demo) : "";
    at("name").value = name;
    this.#choose(name);
  }

  /** Nothing typed, nobody chosen, or `name` chosen. */
  clear(name = "") {
    this.at("secret").value = "";
    this.at("name").value = name;
    this.#say("");
    this.#choose(name, true);
    (name ? this.at("secret") : this.at("tiles").querySelector("button") ?? this.at("name")).focus({ preventScroll: true });
  }

  /** Says whether the panel answers. */
  reachable(yes) {
    if (!yes) this.#say(text("signin.unreachable"), "lost");
    else if (this.at("words").dataset.kind === "lost") this.#say("");
  }

  /** A key pressed anywhere: letters go to the name, digits to the PIN once a name stands there. */
  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    if (event.key === "Escape" && this.cancel) {
      event.preventDefault();
      this.cancel();
      return;
    }
    const { at } = this;
    if (event.target === at("name") && event.key === "Enter") {
      event.preventDefault();
      const fit = this.#fitting();
      if (this.people.names.length && fit.length === 1) {
        at("name").value = fit[0].name;
        this.#choose(fit[0].name, true);
      }
      if (at("name").value.trim()) this.#toSecret(false);
      return;
    }
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName ?? "")) return;
    const typed = event.key.length === 1 && event.key !== " ";
    if (typed && this.name) at("secret").focus({ preventScroll: true });
    else if (typed && /\p{L}/u.test(event.key)) at("name").focus({ preventScroll: true });
    else if (event.key === "Backspace" && this.name) at("secret").focus({ preventScroll: true });
    else if (event.key === "Enter" && event.target.tagName !== "BUTTON") this.#enter();
  }

  #fitting() {
    const typed = this.at("name").value.trim().toLowerCase();
    const exact = this.people.names.filter((p) => p.name.toLowerCase() === typed);
    return exact.length ? exact : this.people.names.filter((p) => typed && p.name.toLowerCase().startsWith(typed));
  }

  #choose(typed, sure = false) {
    const { at } = this;
    const key = typed.trim().toLowerCase();
    const exact = this.people.names.find((p) => p.name.toLowerCase() === key);
    const before = this.name;
    this.name = exact ? exact.name : this.people.names.length && !sure ? "" : typed.trim();
    for (const tile of at("tiles").querySelectorAll("button")) {
      tile.setAttribute("aria-pressed", tile.dataset.name === this.name);
      tile.dataset.faint = Boolean(key) && !tile.dataset.name.toLowerCase().startsWith(key) ? "yes" : "";
    }
    at("of").textContent = this.name ? text("signin.secret.of", { name: this.name }) : text("signin.secret");
    if (before !== this.name && this.name) this.#say("");
    this.#paint();
  }

  #toSecret(byHand) {
    const secret = this.at("secret");
    secret.inputMode = byHand ? "none" : "text"; // the pad is the keyboard of a hand
    secret.focus({ preventScroll: true });
  }

  #press(key) {
    const secret = this.at("secret");
    if (key === "back") secret.value = secret.value.slice(0, -1);
    else if (key === "letters") {
      secret.blur();
      secret.inputMode = "text"; // now a tablet shows its keyboard
      secret.focus({ preventScroll: true });
    } else if (secret.value.length < LONGEST) secret.value += key;
    this.#paint();
  }

  get #waitMs() {
    return Math.max(0, (this.waits.get(this.#who.toLowerCase()) ?? 0) - performance.now());
  }

  get #who() {
    return this.name || this.at("name").value.trim();
  }

  async #enter() {
    const { at } = this;
    const name = this.#who;
    const secret = at("secret").value;
    if (this.busy || this.#waitMs) return;
    if (!name) return this.#need("signin.need.name", "name");
    if (!secret) return this.#need("signin.need.secret", "secret");
    this.busy = true;
    this.#paint();
    try {
      await settled();
      const session = await ask("/api/sign-in", { name, secret });
      at("secret").value = "";
      this.#say("");
      this.done(session);
    } catch (failure) {
      at("secret").value = "";
      if (failure.said?.wait_s) this.waits.set(name.toLowerCase(), performance.now() + failure.said.wait_s * 1000);
      if (failure.code === "wrong") this.#say(text("signin.wrong"), "wrong");
      else if (failure.code === "wait") this.#say(text("signin.wait"), "wait");
      else if (failure.code === "network") this.#say(text("signin.unreachable"), "lost");
      else this.#say(text("signin.failed", { words: failure.message }), "failed");
      at("secret").focus({ preventScroll: true });
    } finally {
      this.busy = false;
      this.#paint();
    }
  }

  #need(key, field) {
    this.#say(text(key), "need");
    this.at(field).focus({ preventScroll: true });
  }

  #say(words, kind = "") {
    const box = this.at("words");
    box.dataset.kind = kind;
    box.innerHTML = words ? `${icon("warn")}<span>${safe(words)}</span>` : "";
  }

  #count() {
    if (!this.host.isConnected) clearInterval(this.timer);
    this.#paint();
  }

  #paint() {
    const { at } = this;
    const wait = Math.ceil(this.#waitMs / 1000);
    const enter = at("enter");
    const words = wait ? text("signin.again", { s: wait }) : text(this.busy ? "signin.busy" : "signin.enter");
    if (enter.textContent !== words) enter.textContent = words;
    enter.disabled = Boolean(wait) || this.busy;
    enter.dataset.ready = this.#who && at("secret").value ? "yes" : "";
    if (!wait && at("words").dataset.kind === "wait") this.#say("");
    const length = at("secret").value.length;
    at("pad").querySelector('[data-key="back"]').disabled = length === 0;
  }
}

function frame(heading) {
  const key = (k) => {
    if (k === "back") return `<button type="button" data-key="back" aria-label="${safe(text("signin.back"))}">${BACK}</button>`;
    if (k === "letters") return `<button type="button" data-key="letters" aria-label="${safe(text("signin.letters"))}"><small>ABC</small></button>`;
    return `<button type="button" data-key="${k}">${k}</button>`;
  };
  return `<div class="si-none" data-si="none" hidden><${heading}>${safe(text("signin.nobody"))}</${heading}><p>${safe(text("signin.nobody.words"))}</p><pre><code>station user add NAME <span>--role admin</span></code></pre></div>
  <form class="si-form" data-si="form" autocomplete="off" novalidate>
    <section class="si-who">
      <${heading}>${safe(text("signin.title"))}</${heading}>
      <label><span>${safe(text("signin.name"))}</span><input data-si="name" maxlength="64" spellcheck="false" autocapitalize="words" autocomplete="off" enterkeyhint="next"></label>
      <div class="si-tiles" data-si="tiles" role="group" aria-label="${safe(text("signin.people"))}"></div>
      <p class="si-demo" data-si="demo" hidden></p>
    </section>
    <section class="si-pin">
      <label><span data-si="of">${safe(text("signin.secret"))}</span><input data-si="secret" type="password" maxlength="128" autocomplete="off" enterkeyhint="go"></label>
      <div class="si-words" data-si="words" role="alert"></div>
      <div class="si-pad" data-si="pad" role="group" aria-label="${safe(text("signin.pad"))}">${PAD.map(key).join("")}</div>
      <button type="submit" class="si-enter" data-si="enter"></button>
    </section>
  </form>`;
}

function tileFace({ name, role }) {
  return `<button type="button" data-name="${safe(name)}" aria-pressed="false"><b>${safe(name)}</b><small>${safe(text(`people.role.${role}`))}</small></button>`;
}

function demoFace(demo) {
  const pairs = demo.split(" · ").map((pair) => `<span>${safe(pair)}</span>`).join("");
  return `<b>${safe(text("signin.demo"))}</b>${pairs}`;
}
