// How are the scores of one class spread, and where do its two limits lie? Drawn, and moved by hand.
import { limit, whole } from "./figures.js";
import { text } from "./link.js";
import { across, colours, font, scoreAt, sheet, stroke } from "./plot.js";
import { titleOf } from "./words.js";

const STEP = 0.01, FINE = 0.001, FAR = 0.1;
const HANDLE = 30; // height of the strip above and below in which the handles lie

/** Good parts stand up, defective ones hang down: the two are told apart without colour. */
export class Histogram {
  /** `room` holds the canvas and the two handles; `moved(what, value)` is called by every hand. */
  constructor(room, moved) {
    this.room = room;
    this.canvas = room.querySelector("canvas");
    this.handles = Object.fromEntries(["pass_below", "fail_above"].map((what) => [what, room.querySelector(`[data-limit=${what}]`)]));
    this.drawn = null;
    for (const [what, handle] of Object.entries(this.handles)) {
      handle.addEventListener("keydown", (event) => this.#key(event, what, moved));
      handle.addEventListener("pointerdown", (event) => this.#grab(event, handle, what, moved));
    }
    // A hand on the drawing itself takes the limit that is nearer.
    this.canvas.addEventListener("pointerdown", (event) => {
      if (!this.drawn) return;
      const at = this.#scoreOf(event), { pass_below, fail_above } = this.drawn.limits;
      const what = Math.abs(at - pass_below) <= Math.abs(at - fail_above) ? "pass_below" : "fail_above";
      moved(what, at);
      this.#grab(event, this.handles[what], what, moved);
    });
  }

  /** Draws `counted` ({good, own, other} per bin) with these limits and those in force. */
  paint(label, counted, limits, inForce) {
    this.drawn = { label, counted, limits, inForce };
    const { pen, width, height } = sheet(this.canvas);
    if (!width) return;
    const c = colours(), top = HANDLE, bottom = height - HANDLE, middle = (top + bottom) / 2;
    this.#zones(pen, c, limits, { width, top, bottom });
    if (counted) this.#bars(pen, c, counted, { width, middle, half: (bottom - top) / 2 - 3 });
    stroke(pen, [[across(0, width), middle], [across(1, width), middle]], { colour: c.line, width: 1.5 });
    for (const what of ["pass_below", "fail_above"]) {
      const was = across(inForce[what], width), now = across(limits[what], width);
      stroke(pen, [[was, top], [was, bottom]], { colour: c.muted, width: 1.5, dash: [3, 4] });
      stroke(pen, [[now, top - 4], [now, bottom + 4]], { colour: c.text, width: 2.5 });
      this.#place(what, now, limits[what]);
    }
    this.#axis(pen, c, { width, height, top, bottom, counted });
  }

  #zones(pen, c, limits, { width, top, bottom }) {
    const edges = [0, limits.pass_below, limits.fail_above, 1];
    [c.green, c.amber, c.red].forEach((colour, i) => {
      const from = across(edges[i], width), to = across(edges[i + 1], width);
      pen.globalAlpha = 0.09;
      pen.fillStyle = colour;
      pen.fillRect(from, top, to - from, bottom - top);
      pen.globalAlpha = 1;
      const words = text(["wb.zone.pass", "wb.zone.review", "wb.zone.reject"][i]);
      pen.font = font(13, 650);
      if (to - from < pen.measureText(words).width + 12) return;
      pen.fillStyle = colour;
      pen.textAlign = "center";
      pen.textBaseline = "top";
      pen.fillText(words, (from + to) / 2, top + 4);
    });
  }

  #bars(pen, c, counted, { width, middle, half }) {
    const bins = counted.good.length, most = Math.max(1, ...counted.good, ...counted.own.map((n, i) => n + counted.other[i]));
    const tall = (n) => (n ? Math.max(2, (half * Math.log1p(n)) / Math.log1p(most)) : 0);
    const step = (across(1, width) - across(0, width)) / bins, bar = Math.max(1, step - 1.5);
    for (let i = 0; i < bins; i++) {
      const x = across(i / bins, width) + 0.75, up = tall(counted.good[i]), down = tall(counted.own[i]), all = tall(counted.own[i] + counted.other[i]);
      pen.fillStyle = c.green;
      pen.fillRect(x, middle - up, bar, up);
      pen.fillStyle = c.red;
      pen.fillRect(x, middle, bar, down);
      if (all > down) { // another class's defects: an outline
        pen.strokeStyle = c.violet;
        pen.lineWidth = 1;
        pen.strokeRect(x + 0.5, middle + down + 0.5, Math.max(0.5, bar - 1), all - down);
      }
    }
  }

  #axis(pen, c, { width, height, top, bottom, counted }) {
    pen.fillStyle = c.muted;
    pen.font = font(13);
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    const x = across(0, width) - 7;
    pen.fillText(text("wb.good.short"), x, top + (bottom - top) * 0.25);
    pen.fillText(text("wb.bad.short"), x, top + (bottom - top) * 0.75);
    pen.textAlign = "left";
    if (counted) {
      pen.fillText(whole(sum(counted.good)), across(1, width) + 7, top + (bottom - top) * 0.25);
      pen.fillText(whole(sum(counted.own)), across(1, width) + 7, top + (bottom - top) * 0.75);
    }
    void height;
  }

  #place(what, x, value) {
    const handle = this.handles[what];
    handle.style.left = `${x}px`;
    handle.setAttribute("aria-valuenow", String(value));
    handle.setAttribute("aria-valuetext", limit(value));
    handle.setAttribute("aria-label", text(`wb.${what}.of`, { title: titleOf(this.drawn.label) }));
    handle.querySelector("b").textContent = limit(value);
  }

  #scoreOf(event) {
    const box = this.canvas.getBoundingClientRect();
    return Math.round(scoreAt(event.clientX - box.left, box.width) * 1000) / 1000;
  }

  #grab(event, handle, what, moved) {
    event.preventDefault();
    handle.focus({ preventScroll: true });
    handle.setPointerCapture(event.pointerId);
    const move = (e) => moved(what, this.#scoreOf(e));
    const end = () => {
      for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) handle.removeEventListener(name, end);
      handle.removeEventListener("pointermove", move);
    };
    handle.addEventListener("pointermove", move);
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) handle.addEventListener(name, end);
  }

  #key(event, what, moved) {
    const by = event.shiftKey ? FINE : STEP;
    const steps = { ArrowLeft: -by, ArrowDown: -by, ArrowRight: by, ArrowUp: by, PageDown: -FAR, PageUp: FAR };
    const now = this.drawn?.limits[what];
    if (now === undefined) return;
    const to = event.key in steps ? now + steps[event.key] : event.key === "Home" ? 0 : event.key === "End" ? 1 : null;
    if (to === null) return;
    event.preventDefault();
    event.stopPropagation();
    moved(what, Math.min(1, Math.max(0, Math.round(to * 1000) / 1000)));
  }
}

function sum(counts) {
  return counts.reduce((a, b) => a + b, 0);
}
