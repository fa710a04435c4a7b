// How is a rate, a bound, a cost said to an engineer? Pure: numbers in, words out. A bound is never rounded down.
import { text } from "./link.js";

const lang = () => document.documentElement.lang || "en";

/** A number with so many figures at most, as this language writes it. */
export function number(value, figures = 3) {
  return new Intl.NumberFormat(lang(), { maximumSignificantDigits: figures }).format(value);
}

/** A score or limit: three decimals at most, two at least. */
export function limit(value) {
  return new Intl.NumberFormat(lang(), { minimumFractionDigits: 2, maximumFractionDigits: 3 }).format(value);
}

/** A share in percent, three figures. */
export function percent(share) {
  return `${number(100 * share)}\u00a0%`;
}

/** An upper bound in percent, rounded up: a promise must not shrink on the screen. */
export function atMost(bound) {
  const value = 100 * bound;
  if (value <= 0) return "0\u00a0%";
  const unit = 10 ** (Math.floor(Math.log10(value)) - 2);
  return `${number(Math.min(100, Math.ceil(value / unit - 1e-9) * unit))}\u00a0%`;
}

/** Parts per million, rounded up where it is a bound. */
export function ppm(share, bound = false) {
  const value = share * 1e6;
  return new Intl.NumberFormat(lang(), { maximumFractionDigits: 0 }).format(bound ? Math.ceil(value) : Math.round(value));
}

/** A whole number as this language groups it. */
export function whole(n) {
  return new Intl.NumberFormat(lang()).format(n);
}

/** "3 of 240": no share without its denominator. */
export function ofAll({ count, of }) {
  return text("wb.of", { n: whole(count), all: whole(of) });
}

/** A share with its counts; a dash where there is nothing to count. */
export function share(it) {
  return it ? percent(it.count / it.of) : "–";
}

/** A change with its sign, a true minus. */
export function signed(n) {
  return n > 0 ? `+${whole(n)}` : n < 0 ? `−${whole(-n)}` : "±0";
}
