// What does the camera see? Its newest picture about six times a second, how many come, and how old it is.
import { icon } from "./icons.js";
import { safe, text } from "./link.js";

const EVERY_MS = 150;
const MOST_LOOKING = 2; // questions on their way at once
const TIMEOUT_MS = 4000;
const AGAIN_MS = 1000; // after a failure
const WINDOW_MS = 3000; // over which the pictures are counted
const OLD_S = 2; // older than this is said loudly
const STALE_S = 5; // older than this is shown as old

export class Camera {
  constructor({ canvas, stamp, none }) {
    this.canvas = canvas;
    this.stamp = stamp;
    this.none = none;
    this.pen = canvas.getContext("bitmaprenderer");
    this.running = false;
    this.turn = 0;
    this.asked = 0; // pictures asked for
    this.shown = 0; // the newest of them that is shown
    this.etag = null;
    this.painted = []; // when pictures were painted, newest last
    this.age = null; // { ms, at }: how old the picture was when it came
    this.why = "waiting";
  }

  /** Pictures per second over the last seconds. */
  get fps() {
    const from = performance.now() - WINDOW_MS;
    this.painted = this.painted.filter((t) => t >= from);
    return this.painted.length < 2 ? 0 : 1000 * (this.painted.length - 1) / (this.painted.at(-1) - this.painted[0]);
  }

  /** Starts or stops looking. */
  run(wanted) {
    if (wanted === this.running) return;
    this.running = wanted;
    this.painted = [];
    if (wanted) this.#film(++this.turn);
  }

  async #film(mine) {
    this.#say();
    let looking = 0, well = true;
    while (this.running && mine === this.turn) {
      // The next picture is asked for while the last is still on its way or being decoded.
      if (looking < MOST_LOOKING) {
        looking += 1;
        this.#look(mine).then((fine) => { looking -= 1; well = fine; if (mine === this.turn) this.#say(); });
      }
      await new Promise((wake) => setTimeout(wake, well ? EVERY_MS : AGAIN_MS));
    }
  }

  async #look(mine) {
    const turn = ++this.asked;
    try {
      const headers = this.etag ? { "if-none-match": this.etag } : {};
      const reply = await fetch("/api/frame.jpg", { headers, cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
      if (mine !== this.turn || turn < this.shown) return true;
      if (reply.status === 204) {
        this.#nothing(reply.headers.get("x-why") ?? "none");
        return true;
      }
      if (reply.status !== 200 && reply.status !== 304) throw new Error(`${reply.status}`);
      const age = { ms: Number(reply.headers.get("x-age-ms")), at: performance.now() };
      if (reply.status === 200) {
        const bitmap = await createImageBitmap(await reply.blob()); // decoded beside the page, not while it paints
        await new Promise(requestAnimationFrame);
        if (mine !== this.turn || turn < this.shown) return true;
        const etag = reply.headers.get("etag");
        this.canvas.width = bitmap.width;
        this.canvas.height = bitmap.height;
        this.pen.transferFromImageBitmap(bitmap);
        if (etag !== this.etag) this.painted.push(performance.now());
        this.etag = etag;
      }
      this.shown = turn;
      this.age = age;
      this.why = "";
      return true;
    } catch {
      if (mine === this.turn) this.#nothing("lost");
      return false;
    }
  }

  #nothing(why) {
    this.why = why;
    this.etag = null;
    this.painted = [];
  }

  #say() {
    const age_s = this.age === null ? 0 : (this.age.ms + performance.now() - this.age.at) / 1000;
    const room = this.canvas.parentElement;
    room.dataset.picture = this.why || (age_s > STALE_S ? "stale" : age_s > OLD_S ? "old" : "yes");
    this.none.hidden = this.why === "";
    this.canvas.hidden = this.why !== "";
    this.stamp.hidden = this.why !== "";
    if (this.why) {
      const more = this.why === "waiting" ? "" : `<p>${safe(text(`live.picture.${this.why}.words`))}</p>`;
      const html = `${icon(this.why === "waiting" ? "ring" : this.why === "none" ? "warn" : "plug")}<h2>${safe(text(`live.picture.${this.why}`))}</h2>${more}`;
      if (this.none.made !== html) { this.none.made = html; this.none.innerHTML = html; }
      return;
    }
    const fps = this.fps.toFixed(1).replace(".", text("number.point")), s = age_s.toFixed(1).replace(".", text("number.point"));
    room.dataset.fps = this.fps.toFixed(1);
    this.stamp.innerHTML = age_s > OLD_S ? `${icon("warn")}<b>${safe(text("live.picture.old", { s }))}</b>` : `<b>${safe(text("live.picture.fps", { n: fps }))}</b><span>${safe(text("live.picture.age", { s }))}</span>`;
  }
}
