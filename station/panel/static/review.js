// What does the inspector see and press? The review screen.
import { Desk } from "./desk.js";
import { ageOf, classesFace, heldFace, idleFace, noPictureFace, queueFace, titleOf, verdictFace } from "./faces.js";
import { icon } from "./icons.js";
import { canStore, label, on, safe, sentence, setPerson, shownState, start, state, tell, text } from "./link.js";
import { Loupe, Stage, decode } from "./stage.js";

const HOLD_KEYS_MS = 700; // after a part came back or was taken back: a key meant for another part must not hit it
const MIN_SIGHT_MS = 200; // nobody judges a part faster: a key that bounces must not answer the next one
const NOTICE_MS = { stored: 2500, undone: 4000, conflict: 7000, failed: 12000, busy: 0, hint: 3000 };
const ANSWER_KEYS = { Enter: "agree", f: "false_alarm", d: "draw", u: "unsure", r: "rework", z: "undo", Backspace: "undo" };

export async function mount(element) {
  await start();
  label(element);
  const at = (id) => element.querySelector(`#st-${id}`);
  const stage = new Stage(at("canvas"), at("boxes"), { titleOf, onPoint: lookAt });
  const loupe = new Loupe(at("crop-this"), at("crop-good"));
  let drawMode = null; // null, "drag" or "class"
  let deaf = 0; // keys are not heard before this moment
  let seen = { id: null, at: 0 }; // the part shown, and since when
  let noticeTimer = 0;
  at("review").dataset.ready = "yes";
  const desk = new Desk({ show, notice });

  // ---------------------------------------------------------------- painting

  function show(why) {
    const part = desk.current;
    endDrawing();
    stage.show(part?.bitmap ?? null, part?.candidates ?? []);
    performance.mark("station-painted", { detail: { id: part?.id ?? null, why } });
    if (part && part.paintedAt === undefined && part.picture !== "loading") {
      part.paintedAt = performance.now();
      requestAnimationFrame(() => { part.paintedAt = performance.now(); });
    }
    if (seen.id !== (part?.id ?? null)) seen = { id: part?.id ?? null, at: performance.now() };
    if (why === "back" || why === "undone") deaf = performance.now() + HOLD_KEYS_MS;
    if (why === "new") tell("flash");
    lookAt(null);
    paintWords();
    tell("part", part);
  }

  function paintWords() {
    const part = desk.current;
    element.querySelector("#st-review").dataset.back = part?.back ? "yes" : "";
    at("review").dataset.part = part ? part.blind ? "blind" : part.evaluation : "";
    paintHeld(part);
    at("verdict").innerHTML = verdictFace(part);
    paintClasses(part);
    paintQueue();
    paintAnswers(part);
    paintIdle(part);
  }

  function paintHeld(part) {
    at("held").hidden = !part;
    at("age").hidden = !part;
    at("toggle").hidden = !part || !part.candidates?.length;
    at("toggle").innerHTML = `${safe(text(stage.showBoxes ? "boxes.on" : "boxes.off"))}<kbd>B</kbd>`;
    at("toggle").setAttribute("aria-pressed", stage.showBoxes);
    const nopic = part && part.picture !== "here";
    at("nopic").hidden = !nopic;
    at("canvas").setAttribute("aria-label", part ? `${text("stage.label")} #${part.number}` : text("idle.title"));
    at("reason").hidden = !part || part.blind || nopic;
    if (!part) return;
    const held = heldFace(part);
    at("held").dataset.kind = held.kind;
    at("held").innerHTML = held.html;
    at("reason").textContent = part.blind ? "" : sentence(part.reason);
    if (nopic) at("nopic").innerHTML = noPictureFace(part);
    paintAge();
  }

  function paintAge() {
    const part = desk.current;
    if (part) at("age").textContent = text("age.waiting", { age: ageOf(part.opened_at) });
  }

  function paintClasses(part) {
    const box = at("classes");
    box.dataset.draw = drawMode === "class" ? "yes" : "";
    box.dataset.n = state.boot.classes.length;
    box.innerHTML = classesFace(part, part && canStore());
  }

  function paintQueue() {
    const mine = [desk.current, ...desk.ready].filter(Boolean);
    const ids = desk.known;
    const rest = (state.change?.queue ?? []).filter((q) => !ids.has(q.id));
    at("queue").innerHTML = queueFace([...mine, ...rest].slice(0, 12), desk.current);
  }

  function paintAnswers(part) {
    const free = part && canStore() && state.person;
    for (const button of at("answers").querySelectorAll("button")) {
      const which = button.dataset.answer;
      let on = Boolean(free);
      if (which === "agree") on = free && !part.blind && Boolean(part.proposed) && !drawMode;
      else if (which === "undo") on = canStore() && Boolean(state.person);
      else if (which === "draw") on = free && part.picture === "here";
      else if (drawMode) on = false;
      if (drawMode && which === "undo") on = false;
      button.disabled = !on;
      if (which === "draw") {
        button.querySelector("b").textContent = text(drawMode ? "answer.cancel" : "answer.missed_defect");
        button.querySelector("kbd").textContent = drawMode ? "Esc" : "D";
      }
    }
  }

  function paintIdle(part) {
    at("idle").hidden = Boolean(part);
    if (part) return;
    const busy = !desk.filling && (state.change?.queue ?? []).some((q) => !desk.known.has(q.id));
    const idle = idleFace(shownState(), busy);
    at("idle").dataset.kind = idle.kind;
    at("idle").innerHTML = idle.html;
  }

  // The place to look at closely: under the pointer, else the strongest candidate, else the middle.
  function lookAt(point) {
    const part = desk.current;
    const bitmap = part?.bitmap ?? null;
    let box = null;
    if (bitmap) {
      const half = Math.min(bitmap.width, bitmap.height) / 10;
      const middle = point ?? [bitmap.width / 2, bitmap.height / 2];
      box = !point && part.candidates?.length ? strongest(part).xyxy
        : [middle[0] - half, middle[1] - half, middle[0] + half, middle[1] + half];
    }
    const zoom = loupe.show(bitmap, box);
    at("crop-scale").textContent = zoom ? text("crop.scale", { n: zoom }) : "";
    at("crop-hint").hidden = !part || loupe.reference !== null;
  }

  function strongest(part) {
    return part.candidates.find((c) => c.label === part.label) ?? part.candidates[0];
  }

  function notice(kind, key, values = {}) {
    if (key === "notice.stored") {
      tell("stored", desk.stored);
      values = { ...values, answer: text(`said.${values.answer}`, { class: titleOf(values.label) }) };
    }
    if (kind === "undone") tell("stored", desk.stored);
    const box = at("notice");
    if (kind === "busy" && box.dataset.kind === "failed") return;
    const sign = { stored: "ok", busy: "ring", undone: "undo", conflict: "persons", failed: "warn", hint: "warn" }[kind];
    box.dataset.kind = kind;
    box.innerHTML = `${icon(sign)}<span>${safe(text(key, values))}</span>`;
    clearTimeout(noticeTimer);
    if (NOTICE_MS[kind]) noticeTimer = setTimeout(() => { box.dataset.kind = ""; box.textContent = ""; }, NOTICE_MS[kind]);
    if (!desk.current) paintIdle(null);
    paintQueue();
  }

  // ---------------------------------------------------------------- answering

  /** Too early to be meant for the part shown. */
  function early() {
    return performance.now() < Math.max(deaf, seen.at + MIN_SIGHT_MS);
  }

  function press(which) {
    if (which !== "undo" && early()) return;
    if (which === "undo") {
      if (drawMode) { endDrawing(); paintWords(); return; }
      if (!canStore()) return notice("hint", "notice.away");
      if (state.person) desk.undo();
      return;
    }
    const part = desk.current;
    if (!part || !state.person) return;
    if (!canStore()) return notice("hint", "notice.away");
    if (which === "draw") return drawMode ? (endDrawing(), paintWords()) : beginDrawing(part);
    if (drawMode) return notice("hint", "notice.drawing");
    if (which === "agree" && part.blind) return notice("hint", "notice.blindagree");
    if (which === "agree" && !part.proposed) return notice("hint", "notice.noagree");
    desk.answer(which, { shown: whatIsShown(part) });
  }

  function chooseClass(name) {
    if (early()) return;
    const part = desk.current;
    if (!part || !state.person) return;
    if (!canStore()) return notice("hint", "notice.away");
    if (drawMode === "drag") return notice("hint", "draw.drag");
    const shown = whatIsShown(part);
    if (drawMode === "class") {
      const xyxy = stage.drawn.map((v) => Math.round(v * 10) / 10);
      desk.answer("missed_defect", { label: name, xyxy, shown });
    } else if (!part.blind && part.proposed === name) {
      desk.answer("agree", { shown });
    } else {
      desk.answer("other_class", { label: name, shown });
    }
  }

  function beginDrawing(part) {
    if (part.picture !== "here") return notice("hint", "notice.nodraw");
    drawMode = "drag";
    stage.startDrawing(() => { drawMode = "class"; paintDrawing(); paintClasses(part); });
    paintDrawing();
    paintAnswers(part);
  }

  function endDrawing() {
    if (!drawMode) return;
    drawMode = null;
    stage.stopDrawing();
    paintDrawing();
  }

  function paintDrawing() {
    at("stage").dataset.draw = drawMode ?? "";
    at("draw").hidden = !drawMode;
    if (drawMode) at("draw").innerHTML = `${icon("box")}<b>${safe(text(drawMode === "drag" ? "draw.drag" : "draw.class"))}</b><span>${safe(text("draw.esc"))}</span>`;
  }

  function whatIsShown(part) {
    const common = { blind: part.blind, layout: `${innerWidth}x${innerHeight}`, picture: part.picture, scale: Math.round(stage.fit.scale * 100) / 100 };
    if (part.blind) return common;
    return { ...common, verdict: part.evaluation, class: part.label, score: part.score, boxes: stage.showBoxes, reference: loupe.reference !== null };
  }

  function toggleBoxes() {
    stage.showBoxes = !stage.showBoxes;
    stage.paint();
    paintHeld(desk.current);
  }

  // ---------------------------------------------------------------- listening

  for (const touch of ["pointerdown", "pointermove", "keydown"]) addEventListener(touch, () => desk.touch(), { passive: true });
  document.addEventListener("keydown", (event) => {
    if (!at("review").getClientRects().length || !at("dialog").hidden) return;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const target = event.target;
    if (target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))) return;
    // A button reached with the Tab key is pressed by Enter and the space bar as everywhere.
    const chosen = target instanceof HTMLButtonElement && element.contains(target) && target.matches(":focus-visible");
    if (chosen && (event.key === "Enter" || event.key === " ")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const digit = /^[1-9]$/.test(key) ? state.boot.classes.find((c) => c.key === key) : null;
    if (!(key in ANSWER_KEYS) && !digit && key !== "b" && key !== "Escape") return;
    event.preventDefault();
    if (event.repeat) return;
    if (digit) chooseClass(digit.name);
    else if (key === "b") toggleBoxes();
    else if (key === "Escape") { endDrawing(); paintWords(); }
    else press(ANSWER_KEYS[key]);
  });
  at("answers").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (event.detail > 0) button.blur(); // clicked, not chosen by keyboard: Enter stays "Confirm defect"
    press(button.dataset.answer);
  });
  at("classes").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) chooseClass(button.dataset.class);
  });
  at("toggle").addEventListener("click", (event) => { event.currentTarget.blur(); toggleBoxes(); });

  const dialog = at("dialog");
  function askName() {
    dialog.hidden = false;
    at("name").value = state.person;
    at("name").focus();
    at("name").select();
  }
  at("name-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const name = at("name").value.trim();
    if (!name) return;
    dialog.hidden = true;
    if (name === state.person) return;
    const before = state.person;
    setPerson(name);
    await desk.leave(before);
    desk.fill();
  });
  dialog.addEventListener("keydown", (event) => { if (event.key === "Escape" && state.person) dialog.hidden = true; });
  on("signon", askName);

  let waitingBefore = null;
  on("change", (change) => {
    if (change.waiting > (waitingBefore ?? change.waiting)) tell("flash");
    waitingBefore = change.waiting;
    desk.fill().then(() => { if (!desk.current) paintIdle(null); });
    paintQueue();
    if (!desk.current) paintIdle(null);
  });
  let could = null;
  function reach() {
    const can = canStore();
    if (can !== could) {
      could = can;
      paintWords();
      if (can) { desk.fill(); desk.renew(); }
    } else if (!desk.current) paintIdle(null);
  }
  on("loop", reach);
  on("link", reach);
  on("boot", () => { paintWords(); loadReference(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) desk.renew(); });
  addEventListener("pagehide", () => {
    if (state.person) navigator.sendBeacon("/api/leave", new Blob([JSON.stringify({ person: state.person })], { type: "application/json" }));
  });
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  setInterval(() => { paintAge(); }, 1000);

  async function loadReference() {
    loupe.reference = state.boot.reference ? await decode(state.boot.reference).catch(() => null) : null;
    lookAt(null);
  }

  new ResizeObserver(() => lookAt(null)).observe(at("crop-this").parentElement);
  paintWords();
  loadReference();
  if (!state.person) askName();
  desk.fill();
}
