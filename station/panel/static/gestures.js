// What do fingers, mouse and wheel mean over the part's picture? Zoom, move, tap, draw.
const SLIP_PX = 8; // a press that moves less is a tap
const TAP_MS = 500;
const DOUBLE_MS = 320;
const DOUBLE_PX = 40;
const MIN_DRAWN_PX = 3; // of the part; anything smaller is a slip of the hand
const TAPPED_ZOOM = 2.5;

/** Listens on a Stage's SVG; the Stage does the moving. */
export class Gestures {
  constructor(stage) {
    this.stage = stage;
    this.fingers = new Map(); // pointer id -> {x, y}, screen pixels within the stage
    this.from = null; // where a drawn box began, in part pixels
    this.press = null; // a press that may still become a tap
    this.tapped = null; // the last tap, for the double one
    const { svg } = stage;
    svg.addEventListener("pointerdown", (e) => this.#down(e));
    svg.addEventListener("pointermove", (e) => this.#move(e));
    svg.addEventListener("pointerup", (e) => this.#up(e));
    svg.addEventListener("pointercancel", (e) => this.#cancel(e));
    svg.addEventListener("pointerleave", () => { if (!this.fingers.size && !stage.drawing) stage.onPoint(null); });
    // Taken here whole: a browser that saw a fling in a drawn box would swallow the next tap on a button.
    svg.addEventListener("touchstart", (e) => e.preventDefault(), { passive: false });
    if (stage.zoomable) svg.addEventListener("wheel", (e) => this.#wheel(e), { passive: false });
  }

  #at(event) {
    const room = this.stage.svg.getBoundingClientRect();
    return { x: event.clientX - room.left, y: event.clientY - room.top };
  }

  #point({ x, y }) {
    const { fit, bitmap } = this.stage;
    const clip = (v, most) => Math.min(Math.max(v, 0), most);
    return [clip((x - fit.x) / fit.scale, bitmap.width), clip((y - fit.y) / fit.scale, bitmap.height)];
  }

  #down(event) {
    const { stage } = this;
    if (!stage.bitmap || event.button > 0) return;
    event.preventDefault();
    const at = this.#at(event);
    this.fingers.set(event.pointerId, at);
    stage.svg.setPointerCapture(event.pointerId);
    if (this.fingers.size > 1) { // a second finger: move and zoom, whatever the first one began
      this.press = null;
      if (this.from) { this.#drag(null); stage.drawn = null; stage.later(); }
      return;
    }
    if (stage.drawing) { this.#drag(this.#point(at)); return; }
    this.press = { ...at, time: event.timeStamp };
    stage.onPoint(this.#point(at));
  }

  #move(event) {
    const { stage } = this;
    if (!stage.bitmap) return;
    const at = this.#at(event), before = this.fingers.get(event.pointerId);
    if (!before) { if (!stage.drawing) stage.onPoint(this.#point(at)); return; }
    if (this.fingers.size > 1) return this.#pinch(event.pointerId, at);
    if (this.from) {
      this.fingers.set(event.pointerId, at);
      const to = this.#point(at), from = this.from;
      stage.drawn = [Math.min(from[0], to[0]), Math.min(from[1], to[1]), Math.max(from[0], to[0]), Math.max(from[1], to[1])];
      stage.later();
      return;
    }
    if (this.press && Math.hypot(at.x - this.press.x, at.y - this.press.y) < SLIP_PX) return;
    this.press = null;
    this.fingers.set(event.pointerId, at);
    if (stage.drawing) return; // the rest of a pinch
    if (stage.zoomable && stage.zoom > 1) stage.panBy(at.x - before.x, at.y - before.y);
    else stage.onPoint(this.#point(at));
  }

  #pinch(id, at) {
    const { stage } = this;
    const [a, b] = [...this.fingers.values()];
    const wide = Math.hypot(a.x - b.x, a.y - b.y), middle = { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
    this.fingers.set(id, at);
    if (!stage.zoomable) return;
    const [c, d] = [...this.fingers.values()];
    const now = Math.hypot(c.x - d.x, c.y - d.y), moved = { x: (c.x + d.x) / 2, y: (c.y + d.y) / 2 };
    if (wide > 0) stage.zoomBy(now / wide, middle.x, middle.y);
    stage.panBy(moved.x - middle.x, moved.y - middle.y);
  }

  #up(event) {
    const { stage } = this;
    if (!this.fingers.delete(event.pointerId) || !stage.bitmap) return;
    if (this.from) return this.#drawn();
    const { press } = this;
    this.press = null;
    if (!press || event.timeStamp - press.time > TAP_MS || stage.drawing) return;
    const last = this.tapped;
    this.tapped = { ...press, time: event.timeStamp };
    if (stage.zoomable && last && event.timeStamp - last.time < DOUBLE_MS && Math.hypot(last.x - press.x, last.y - press.y) < DOUBLE_PX) {
      this.tapped = null;
      if (stage.zoom > 1) stage.reset();
      else stage.zoomBy(TAPPED_ZOOM, press.x, press.y);
      stage.onDouble();
      return;
    }
    const point = this.#point(press);
    stage.onTap(point, stage.boxAt(point));
  }

  /** A box is being drawn from here on; null: no more. */
  #drag(from) {
    this.from = from;
    this.stage.canvas.parentElement.dataset.drag = from ? "yes" : "";
  }

  #drawn() {
    const { stage } = this, box = stage.drawn;
    this.#drag(null);
    if (stage.drawing && box && box[2] - box[0] >= MIN_DRAWN_PX && box[3] - box[1] >= MIN_DRAWN_PX) {
      stage.paint();
      stage.drawing(box);
      return;
    }
    stage.drawn = null;
    stage.paint();
  }

  #cancel(event) {
    this.fingers.delete(event.pointerId);
    this.press = null;
    if (!this.from) return;
    this.#drag(null);
    this.stage.drawn = null;
    this.stage.paint();
  }

  #wheel(event) {
    const { stage } = this;
    if (!stage.bitmap) return;
    event.preventDefault();
    const { x, y } = this.#at(event);
    const lines = event.deltaMode === 1 ? 16 : 1;
    // A touch pad's pinch comes as a wheel with ctrlKey, in small steps.
    stage.zoomBy(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0016)), x, y);
  }
}
