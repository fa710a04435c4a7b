// Who sits here now, and who comes next? The overlay behind the person's name: change, sign out, language, theme, sound.
import { icon } from "./icons.js";
import { ask, on, safe, settled, state, takeSession, text } from "./link.js";
import { SignInForm } from "./pin.js";
import { isMuted, mute } from "./sound.js";

const keep = (name, value) => { try { localStorage.setItem(`station.${name}`, value); } catch { /* private window */ } };

export class PersonOverlay {
  constructor() {
    this.dialog = document.createElement("dialog");
    this.dialog.className = "si-dialog";
    this.dialog.id = "st-signin";
    this.dialog.setAttribute("aria-label", text("signin.enter"));
    this.dialog.innerHTML = `<div class="si-bar" id="st-signin-bar"></div><div class="si-main" id="st-signin-form"></div>`;
    document.body.append(this.dialog);
    this.bar = this.dialog.querySelector("#st-signin-bar");
    this.form = new SignInForm(this.dialog.querySelector("#st-signin-form"), {
      done: (session) => this.#enter(session),
      cancel: () => this.close(),
    });
    this.bar.addEventListener("click", (event) => this.#press(event.target.closest("button")?.dataset.do));
    this.dialog.addEventListener("cancel", (event) => { event.preventDefault(); this.close(); });
    this.dialog.addEventListener("close", () => { if (!state.person) this.dialog.showModal(); });
    // Before every other listener: a key pressed here must answer no part.
    addEventListener("keydown", (event) => {
      if (!this.dialog.open) return;
      event.stopPropagation();
      this.form.key(event);
    }, true);
    on("signedout", (why) => { if (why === "ended") this.open(this.last); });
    on("person", (name) => { this.last = name || this.last; });
    this.last = state.person;
  }

  /** Shows the overlay; `name` is chosen beforehand where somebody's session has ended. */
  async open(name = "") {
    if (!this.dialog.open) this.dialog.showModal();
    this.#paint();
    this.form.clear(name);
    try {
      this.form.show(await ask("/api/people"), name);
      this.form.clear(name);
    } catch {
      this.form.reachable(false);
    }
  }

  /** Back to the screen, where somebody is signed in. */
  close() {
    if (state.person) this.dialog.close();
  }

  #enter(session) {
    takeSession(session);
    this.dialog.close();
    if (!location.pathname.startsWith(session.home)) location.assign(session.home);
  }

  #paint() {
    const here = state.person;
    const light = document.documentElement.dataset.theme === "light";
    const next = (state.boot.languages ?? ["en"]).find((x) => x !== (state.boot.language ?? "en"));
    const button = (what, sign, words, more = "") => `<button type="button" data-do="${what}"${more}>${icon(sign)}<span>${safe(words)}</span></button>`;
    const who = here ? `${icon("person")}<b>${safe(here)}</b><small>${safe(text(`people.role.${state.role}`))}</small>` : `${icon("warn")}<b>${safe(text("signin.ended"))}</b>`;
    this.bar.innerHTML = `<div class="si-here" role="status">${who}</div>
      ${button("sound", isMuted() ? "mute" : "sound", text(isMuted() ? "signin.sound.on" : "signin.sound.off"))}
      ${button("theme", light ? "moon" : "sun", text(light ? "signin.theme.dark" : "signin.theme.light"))}
      ${next ? button("language", "globe", next.toUpperCase(), ` data-next="${safe(next)}" aria-label="${safe(text(`signin.language.${next}`))}"`) : ""}
      ${here ? button("out", "door", text("signin.out")) + button("close", "cross", text("signin.close")) : ""}`;
  }

  #press(what) {
    if (what === "close") this.close();
    if (what === "out") signOut();
    if (what === "sound") mute(!isMuted());
    if (what === "theme") {
      const theme = document.documentElement.dataset.theme === "light" ? "dark" : "light";
      document.documentElement.dataset.theme = theme;
      document.documentElement.classList.toggle("dark", theme === "dark");
      keep("theme", theme);
    }
    if (what === "language") {
      keep("language", this.bar.querySelector('[data-do="language"]').dataset.next);
      location.reload();
    }
    if (what === "sound" || what === "theme") {
      this.#paint();
      this.bar.querySelector(`[data-do="${what}"]`).focus({ preventScroll: true });
    }
  }
}

async function signOut() {
  await settled(); // an answer on its way is still this person's
  await ask("/api/sign-out", {}).catch(() => {});
  location.assign("/sign-in");
}
