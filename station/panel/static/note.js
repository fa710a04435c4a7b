// What does the inspector want to write to this part? A field whose words go with the next answer to it.
import { icon } from "./icons.js";
import { safe, text } from "./link.js";

export class Note {
  /** `form` holds label, field and button; `chip` shows what was written. */
  constructor(form, chip) {
    this.form = form;
    this.chip = chip;
    this.field = form.querySelector("input");
    this.part = null;
    this.field.addEventListener("input", () => { if (this.part) this.part.note = this.field.value; });
    form.addEventListener("submit", (event) => { event.preventDefault(); this.close(); });
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.close();
    });
  }

  /** Another part is shown, or the same one anew. */
  about(part) {
    if (part !== this.part) {
      this.part = part;
      this.close();
    }
  }

  open() {
    if (!this.part) return;
    this.field.value = this.part.note ?? "";
    this.form.querySelector("label").textContent = text("note.label", { number: this.part.number });
    this.form.hidden = false;
    this.chip.hidden = true;
    this.field.focus();
  }

  /** Leaves the field; what was written stays with the part. */
  close() {
    this.form.hidden = true;
    if (this.form.contains(document.activeElement)) document.activeElement.blur();
    const words = this.part?.note?.trim() ?? "";
    this.chip.hidden = words === "";
    this.chip.innerHTML = `${icon("pen")}<span>${safe(words)}</span>`;
  }

  /** The words to send with an answer to `part`. */
  take(part) {
    return part.note?.trim() || null;
  }
}
