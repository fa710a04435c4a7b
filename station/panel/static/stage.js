// How is a part shown? Its picture as large as it fits, heat and boxes above it, and a loupe.
import { Gestures } from "./gestures.js";
import { path } from "./icons.js";
import { score } from "./words.js";

const MOST_ZOOM = 8; // screen pixels per part pixel, or times the whole picture, whichever is more
const HARD_PIXELS_FROM = 3; // screen pixels per part pixel from which single pixels are shown as they are
export const COLOUR = { above: "#ff5a4f", between: "#ffb020", below: "#8fa3b8", unknown: "#8fa3b8", drawn: "#4da3ff" };
const SIGN = { agree: "ok", other_class: "swap", false_alarm: "cross", missed_defect: "box" };

const SVG = "http://www.w3.org/2000/svg";
const TAG_FONT = "700 18px system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";

function draw(tag, attributes, words) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (words !== undefined) made.textContent = words;
  return made;
}

let ground = null;
/** The colour around a picture, by theme. */
function groundOf(canvas) {
  ground ??= getComputedStyle(canvas).getPropertyValue("--stage").trim() || "#05080b";
  return ground;
}

const widths = new Map();
let ruler = null;
function widthOf(words) {
  if (!widths.has(words)) {
    ruler ??= document.createElement("canvas").getContext("2d");
    ruler.font = TAG_FONT;
    if (widths.size > 500) widths.clear();
    widths.set(words, ruler.measureText(words).width);
  }
  return widths.get(words);
}

/** One part on the screen. Coordinates of boxes are the part's own pixels. */
export class Stage {
  /**
   * `onPoint(point|null)`: the pointer rests there. With `zoomable`, wheel, two fingers and dragging move the picture,
   * and `onTap(point, box|null)`, `onDouble()` tell of taps.
   */
  constructor(canvas, svg, { titleOf, onPoint, onTap, onDouble, zoomable = false } = {}) {
    this.canvas = canvas;
    this.svg = svg;
    this.titleOf = titleOf ?? ((name) => name);
    this.onPoint = onPoint ?? (() => {});
    this.onTap = onTap ?? (() => {});
    this.onDouble = onDouble ?? (() => {});
    this.zoomable = zoomable;
    this.bitmap = null;
    this.heat = null;
    this.boxes = [];
    this.judge = null; // what was said of each box, where they are answered one by one
    this.showBoxes = true;
    this.showHeat = false;
    this.drawn = null;
    this.drawing = null; // called with the box when one has been drawn
    this.zoom = 1;
    this.middle = null; // part pixels in the middle of the screen, null: the picture's own
    this.fit = { scale: 1, x: 0, y: 0 };
    this.waiting = 0;
    new ResizeObserver(() => this.paint()).observe(canvas.parentElement);
    new MutationObserver(() => { ground = null; this.paint(); }).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    this.gestures = new Gestures(this);
  }

  /** Shows a part at once, whole; `bitmap` may be null. */
  show(bitmap, boxes, heat = null) {
    if (bitmap !== this.bitmap) { this.zoom = 1; this.middle = null; }
    this.bitmap = bitmap;
    this.boxes = boxes;
    this.heat = heat;
    this.drawn = null;
    this.paint();
  }

  /** Paints with the next frame, once, however often it is asked. */
  later() {
    this.waiting ||= requestAnimationFrame(() => { this.waiting = 0; this.paint(); });
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
    pen.fillStyle = groundOf(this.canvas);
    pen.fillRect(0, 0, w, h);
    if (this.bitmap) {
      this.#place(width, height);
      const { scale, x, y } = this.fit;
      const at = [x * dpr, y * dpr, this.bitmap.width * scale * dpr, this.bitmap.height * scale * dpr];
      pen.imageSmoothingEnabled = scale * dpr < HARD_PIXELS_FROM;
      pen.imageSmoothingQuality = "high";
      pen.drawImage(this.bitmap, ...at);
      if (this.showHeat && this.heat) {
        pen.imageSmoothingEnabled = true;
        pen.drawImage(this.heat, ...at);
      }
    }
    this.#paintBoxes(width, height);
  }

  /** Scale and corner of the picture for the zoom, kept inside the screen. */
  #place(width, height) {
    const { width: w, height: h } = this.bitmap;
    const scale = Math.min(width / w, height / h) * this.zoom;
    const along = (room, size, middle) => {
      const length = size * scale;
      return length <= room ? (room - length) / 2 : Math.min(0, Math.max(room - length, room / 2 - middle * scale));
    };
    const [mx, my] = this.middle ?? [w / 2, h / 2];
    this.fit = { scale, x: along(width, w, mx), y: along(height, h, my) };
    this.middle = this.zoom === 1 ? null : [(width / 2 - this.fit.x) / scale, (height / 2 - this.fit.y) / scale];
  }

  /** Zooms by `factor`; the part's point under the screen point (x, y) stays there. Without a point: the middle. */
  zoomBy(factor, x, y) {
    if (!this.bitmap) return;
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement;
    const [px, py] = [x ?? width / 2, y ?? height / 2];
    const before = this.fit;
    const whole = before.scale / this.zoom;
    this.zoom = Math.min(Math.max(this.zoom * factor, 1), Math.max(MOST_ZOOM, MOST_ZOOM / whole));
    if (this.zoom < 1.02) this.zoom = 1;
    const scale = whole * this.zoom;
    const point = [(px - before.x) / before.scale, (py - before.y) / before.scale];
    this.middle = [point[0] + (width / 2 - px) / scale, point[1] + (height / 2 - py) / scale];
    this.#moved();
  }

  /** Moves the zoomed picture by screen pixels. */
  panBy(dx, dy) {
    if (!this.bitmap || this.zoom === 1) return;
    this.middle = [this.middle[0] - dx / this.fit.scale, this.middle[1] - dy / this.fit.scale];
    this.#moved();
  }

  /** The whole part again. */
  reset() {
    this.zoom = 1;
    this.middle = null;
    this.later();
  }

  #moved() {
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement;
    this.#place(width, height); // so that the next move of the same frame starts where this one ended
    this.later();
  }

  /** The answered one by one's box under a point of the part: the smallest that holds it, a finger's width around. */
  boxAt([px, py]) {
    const slack = 14 / this.fit.scale;
    const hit = ({ xyxy: [x0, y0, x1, y1] }) => px >= x0 - slack && px <= x1 + slack && py >= y0 - slack && py <= y1 + slack;
    const size = ({ xyxy: [x0, y0, x1, y1] }) => (x1 - x0) * (y1 - y0);
    const found = this.showBoxes ? this.boxes.filter((b) => Number.isInteger(b.defect) && hit(b)) : [];
    return found.sort((a, b) => size(a) - size(b))[0] ?? null;
  }

  #paintBoxes(width, height) {
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const made = [];
    if (this.bitmap) {
      const taken = [];
      const shown = this.showBoxes ? this.boxes : [];
      const selected = this.judge?.defect?.defect ?? null;
      const faint = (b) => b.relation === "below" || b.relation === "unknown";
      // Weakest first, so that the strongest lies on top; only those that count carry words.
      for (const b of [...shown].reverse()) {
        const thick = b.defect === selected && selected !== null;
        this.#paintBox(made, b.xyxy, COLOUR[b.relation], thick ? 6 : faint(b) ? 1.5 : 3, b.relation === "below", thick);
      }
      for (const b of shown) if (b.relation !== "below") this.#paintTag(made, b, width, height, taken);
      for (const d of this.judge?.drawn ?? []) {
        this.#paintBox(made, d.xyxy, COLOUR.drawn, 3, true);
        this.#paintTag(made, { ...d, relation: "drawn" }, width, height, taken);
      }
      if (this.drawn) this.#paintBox(made, this.drawn, COLOUR.drawn, 4, true);
    }
    this.svg.replaceChildren(...made);
  }

  #paintBox(made, [x0, y0, x1, y1], colour, stroke, dashed, halo = false) {
    const { scale, x, y } = this.fit;
    const at = { x: x + x0 * scale - 3, y: y + y0 * scale - 3, width: (x1 - x0) * scale + 6, height: (y1 - y0) * scale + 6, fill: "none", rx: 3 };
    made.push(draw("rect", { ...at, stroke: halo ? "#fff" : "rgba(0,0,0,.75)", "stroke-width": stroke + (halo ? 4 : 2.5) }));
    made.push(draw("rect", { ...at, stroke: colour, "stroke-width": stroke, ...(dashed ? { "stroke-dasharray": "7 5" } : {}) }));
  }

  #paintTag(made, b, width, height, taken) {
    const { scale, x, y } = this.fit;
    const [x0, y0, x1, y1] = b.xyxy;
    if (x + x1 * scale < 0 || y + y1 * scale < 0 || x + x0 * scale > width || y + y0 * scale > height) return; // out of sight
    const judged = b.defect === undefined || b.defect === null ? null : this.judge?.said.get(b.defect);
    const said = judged ?? (b.relation === "drawn" ? { answer: "missed_defect" } : null);
    const words = judged?.label ? this.titleOf(judged.label) : b.score === undefined ? this.titleOf(b.label) : `${this.titleOf(b.label)} ${score(b.score)}`;
    const sign = said ? 26 : 0;
    const w = widthOf(words) + 18 + sign, h = 28;
    const left = Math.max(2, Math.min(x + x0 * scale - 4, width - w - 2));
    let top = y + y0 * scale - h - 3;
    if (top < 2) top = Math.max(2, y + y1 * scale + 3);
    if (top + h > height) top = Math.max(2, y + y0 * scale + 3);
    const meets = () => taken.find((t) => left < t.left + t.w && left + w > t.left && top < t.top + h && top + h > t.top);
    for (let tries = 0, met = meets(); met && tries < 12; tries++, met = meets()) top = met.top + h + 2;
    taken.push({ left, top, w });
    const struck = said?.answer === "false_alarm";
    made.push(draw("rect", { x: left, y: top, width: w, height: h, rx: 5, fill: struck ? "#dfe7ee" : COLOUR[b.relation], stroke: "rgba(0,0,0,.6)" }));
    if (said) {
      made.push(draw("path", { d: path(SIGN[said.answer]), transform: `translate(${left + 7} ${top + 4}) scale(.83)`, fill: "none", stroke: "#0b0f14", "stroke-width": 3.4, "stroke-linecap": "round", "data-said": said.answer }));
    }
    made.push(draw("text", { x: left + 9 + sign, y: top + 20, style: `font:${TAG_FONT}`, fill: "#0b0f14", ...(struck ? { "text-decoration": "line-through" } : {}) }, words));
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
}

/** The same place of two pictures, side by side, in whole screen pixels per picture pixel. */
export class Loupe {
  constructor(mine, good) {
    this.mine = mine;
    this.good = good;
    this.reference = null; // a good part; of another size it is brought to the part's
    this.sizes = null;
    new ResizeObserver(() => { this.sizes = null; }).observe(mine.parentElement);
  }

  /** Shows the place around `box` of `bitmap`; returns how many screen pixels one pixel takes, null without a picture. */
  show(bitmap, box, reference = this.reference) {
    const dpr = window.devicePixelRatio || 1;
    this.sizes ??= [this.mine.parentElement.clientWidth, this.mine.parentElement.clientHeight];
    const [side, height] = this.sizes.map((v) => Math.round(v * dpr));
    let zoom = null;
    if (bitmap && side && height) {
      const need = 1.5 * Math.max(box[2] - box[0], box[3] - box[1], 24);
      zoom = Math.min(Math.max(Math.floor(Math.min(side, height) / need), 1), 8 * dpr);
    }
    const middle = box ? [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2] : [0, 0];
    for (const [canvas, picture] of [[this.mine, bitmap], [this.good, bitmap ? reference : null]]) {
      if (canvas.width !== side || canvas.height !== height) { canvas.width = side; canvas.height = height; }
      const pen = canvas.getContext("2d", { alpha: false });
      pen.fillStyle = groundOf(canvas);
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
  return (await fetchPicture(url))?.bitmap ?? null;
}

const warmed = new Map(); // url -> picture on its way before anybody asked for it
const WARM = 4; // pictures kept ready: what a screen claims next

/** Fetches and decodes a picture that will be asked for soon. */
export function warm(url) {
  if (!url || warmed.has(url)) return;
  const coming = load(url);
  coming.catch(() => {}); // asked for again when it is needed
  warmed.set(url, coming);
  while (warmed.size > WARM) warmed.delete(warmed.keys().next().value);
}

/** A picture with what the panel says of it: {bitmap, headers}; null where there is none. */
export async function fetchPicture(url) {
  if (!url) return null;
  const coming = warmed.get(url);
  warmed.delete(url);
  const ready = coming ? await coming.catch(() => null) : null;
  return ready ?? load(url);
}

async function load(url) {
  const reply = await fetch(url);
  if (!reply.ok) throw new Error(`${reply.status}`);
  return { bitmap: await createImageBitmap(await reply.blob()), headers: reply.headers };
}
