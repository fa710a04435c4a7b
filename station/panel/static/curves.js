// What would every other limit of this class cost: in misses, in review, in money? Three lines over one axis.
import { atMost, number, percent } from "./figures.js";
import { text } from "./link.js";
import { across, colours, font, sheet, stroke } from "./plot.js";

const TOP = 10, BOTTOM = 24;
const LEAST = 1e-3; // the miss bound's axis ends here: below no footage of this size can tell

/** Miss bound (left axis, logarithmic), review minutes per hour (right axis), cost (its own height). */
export class Curves {
  constructor(canvas) {
    this.canvas = canvas;
  }

  /** Draws the panel's curves with the limits tried and in force; `alpha` is what is to be promised. */
  paint(curves, tried, inForce, alpha) {
    const { pen, width, height } = sheet(this.canvas);
    if (!width || !curves) return;
    const c = colours(), low = height - BOTTOM, x = (t) => across(t, width);
    const minutes = scaled(curves.minutes), cost = scaled(curves.cost, false);
    const miss = (v) => TOP + ((low - TOP) * -Math.log10(Math.max(v, LEAST))) / -Math.log10(LEAST);
    const linear = ({ least, most }) => (v) => low - ((low - TOP) * (v - least)) / (most - least || 1);

    this.#axes(pen, c, { width, low, miss, minutes, shown: curves });
    if (curves.miss_bound) {
      stroke(pen, [[x(0), miss(alpha)], [x(1), miss(alpha)]], { colour: c.red, width: 1, dash: [2, 4] });
      pen.fillStyle = c.red;
      pen.font = font(12, 600);
      pen.textAlign = "right";
      pen.textBaseline = "bottom";
      pen.fillText(text("wb.promise.line", { alpha: percent(alpha) }), x(1) - 4, miss(alpha) - 2);
      this.#line(pen, curves.limits, curves.miss_bound, x, miss, { colour: c.red, width: 2.5 });
    }
    if (minutes) this.#line(pen, curves.limits, curves.minutes, x, linear(minutes), { colour: c.blue, width: 2.5, dash: [9, 4] });
    if (cost) {
      this.#line(pen, curves.limits, curves.cost, x, linear(cost), { colour: c.violet, width: 2, dash: [2, 3] });
      const at = curves.cost.indexOf(cost.least), place = [x(curves.limits[at]), low - 4];
      pen.fillStyle = c.violet;
      pen.beginPath();
      pen.arc(...place, 4, 0, 7);
      pen.fill();
    }
    for (const [limits, look] of [[inForce, { colour: c.muted, width: 1.5, dash: [3, 4] }], [tried, { colour: c.text, width: 2 }]]) {
      stroke(pen, [[x(limits.pass_below), TOP], [x(limits.pass_below), low]], look);
    }
  }

  /** What the lines say at the limit tried, in words for those who do not see them. */
  words(curves, tried) {
    if (!curves) return "";
    const at = Math.round(tried.pass_below * (curves.limits.length - 1));
    const said = [];
    if (curves.miss_bound) said.push(text("wb.curve.miss.said", { bound: atMost(curves.miss_bound[at]) }));
    if (curves.minutes) said.push(text("wb.curve.minutes.said", { n: number(curves.minutes[at]) }));
    if (curves.cost) said.push(text("wb.curve.cost.said", { n: number(curves.cost[at]) }));
    return said.join(" · ");
  }

  #axes(pen, c, { width, low, miss, minutes, shown }) {
    const x = (t) => across(t, width);
    pen.font = font(12);
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    for (const tick of shown.miss_bound ? [1, 0.1, 0.01, 0.001] : []) {
      stroke(pen, [[x(0), miss(tick)], [x(1), miss(tick)]], { colour: c.line, width: 1 });
      pen.fillStyle = c.red;
      pen.fillText(percent(tick), x(0) - 6, Math.min(miss(tick), low - 6));
    }
    if (minutes) {
      pen.fillStyle = c.blue;
      pen.textAlign = "left";
      for (const share of [0, 0.5, 1]) {
        const value = minutes.most * share;
        pen.fillText(number(value, 2), x(1) + 6, Math.min(low - ((low - TOP) * share), low - 6));
      }
    }
    pen.fillStyle = c.muted;
    pen.textAlign = "center";
    pen.textBaseline = "top";
    for (const t of [0, 0.2, 0.4, 0.6, 0.8, 1]) {
      stroke(pen, [[x(t), low], [x(t), low + 4]], { colour: c.muted, width: 1 });
      pen.fillText(number(t), x(t), low + 7);
    }
  }

  #line(pen, limits, values, x, y, look) {
    stroke(pen, values.map((v, i) => [x(limits[i]), y(v)]), look);
  }
}

function scaled(values, fromZero = true) {
  if (!values) return null;
  return { least: fromZero ? 0 : Math.min(...values), most: Math.max(...values) };
}
