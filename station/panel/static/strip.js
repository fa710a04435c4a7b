// Which parts wait, and which is shown? The strip of stamps under the classes.
import { icon } from "./icons.js";
import { canStore, safe, state, text } from "./link.js";
import { ageOf } from "./words.js";

const SHOWN = 12;

/** A part's picture as small as a stamp. */
export function thumbnail(url) {
  return url.replace("/image/", "/thumbnail/");
}

export class Strip {
  constructor(box) {
    this.box = box;
    this.list = document.createElement("ol");
    this.items = new Map(); // review id -> its stamp: drawn once, then only moved
  }

  /** `mine` lie on this screen, the one shown (`current`) first; then whatever else waits. */
  paint(mine, current, rest) {
    const parts = [...mine, ...rest].slice(0, SHOWN);
    if (!parts.length) {
      this.items.clear();
      const words = canStore() ? `<p class="st-muted">${safe(text("queue.empty"))}</p>` : ""; // else it is not known now
      if (this.box.dataset.empty !== words) { this.box.dataset.empty = words; this.box.innerHTML = words; }
      return;
    }
    const stays = new Map(parts.map((part) => [part.id, this.#item(part, part === current)]));
    this.items = stays;
    const wanted = [...stays.values()];
    if (wanted.length !== this.list.children.length || wanted.some((li, i) => li !== this.list.children[i])) this.list.replaceChildren(...wanted);
    if (this.list.parentElement !== this.box) { delete this.box.dataset.empty; this.box.replaceChildren(this.list); }
  }

  #item(part, now) {
    let li = this.items.get(part.id);
    if (!li) {
      li = document.createElement("li");
      const picture = part.image ? `<img src="${thumbnail(part.image)}" alt="" loading="lazy" decoding="async">` : icon("warn");
      li.innerHTML = `<div>${picture}</div><b>#${part.number}</b><small></small>`;
    }
    const other = part.claimed_by && part.claimed_by !== state.person;
    const under = now ? text("queue.now") : other ? text("queue.other", { name: part.claimed_by }) : ageOf(part.opened_at);
    for (const [name, value] of [["now", now ? "yes" : ""], ["other", other ? "yes" : ""]]) if (li.dataset[name] !== value) li.dataset[name] = value;
    if (li.lastChild.textContent !== under) li.lastChild.textContent = under;
    return li;
  }
}
