// What stands in the top bar? Station, state, part, waiting, who is signed in; and what is wrong, unmistakably.
import { STATE_ICON, icon } from "./icons.js";
import { on, safe, shownState, start, state, text } from "./link.js";
import { PersonOverlay } from "./person.js";

const FLASH_MS = 900; // the bar tells of a new stop for so long

export async function mount(element) {
  const at = (id) => element.querySelector(`#st-${id}`);
  await start();
  const overlay = new PersonOverlay();
  let part = null;
  let stored = 0;

  function names() {
    at("station").textContent = state.boot.station;
    at("product").textContent = state.boot.product;
    document.documentElement.dataset.tabs = document.querySelectorAll('#station-tabs .tab-container [role="tab"]').length;
    // Gradio wrote the tabs' names before anybody had chosen a language.
    for (const tab of document.querySelectorAll('#station-tabs [role="tab"]')) {
      const name = tab.getAttribute("aria-controls")?.replace(/^tab-/, "");
      const words = text(`top.tab.${name}`);
      if (name && words !== `top.tab.${name}` && tab.textContent.trim() !== words) tab.textContent = words;
    }
  }

  function paint() {
    const shown = shownState();
    const pill = at("state");
    if (pill.dataset.state !== shown || !pill.innerHTML) {
      pill.dataset.state = shown;
      pill.innerHTML = `${icon(STATE_ICON[shown])}<span>${safe(text(`state.${shown}`))}</span>`;
    }
    at("partno").textContent = part ? text("top.part", { number: part.number }) : "";
    at("simulated").hidden = !part?.simulated;
    at("simulated").textContent = text("top.simulated");
    const n = state.change?.waiting;
    at("waiting").innerHTML = n === undefined || !state.linked ? "" : `${icon("tray")}<span>${safe(text("top.waiting", { n }))}</span>`;
    at("waiting").dataset.some = n > 0;
    at("stored").innerHTML = stored ? `${icon("ok")}<span>${safe(text("top.stored", { n: stored }))}</span>` : "";
    at("person").innerHTML = `${icon("person")}<span>${safe(state.person || text("top.nobody"))}</span>`;
    at("person").setAttribute("aria-label", state.person ? text("top.person", { name: state.person }) : text("top.nobody"));
    const wrong = shown === "AWAY" ? "away" : shown === "LOST" ? "lost" : null;
    at("banner").hidden = wrong === null;
    document.documentElement.dataset.wrong = wrong ?? "";
    document.documentElement.dataset.held = part ? "yes" : "";
    if (wrong) {
      at("banner-icon").innerHTML = icon("plug");
      at("banner-words").textContent = text(`banner.${wrong}`);
      at("banner-more").textContent = text(`banner.${wrong}.more`);
    }
  }

  at("person").addEventListener("click", (event) => {
    event.currentTarget.blur();
    overlay.open();
  });
  on("part", (shown) => { part = shown; paint(); });
  on("stored", (n) => { stored = n; paint(); });
  let flashing = 0;
  on("flash", () => {
    // On and off, no animation: one would have the browser paint every frame just while the part must come.
    at("top").classList.add("st-flash");
    clearTimeout(flashing);
    flashing = setTimeout(() => at("top").classList.remove("st-flash"), FLASH_MS);
  });
  on("boot", () => { names(); paint(); });
  for (const name of ["loop", "change", "link", "person"]) on(name, paint);
  names();
  paint();
}
