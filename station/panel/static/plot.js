// Where on a canvas does a score lie, and in which colours is drawn? What histogram and curves share.
export const LEFT = 54, RIGHT = 54; // room for the axes' words, the same above and below, so that a limit is one line

/** Makes the canvas as sharp as the screen; gives its pen and its size in CSS pixels. */
export function sheet(canvas) {
  const { width, height } = canvas.getBoundingClientRect();
  const dense = Math.min(devicePixelRatio || 1, 2);
  const w = Math.round(width * dense), h = Math.round(height * dense);
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  const pen = canvas.getContext("2d");
  pen.setTransform(dense, 0, 0, dense, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

/** Where a score from 0 to 1 lies. */
export function across(score, width) {
  return LEFT + score * (width - LEFT - RIGHT);
}

/** The score that lies there, within 0 and 1. */
export function scoreAt(x, width) {
  return Math.min(1, Math.max(0, (x - LEFT) / (width - LEFT - RIGHT)));
}

let known = { theme: null, colours: null };

/** The theme's colours, read once per theme. */
export function colours() {
  const theme = document.documentElement.dataset.theme;
  if (known.theme !== theme || !known.colours) {
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue(`--${name}`).trim();
    known = { theme, colours: Object.fromEntries(["text", "muted", "line", "panel", "field", "green", "red", "amber", "blue", "violet"].map((n) => [n, of(n)])) };
  }
  return known.colours;
}

/** The font of words on a canvas. */
export function font(px, weight = 500) {
  return `${weight} ${px}px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif`;
}

/** A line of points; `null` breaks it. */
export function stroke(pen, points, { colour, width = 2, dash = [] }) {
  pen.save();
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.setLineDash(dash);
  pen.lineJoin = "round";
  pen.beginPath();
  points.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  pen.stroke();
  pen.restore();
}
