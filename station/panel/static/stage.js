// How is a part shown? Its picture as large as it fits, its boxes above it, a loupe, and a box drawn by hand.
const DARK = "#05080b";
const MIN_DRAWN_PX = 3; // of the part; anything smaller is a slip of the hand
export const COLOUR = { above: "#ff5a4f", between: "#ffb020", below: "#8fa3b8", unknown: "#8fa3b8", drawn: "#4da3ff" };

const SVG = "http://www.w3.org/2000/svg";

function draw(tag, attributes, words) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (words !== undefined) made.textContent = words;
  return made;
}

/** One part on the screen. Coordinates of boxes are the part's own pixels. */
export class Stage {
  constructor(canvas, svg, { titleOf, onPoint } = {}) {
    this.canvas = canvas;
    this.svg = svg;
    this.titleOf = titleOf ?? ((name) => name);
    this.onPoint = onPoint ?? (() => {});
    this.bitmap = null;
    this.boxes = [];
    this.showBoxes = true;
    this.drawn = null;
    this.drawing = null; // called with the box when one has been drawn
    this.fit = { scale: 1, x: 0, y: 0 };
    new ResizeObserver(() => this.paint()).observe(canvas.parentElement);
    this.#listen();
  }

  /** Shows a part at once; `bitmap` may be null. */
  show(bitmap, boxes) {
    this.bitmap = bitmap;
    this.boxes = boxes;
    this.drawn = null;
    this.paint();
  }

  paint() {
    const room = this.canvas.parentElement;
    const { clientWidth: width, clientHeight: height } = room;
    if (!width || !height) return;
    const dpr = window.devicePixelRatio || 1;
    const w = Math.round(width * dpr), h = Math.round(height * dpr);
    if (this.canvas.width !== w || this.canvas.height !== h) {
      this.canvas.width = w;
      this.canvas.height = h;
    }
    const pen = this.canvas.getContext("2d", { alpha: false });
    pen.fillStyle = DARK;
    pen.fillRect(0, 0, w, h);
    if (this.bitmap) {
      const scale = Math.min(width / this.bitmap.width, height / this.bitmap.height);
      this.fit = { scale, x: (width - this.bitmap.width * scale) / 2, y: (height - this.bitmap.height * scale) / 2 };
      pen.imageSmoothingQuality = "high";
      pen.drawImage(this.bitmap, this.fit.x * dpr, this.fit.y * dpr, this.bitmap.width * scale * dpr, this.bitmap.height * scale * dpr);
    }
    this.#paintBoxes(width, height);
  }

  #paintBoxes(width, height) {
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.replaceChildren();
    if (!this.bitmap) return;
    const taken = [];
    const shown = this.showBoxes ? this.boxes : [];
    // Weakest first, so that the strongest lies on top; only those that count carry words.
    for (const b of [...shown].reverse()) {
      this.#paintBox(b.xyxy, COLOUR[b.relation], b.relation === "below" || b.relation === "unknown" ? 1.5 : 3, b.relation === "below");
    }
    for (const b of shown) {
      if (b.relation !== "below") this.#paintTag(b, width, taken);
    }
    if (this.drawn) this.#paintBox(this.drawn, COLOUR.drawn, 3, true);
  }

  #paintBox([x0, y0, x1, y1], colour, stroke, dashed) {
    const { scale, x, y } = this.fit;
    const at = { x: x + x0 * scale - 3, y: y + y0 * scale - 3, width: (x1 - x0) * scale + 6, height: (y1 - y0) * scale + 6, fill: "none", rx: 3 };
    this.svg.append(draw("rect", { ...at, stroke: "rgba(0,0,0,.75)", "stroke-width": stroke + 2.5 }));
    this.svg.append(draw("rect", { ...at, stroke: colour, "stroke-width": stroke, ...(dashed ? { "stroke-dasharray": "7 5" } : {}) }));
  }

  #paintTag(b, width, taken) {
    const { scale, x, y } = this.fit;
    const words = `${this.titleOf(b.label)} ${b.score.toFixed(2)}`;
    const text = draw("text", { "font-size": 17, "font-weight": 700, fill: "#0b0f14" }, words);
    this.svg.append(text);
    const w = text.getComputedTextLength() + 18, h = 27;
    let left = Math.max(2, Math.min(x + b.xyxy[0] * scale - 4, width - w - 2));
    let top = y + b.xyxy[1] * scale - h - 3;
    if (top < 2) top = y + b.xyxy[3] * scale + 3;
    const meets = () => taken.find((t) => left < t.left + t.w && left + w > t.left && top < t.top + h && top + h > t.top);
    for (let tries = 0, met = meets(); met && tries < 12; tries++, met = meets()) top = met.top + h + 2;
    taken.push({ left, top, w });
    this.svg.insertBefore(draw("rect", { x: left, y: top, width: w, height: h, rx: 5, fill: COLOUR[b.relation], stroke: "rgba(0,0,0,.6)" }), text);
    text.setAttribute("x", left + 9);
    text.setAttribute("y", top + 19);
  }

  /** Lets the inspector drag a box; `done` gets [x0, y0, x1, y1] in part pixels. */
  startDrawing(done) {
    this.drawing = done;
    this.drawn = null;
    this.paint();
  }

  stopDrawing() {
    this.drawing = null;
    this.drawn = null;
    this.paint();
  }

  #point(event) {
    const room = this.svg.getBoundingClientRect();
    const { scale, x, y } = this.fit;
    const clip = (v, most) => Math.min(Math.max(v, 0), most);
    return [
      clip((event.clientX - room.left - x) / scale, this.bitmap.width),
      clip((event.clientY - room.top - y) / scale, this.bitmap.height),
    ];
  }

  #listen() {
    let from = null;
    this.svg.addEventListener("pointerdown", (event) => {
      if (!this.bitmap) return;
      if (!this.drawing) {
        this.onPoint(this.#point(event));
        return;
      }
      from = this.#point(event);
      this.svg.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    this.svg.addEventListener("pointermove", (event) => {
      if (!this.bitmap) return;
      const at = this.#point(event);
      if (!from) {
        this.onPoint(at);
        return;
      }
      this.drawn = [Math.min(from[0], at[0]), Math.min(from[1], at[1]), Math.max(from[0], at[0]), Math.max(from[1], at[1])];
      this.paint();
    });
    const end = () => {
      if (!from) return;
      from = null;
      const box = this.drawn;
      if (!this.drawing || !box || box[2] - box[0] < MIN_DRAWN_PX || box[3] - box[1] < MIN_DRAWN_PX) {
        this.drawn = null;
        this.paint();
        return;
      }
      this.drawing(box);
    };
    this.svg.addEventListener("pointerup", end);
    this.svg.addEventListener("pointercancel", () => { from = null; this.drawn = null; this.paint(); });
    this.svg.addEventListener("pointerleave", () => { if (!from && !this.drawing) this.onPoint(null); });
  }
}

/** The same place of two pictures, side by side, in whole screen pixels per picture pixel. */
export class Loupe {
  constructor(mine, good) {
    this.mine = mine;
    this.good = good;
    this.bitmap = null;
    this.reference = null;
  }

  /** Shows the place around `box` of `bitmap`; returns how many screen pixels one pixel takes, null without a picture. */
  show(bitmap, box) {
    const reference = this.reference;
    const dpr = window.devicePixelRatio || 1;
    const side = Math.round(this.mine.parentElement.clientWidth * dpr), height = Math.round(this.mine.parentElement.clientHeight * dpr);
    let zoom = null;
    if (bitmap && side && height) {
      const need = 1.5 * Math.max(box[2] - box[0], box[3] - box[1], 24);
      zoom = Math.min(Math.max(Math.floor(Math.min(side, height) / need), 1), 8 * dpr);
    }
    const middle = box ? [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2] : [0, 0];
    for (const [canvas, picture] of [[this.mine, bitmap], [this.good, bitmap ? reference : null]]) {
      canvas.width = side;
      canvas.height = height;
      const pen = canvas.getContext("2d", { alpha: false });
      pen.fillStyle = DARK;
      pen.fillRect(0, 0, side, height);
      if (!picture || zoom === null) continue;
      // The same place: in shares of the picture, should the reference have another size.
      const sx = picture.width / bitmap.width, sy = picture.height / bitmap.height;
      pen.imageSmoothingEnabled = picture !== bitmap && (sx !== 1 || sy !== 1);
      const left = Math.round(side / 2 - middle[0] * zoom), top = Math.round(height / 2 - middle[1] * zoom);
      pen.drawImage(picture, left, top, bitmap.width * zoom, bitmap.height * zoom);
    }
    return zoom;
  }
}

/** Fetches and decodes a picture; null where there is none. */
export async function decode(url) {
  if (!url) return null;
  const reply = await fetch(url);
  if (!reply.ok) throw new Error(`${reply.status}`);
  return createImageBitmap(await reply.blob());
}
