// Which key or button means what? Listens for the review screen; what is typed into a field is never an answer.
import { state } from "./link.js";

const ANSWERS = { Enter: "agree", f: "false_alarm", d: "draw", u: "unsure", r: "rework", z: "undo", Backspace: "undo" };
const TOOLS = { b: "boxes", h: "heat", "+": "plus", "=": "plus", "-": "minus", 0: "fit", n: "note", m: "mute", "?": "help" };

/** Hands every press to `screen`: to its `answering`, or to use(tool), escape(), touched(). */
export function listen(screen) {
  const { element } = screen;
  for (const touch of ["pointerdown", "pointermove", "keydown"]) addEventListener(touch, () => screen.touched(), { passive: true });
  document.addEventListener("keydown", (event) => key(screen, event));
  element.querySelector("#st-answers").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (event.detail > 0) button.blur(); // clicked, not chosen by keyboard: Enter stays "Confirm defect"
    if (button.dataset.cause !== undefined) screen.answering.pressCause(button.dataset.cause);
    else screen.answering.press(button.dataset.answer);
  });
  element.querySelector("#st-classes").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) screen.answering.chooseClass(button.dataset.class);
  });
  element.querySelector("#st-tools").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (event.detail > 0) button.blur();
    screen.use(button.dataset.tool);
  });
  element.querySelector("#st-draw").addEventListener("click", (event) => { if (event.target.closest("button")) screen.answering.leave(); });
}

function key(screen, event) {
  if (!screen.visible() || event.ctrlKey || event.altKey || event.metaKey) return;
  const target = event.target;
  if (target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))) return;
  const pressed = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (screen.helpOpen()) {
    if (pressed !== "Escape" && pressed !== "?") return; // a key pressed to read about it is no answer
    event.preventDefault();
    return screen.escape();
  }
  if (document.querySelector("dialog[open], [role=dialog][aria-modal=true]:not([hidden])")) return; // another one is open
  // A button reached with the Tab key is pressed by Enter and the space bar as everywhere.
  const chosen = target instanceof HTMLElement && target.matches("button:focus-visible, [role=tab]:focus-visible, a:focus-visible");
  if (chosen && (event.key === "Enter" || event.key === " ")) return;
  if (pressed === "Tab") {
    if (!chosen && screen.answering.step(event.shiftKey ? -1 : 1)) event.preventDefault();
    return;
  }
  const act = action(screen, pressed);
  if (!act) return;
  event.preventDefault();
  if (!event.repeat || pressed === "+" || pressed === "-") act();
}

function action(screen, pressed) {
  if (pressed === "Escape") return () => screen.escape();
  if (pressed in ANSWERS) return () => screen.answering.press(ANSWERS[pressed]);
  if (pressed in TOOLS) return () => screen.use(TOOLS[pressed]);
  const asClass = /^[1-9]$/.test(pressed) && state.boot.classes.find((c) => c.key === pressed);
  if (asClass) return () => screen.answering.chooseClass(asClass.name);
  const asCause = (state.boot.causes ?? []).find((c) => c.key?.toLowerCase() === pressed);
  return asCause ? () => screen.answering.pressCause(asCause.name) : null;
}
