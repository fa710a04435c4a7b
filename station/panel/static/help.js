// Which key does what? One overlay with all of them, in the screen's language.
import { icon } from "./icons.js";
import { safe, state, text } from "./link.js";
import { causeOf, titleOf } from "./words.js";

export class Help {
  constructor(box) {
    this.box = box;
    this.before = null; // what had the focus
    box.addEventListener("click", (event) => { if (event.target === box || event.target.closest("button")) this.close(); });
  }

  get open() {
    return !this.box.hidden;
  }

  toggle() {
    if (this.open) this.close();
    else this.show();
  }

  show() {
    this.box.innerHTML = page();
    this.before = document.activeElement;
    this.box.hidden = false;
    this.box.querySelector("button").focus({ preventScroll: true });
  }

  close() {
    this.box.hidden = true;
    this.before?.blur?.(); // Enter must not press it
    document.activeElement?.blur?.();
  }
}

function page() {
  const row = (keys, words) => `<li><span>${keys.map((k) => `<kbd>${safe(k)}</kbd>`).join(" ")}</span><span>${safe(words)}</span></li>`;
  const keyed = state.boot.classes.filter((c) => c.key);
  const part = (title, rows) => `<section><h3>${safe(text(title))}</h3><ul>${rows.join("")}</ul></section>`;
  return `<div class="st-helppage" role="document">
    <header><h2 id="st-help-title">${safe(text("help.title"))}</h2><button type="button">${icon("cross")}<span>${safe(text("help.close"))}</span><kbd>Esc</kbd></button></header>
    <div class="st-helpcols">
    ${part("help.answers", [
      row(["Enter"], text("help.agree")), row(["F"], text("help.false_alarm")),
      ...(state.boot.causes ?? []).filter((c) => c.key).map((c) => row([c.key.toUpperCase()], text("help.cause", { cause: causeOf(c.name) }))),
      row(["D"], text("help.draw")), row(["U"], text("help.unsure")), row(["R"], text("help.rework")), row(["N"], text("help.note")),
      row(["Z"], text("help.undo")),
    ])}
    ${part("help.classes", keyed.map((c) => row([c.key], titleOf(c.name))))}
    ${part("help.several", [row(["Tab", "⇧ Tab"], text("help.select")), row(["Esc"], text("help.leave"))])}
    ${part("help.picture", [
      row(["+", "–"], text("help.zoom")), row(["0"], text("help.reset")), row(["B"], text("help.boxes")), row(["H"], text("help.heat")),
      row(["M"], text("help.mute")), row(["?"], text("help.help")),
    ])}
    </div></div>`;
}
