// What does the inspector see and press? The review screen.
import { Alarm } from "./alarm.js";
import { Answering } from "./answering.js";
import { Closer } from "./closer.js";
import { Desk } from "./desk.js";
import { causesFace, classesFace, heldFace, idleFace, noPictureFace, put, verdictFace } from "./faces.js";
import { Help } from "./help.js";
import { icon } from "./icons.js";
import { listen } from "./keys.js";
import { ask, canStore, label, on, safe, shownState, start, state, tell, text } from "./link.js";
import { FirstLook } from "./look.js";
import { Note } from "./note.js";
import { Notices } from "./notices.js";
import { Stage } from "./stage.js";
import { Strip } from "./strip.js";
import { Tools } from "./tools.js";
import { reasonOf, titleOf } from "./words.js";

/** Work that may come a moment after the part: once, when the frame under way has been painted. */
function afterFrame(work) {
  let due = false;
  return () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => setTimeout(() => { due = false; work(); }));
  };
}

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
  const tools = new Tools(at("tools"), { stage, help, writeNote: () => { if (answering.possible && !answering.drawing) note.open(); } });
  const strip = new Strip(at("queue"));
  const paintQueue = afterFrame(() => {
    const ids = desk.known;
    const mine = [desk.current, ...desk.ready].filter(Boolean);
    strip.paint(mine, desk.current, (state.change?.queue ?? []).filter((q) => !ids.has(q.id) && q.id !== desk.current?.id));
  });
  let desk = null;
  const lookCloser = afterFrame(() => closer.look(null));
  const flash = afterFrame(() => tell("flash"));
  let selectedAt = -Infinity;
  let shaped = false;
  at("review").dataset.ready = "yes";
  desk = new Desk({
    show, notice, mayClaim: () => !phone.matches,
    stored: (part) => { if (part.blind) look.after(part); },
  });

  const answering = new Answering({ desk, stage, note, notice, evidence, repaint: paintWords, reselect, redraw });

  // ---------------------------------------------------------------- painting

  function show(why) {
    const part = desk.current;
    if (why === "heat") {
      stage.heat = part.heatmap;
      if (stage.showHeat) stage.later();
      return paintTools();
    }
    answering.endDrawing();
    answering.appeared(part, why);
    stage.judge = part?.judge ?? null;
    stage.show(part?.bitmap ?? null, part?.candidates ?? [], part?.heatmap ?? null);
    performance.mark("station-painted", { detail: { id: part?.id ?? null, why, picture: part?.picture ?? null } });
    if (part && part.paintedAt === undefined && part.picture !== "loading") {
      part.paintedAt = performance.now();
      requestAnimationFrame(() => { part.paintedAt = performance.now(); });
    }
    if (why === "undone") look.forget(part.id);
    if (why === "new") flash();
    keepShape(part);
    note.about(part);
    paintWords();
    tell("part", part);
    lookCloser();
    if (part) closer.later(part);
  }

  /** The first part's shape decides how wide its picture's place is; later ones change nothing under the hand. */
  function keepShape(part) {
    if (shaped || !part?.width) return;
    shaped = true;
    at("review").style.setProperty("--aspect", Math.min(Math.max(part.width / part.height, 0.8), 2).toFixed(3));
    stage.paint();
  }

  function paintWords() {
    const part = desk.current;
    at("review").dataset.back = part?.back ? "yes" : "";
    at("review").dataset.part = part ? part.blind ? "blind" : part.evaluation : "";
    paintHeld(part);
    paintOpinion(part);
    paintQueue();
    paintAnswers(part);
    paintTools();
    paintMode();
    paintIdle(part);
  }

  /** What changes with the selected defect. */
  function paintOpinion(part) {
    const one = answering.judge;
    put(at("verdict"), verdictFace(part, one));
    const box = at("classes");
    box.dataset.draw = answering.drawing === "class" ? "yes" : "";
    box.dataset.n = state.boot.classes.length;
    put(box, classesFace(part, answering.possible, one));
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

  function paintTools() {
    tools.paint(desk.current, answering.possible);
  }

  function paintAnswers(part) {
    const free = answering.possible, one = answering.judge;
    for (const button of at("answers").querySelectorAll("[data-answer]")) {
      const which = button.dataset.answer;
      let enabled = free && !answering.drawing;
      if (which === "agree") enabled = enabled && !part.blind && Boolean(one.defect || part.proposed);
      else if (which === "undo") enabled = canStore() && Boolean(state.person) && !answering.drawing;
      else if (which === "draw") enabled = free && part.picture === "here";
      button.disabled = !enabled;
      if (which === "draw") {
        button.querySelector("b").textContent = text(answering.drawing ? "answer.cancel" : "answer.missed_defect");
        button.querySelector("kbd").textContent = answering.drawing ? "Esc" : "D";
      }
    }
    at("causes").dataset.n = state.boot.causes?.length ?? 0;
    put(at("causes"), causesFace(free && !answering.drawing));
  }

  /** What a tap or key means just now, where it is not the plain answer. */
  function paintMode() {
    const one = answering.judge, box = at("draw");
    at("stage").dataset.draw = answering.drawing ?? "";
    at("stage").dataset.judge = one.active ? "yes" : "";
    box.hidden = !answering.drawing && !one.active;
    if (answering.drawing) {
      const words = text(answering.drawing === "drag" ? "draw.drag" : "draw.class");
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
    if (!box || answering.drawing || part.blind || !answering.possible) return closer.look(point);
    selectedAt = answering.judge.active ? -Infinity : performance.now();
    answering.judge.select(box.defect);
    reselect();
  }

  function doubled() {
    if (performance.now() - selectedAt < 600) answering.leave(); // its first tap selected nothing meant
  }

  function reselect() {
    stage.paint();
    closer.look(null);
    paintOpinion(desk.current);
    paintAnswers(desk.current);
    paintMode();
  }

  function redraw() {
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

  function evidence(part) {
    const common = { blind: part.blind, layout: `${innerWidth}x${innerHeight}`, picture: part.picture, scale: Math.round(stage.fit.scale * 100) / 100 };
    if (part.blind) return common;
    return { ...common, verdict: part.evaluation, class: part.label, score: part.score, boxes: stage.showBoxes, heat: stage.showHeat && Boolean(part.heatmap), good: closer.kind(part) };
  }

  // ---------------------------------------------------------------- listening

  listen({
    element, visible: () => at("review").getClientRects().length > 0, helpOpen: () => help.open,
    answering,
    use(tool) { tools.use(tool); paintTools(); },
    escape() { if (help.open) help.close(); else answering.escape(); },
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
  on("mute", () => paintTools());
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
