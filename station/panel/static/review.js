// What does the inspector see and press? The review screen.
import { Alarm } from "./alarm.js";
import { Closer } from "./closer.js";
import { Desk } from "./desk.js";
import { causesFace, classesFace, heldFace, idleFace, noPictureFace, put, queueFace, verdictFace } from "./faces.js";
import { Help } from "./help.js";
import { icon } from "./icons.js";
import { Judge } from "./judge.js";
import { listen } from "./keys.js";
import { ask, canStore, label, on, safe, shownState, start, state, tell, text } from "./link.js";
import { FirstLook } from "./look.js";
import { Note } from "./note.js";
import { Notices } from "./notices.js";
import { Stage } from "./stage.js";
import { Tools } from "./tools.js";
import { reasonOf, titleOf } from "./words.js";

const HOLD_KEYS_MS = 700; // after a part came back or was taken back: a key meant for another part must not hit it
const MIN_SIGHT_MS = 200; // nobody judges a part faster: a key that bounces must not answer the next one
const NOBODY = new Judge(null);

export async function mount(element) {
  await start();
  label(element);
  const at = (id) => element.querySelector(`#st-${id}`);
  const phone = matchMedia("(max-width: 599px)"); // too small to judge on: it looks and answers nothing
  const stage = new Stage(at("canvas"), at("boxes"), { titleOf, onPoint: (point) => closer.look(point), onTap: tapped, onDouble: doubled, zoomable: true });
  const closer = new Closer(at, () => desk?.current ?? null);
  const alarm = new Alarm({ age: at("age"), banner: at("systematic") });
  const look = new FirstLook(at("look"));
  const help = new Help(at("help"));
  const note = new Note(at("note"), at("noted"));
  const notices = new Notices(at("notice"));
  const tools = new Tools(at("tools"), { stage, help, writeNote: () => { if (mayAnswer(desk.current) && !drawMode) note.open(); } });
  let desk = null;
  let drawMode = null; // null, "drag" or "class"
  let deaf = 0; // keys are not heard before this moment
  let seen = { id: null, at: 0 }; // the part shown, and since when
  let selectedAt = -Infinity;
  let shaped = false;
  at("review").dataset.ready = "yes";
  desk = new Desk({
    show, notice, mayClaim: () => !phone.matches,
    stored: (part) => { if (part.blind) look.after(part); },
  });

  // ---------------------------------------------------------------- painting

  function show(why) {
    const part = desk.current;
    if (why === "heat") {
      stage.heat = part.heatmap;
      if (stage.showHeat) stage.later();
      return tools.paint(part, mayAnswer(part));
    }
    endDrawing();
    if (part && !part.blind) part.judge ??= new Judge(part);
    stage.judge = part?.judge ?? null;
    stage.show(part?.bitmap ?? null, part?.candidates ?? [], part?.heatmap ?? null);
    performance.mark("station-painted", { detail: { id: part?.id ?? null, why } });
    if (part && part.paintedAt === undefined && part.picture !== "loading") {
      part.paintedAt = performance.now();
      requestAnimationFrame(() => { part.paintedAt = performance.now(); });
    }
    if (seen.id !== (part?.id ?? null)) seen = { id: part?.id ?? null, at: performance.now() };
    if (why === "back" || why === "undone") deaf = performance.now() + HOLD_KEYS_MS;
    if (why === "undone") look.forget(part.id);
    if (why === "new") tell("flash");
    keepShape(part);
    note.about(part);
    closer.look(null);
    paintWords();
    tell("part", part);
    if (part) closer.later(part);
  }

  /** The first part's shape decides how wide its picture's place is; later ones change nothing under the hand. */
  function keepShape(part) {
    if (shaped || !part?.width) return;
    shaped = true;
    at("review").style.setProperty("--aspect", Math.min(Math.max(part.width / part.height, 0.8), 2).toFixed(3));
    stage.paint();
  }

  function judge() {
    return desk.current?.judge ?? NOBODY;
  }

  function paintWords() {
    const part = desk.current;
    at("review").dataset.back = part?.back ? "yes" : "";
    at("review").dataset.part = part ? part.blind ? "blind" : part.evaluation : "";
    paintHeld(part);
    paintOpinion(part);
    paintQueue();
    paintAnswers(part);
    tools.paint(part, mayAnswer(part));
    paintMode();
    paintIdle(part);
  }

  /** What changes with the selected defect. */
  function paintOpinion(part) {
    const one = judge();
    put(at("verdict"), verdictFace(part, one));
    const box = at("classes");
    box.dataset.draw = drawMode === "class" ? "yes" : "";
    box.dataset.n = state.boot.classes.length;
    put(box, classesFace(part, mayAnswer(part), one));
  }

  function paintHeld(part) {
    at("held").hidden = !part;
    const nopic = Boolean(part) && part.picture !== "here";
    at("nopic").hidden = !nopic;
    at("canvas").setAttribute("aria-label", part ? `${text("stage.label")} #${part.number}` : text("idle.title"));
    at("reason").hidden = !part || part.blind || nopic;
    alarm.tick(part);
    if (!part) return;
    const held = heldFace(part);
    at("held").dataset.kind = held.kind;
    put(at("held"), held.html);
    at("reason").textContent = part.blind ? "" : reasonOf(part);
    if (nopic) put(at("nopic"), noPictureFace(part));
  }

  function paintQueue() {
    const ids = desk.known;
    const mine = [desk.current, ...desk.ready].filter(Boolean);
    const rest = (state.change?.queue ?? []).filter((q) => !ids.has(q.id) && q.id !== desk.current?.id);
    put(at("queue"), queueFace([...mine, ...rest].slice(0, 12), desk.current));
  }

  function mayAnswer(part) {
    return Boolean(part && !part.peeked && canStore() && state.person);
  }

  function paintAnswers(part) {
    const free = mayAnswer(part), one = judge();
    for (const button of at("answers").querySelectorAll("[data-answer]")) {
      const which = button.dataset.answer;
      let enabled = free && !drawMode;
      if (which === "agree") enabled = enabled && !part.blind && Boolean(one.defect || part.proposed);
      else if (which === "undo") enabled = canStore() && Boolean(state.person) && !drawMode;
      else if (which === "draw") enabled = free && part.picture === "here";
      button.disabled = !enabled;
      if (which === "draw") {
        button.querySelector("b").textContent = text(drawMode ? "answer.cancel" : "answer.missed_defect");
        button.querySelector("kbd").textContent = drawMode ? "Esc" : "D";
      }
    }
    at("causes").dataset.n = state.boot.causes?.length ?? 0;
    put(at("causes"), causesFace(free && !drawMode));
  }

  /** What a tap or key means just now, where it is not the plain answer. */
  function paintMode() {
    const one = judge(), box = at("draw");
    at("stage").dataset.draw = drawMode ?? "";
    at("stage").dataset.judge = one.active ? "yes" : "";
    box.hidden = !drawMode && !one.active;
    if (drawMode) {
      const words = text(drawMode === "drag" ? "draw.drag" : "draw.class");
      put(box, `${icon("box")}<div><b>${safe(words)}</b><span>${safe(text("draw.esc"))}</span></div>`);
    } else if (one.active) {
      const words = one.complete ? text("judge.again") : text("judge.which", { i: (one.selected ?? 0) + 1, n: one.defects.length });
      put(box, `${icon("boxes")}<div><b>${safe(words)}</b><span>${safe(text(one.complete ? "judge.again.keys" : "judge.keys"))}</span></div>
        <button type="button"><b>${safe(text("judge.leave"))}</b><kbd>Esc</kbd></button>`);
    }
  }

  function paintIdle(part) {
    at("idle").hidden = Boolean(part);
    if (part) return;
    const busy = !desk.filling && (state.change?.queue ?? []).some((q) => !desk.known.has(q.id));
    const idle = idleFace(shownState(), busy);
    at("idle").dataset.kind = idle.kind;
    put(at("idle"), idle.html);
  }

  // ---------------------------------------------------------------- selecting

  function tapped(point, box) {
    const part = desk.current;
    if (!box || drawMode || part.blind || !mayAnswer(part)) return closer.look(point);
    selectedAt = judge().active ? -Infinity : performance.now();
    select(() => judge().select(box.defect));
  }

  function doubled() {
    if (performance.now() - selectedAt < 600) select(() => judge().leave()); // its first tap selected nothing meant
  }

  function select(change) {
    change();
    stage.paint();
    closer.look(null);
    paintOpinion(desk.current);
    paintAnswers(desk.current);
    paintMode();
  }

  function notice(kind, key, values) {
    notices.say(kind, key, values);
    if (key === "notice.stored" || kind === "undone") tell("stored", desk.stored);
    if (!desk.current) paintIdle(null);
    paintQueue();
  }

  // ---------------------------------------------------------------- answering

  /** Whether this press may answer the part shown; says why not where that helps. */
  function heard() {
    const part = desk.current;
    // Too early to be meant for the part shown.
    if (performance.now() < Math.max(deaf, seen.at + MIN_SIGHT_MS) || !part || part.peeked || !state.person) return null;
    if (!canStore()) return notice("hint", "notice.away") ?? null;
    return part;
  }

  function give(part, given) {
    const words = note.take(part);
    desk.answer(words ? { ...given, note: words } : given, whatIsShown(part));
  }

  /** One defect is answered, the others wait; with the last one the whole is sent. */
  function say(part, judgement) {
    const one = judge();
    one.say(judgement);
    seen.at = performance.now();
    if (one.complete) give(part, { answer: null, judgements: one.judgements });
    else select(() => {});
  }

  function press(which) {
    if (which === "undo") return undo();
    const part = heard();
    if (!part) return;
    const one = judge();
    if (which === "draw") return drawMode ? cancelDrawing() : beginDrawing(part);
    if (drawMode) return notice("hint", "notice.drawing");
    if (which === "unsure" || which === "rework") return give(part, { answer: which }); // of the whole part
    if (one.complete && which === "agree") return give(part, { answer: null, judgements: one.judgements });
    if (one.defect) return say(part, { answer: which });
    if (which === "agree" && part.blind) return notice("hint", "notice.blindagree");
    if (which === "agree" && !part.proposed) return notice("hint", "notice.noagree");
    give(part, { answer: which });
  }

  function pressCause(cause) {
    const part = heard();
    if (!part) return;
    if (drawMode) return notice("hint", "notice.drawing");
    if (judge().defect) say(part, { answer: "false_alarm", cause });
    else give(part, { answer: "false_alarm", cause });
  }

  function chooseClass(name) {
    const part = heard();
    if (!part) return;
    const one = judge();
    if (drawMode === "drag") return notice("hint", "draw.drag");
    if (drawMode === "class") {
      const xyxy = stage.drawn.map((v) => Math.round(v * 10) / 10);
      if (!one.active) return give(part, { answer: "missed_defect", label: name, xyxy });
      one.draw(name, xyxy);
      cancelDrawing();
      return select(() => {});
    }
    if (one.defect) return say(part, one.defect.label === name ? { answer: "agree" } : { answer: "other_class", label: name });
    if (!part.blind && part.proposed === name) give(part, { answer: "agree" });
    else give(part, { answer: "other_class", label: name });
  }

  function undo() {
    if (drawMode) return cancelDrawing();
    if (judge().order.length) return select(() => judge().back());
    if (!canStore()) return notice("hint", "notice.away");
    if (state.person && !phone.matches) desk.undo();
  }

  function beginDrawing(part) {
    if (part.picture !== "here") return notice("hint", "notice.nodraw");
    drawMode = "drag";
    stage.startDrawing(() => { drawMode = "class"; paintMode(); paintOpinion(part); });
    paintMode();
    paintAnswers(part);
  }

  function endDrawing() {
    if (!drawMode) return;
    drawMode = null;
    stage.stopDrawing();
    paintMode();
  }

  function cancelDrawing() {
    endDrawing();
    paintWords();
  }

  function whatIsShown(part) {
    const common = { blind: part.blind, layout: `${innerWidth}x${innerHeight}`, picture: part.picture, scale: Math.round(stage.fit.scale * 100) / 100 };
    if (part.blind) return common;
    return { ...common, verdict: part.evaluation, class: part.label, score: part.score, boxes: stage.showBoxes, heat: stage.showHeat && Boolean(part.heatmap), good: closer.kind(part) };
  }

  function use(tool) {
    tools.use(tool);
    tools.paint(desk.current, mayAnswer(desk.current));
  }

  function escape() {
    if (help.open) return help.close();
    if (drawMode) return cancelDrawing();
    if (judge().active) select(() => judge().leave());
  }

  // ---------------------------------------------------------------- listening

  listen({
    element, visible: () => at("review").getClientRects().length > 0, helpOpen: () => help.open,
    press, pressCause, chooseClass, use, escape,
    step(by) {
      if (drawMode || !mayAnswer(desk.current) || judge().defects.length < 2) return false;
      select(() => judge().step(by));
      return true;
    },
    leave: () => select(() => judge().leave()),
    touched: () => desk.touch(),
  });

  on("change", () => {
    desk.fill().then(() => { if (!desk.current) paintIdle(null); });
    paintQueue();
    if (!desk.current) paintIdle(null);
    peek();
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
  on("boot", () => { label(element); paintWords(); closer.loadReference(); });
  on("mute", () => tools.paint(desk.current, mayAnswer(desk.current)));
  on("signedout", () => { look.clear(); note.close(); desk.free(); });
  on("person", () => { desk.fill().then(paintWords); paintWords(); });

  /** A phone shows what waits longest, and takes it from nobody. */
  async function peek() {
    if (!phone.matches || !state.person) return;
    const first = state.change?.queue?.[0] ?? null;
    if (first && desk.current?.id !== first.id) {
      const { review } = await ask(`/api/review/${first.id}`).catch(() => ({ review: null }));
      if (review && phone.matches) desk.peek(review);
    } else if (!first && desk.current?.peeked) desk.free();
  }
  phone.addEventListener("change", () => { leave(); desk.free(); desk.fill(); peek(); });

  function leave() {
    if (desk.holding.length) navigator.sendBeacon("/api/leave", new Blob(["{}"], { type: "application/json" }));
  }
  document.addEventListener("visibilitychange", () => { if (!document.hidden) desk.renew(); });
  addEventListener("pagehide", leave);
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  setInterval(() => alarm.tick(desk.current), 1000);
  paintWords();
  closer.loadReference();
  desk.fill();
  peek();
}
