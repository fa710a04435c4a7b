// What can be done to the picture without answering? The rail of tools beside it: boxes, heat, zoom, note, sound, help.
import { icon } from "./icons.js";
import { text } from "./link.js";
import { isMuted, mute } from "./sound.js";

const SIGN = { boxes: "boxes", heat: "heat", plus: "plus", minus: "minus", fit: "fit", note: "pen", help: "help" };
const ZOOM_STEP = 1.5;

export class Tools {
  /** `writeNote()` opens the note, where one may be written now. */
  constructor(rail, { stage, help, writeNote }) {
    this.rail = rail;
    this.stage = stage;
    this.does = {
      boxes: () => { stage.showBoxes = !stage.showBoxes; stage.paint(); },
      heat: () => { stage.showHeat = !stage.showHeat; stage.paint(); },
      plus: () => stage.zoomBy(ZOOM_STEP),
      minus: () => stage.zoomBy(1 / ZOOM_STEP),
      fit: () => stage.reset(),
      note: writeNote,
      mute: () => mute(!isMuted()),
      help: () => help.toggle(),
    };
  }

  use(tool) {
    this.does[tool]();
  }

  /** Which tools work on `part`, and which are on. */
  paint(part, mayAnswer) {
    const here = part?.picture === "here";
    const off = { boxes: !part?.candidates?.length, heat: !part?.heatmap, plus: !here, minus: !here, fit: !here, note: !mayAnswer };
    const pressed = { boxes: this.stage.showBoxes, heat: this.stage.showHeat, mute: isMuted() };
    for (const button of this.rail.querySelectorAll("button")) {
      const { tool } = button.dataset;
      const sign = tool === "mute" ? isMuted() ? "mute" : "sound" : SIGN[tool];
      const words = text(`tool.${tool}`);
      button.disabled = Boolean(off[tool]);
      if (tool in pressed) button.setAttribute("aria-pressed", pressed[tool]);
      if (button.dataset.made === sign + words) continue;
      button.dataset.made = sign + words;
      button.querySelector("svg")?.remove();
      button.insertAdjacentHTML("afterbegin", icon(sign));
      button.title = words;
      button.setAttribute("aria-label", words);
    }
  }
}
