// How does each sign look? Drawn here, so that no font and no colour is needed to tell them apart.
const PATHS = {
  ok: "M4 12.5l5 5L20 6.5",
  cross: "M5.5 5.5l13 13M18.5 5.5l-13 13",
  question: "M8 9a4 4 0 1 1 5.7 3.6c-1.2.6-1.7 1.3-1.7 2.6M12 19.2v.3",
  warn: "M12 3L22 20.5H2L12 3zM12 9.5v5M12 17.3v.3",
  pause: "M8 5v14M16 5v14",
  play: "M7 4.5l12 7.5-12 7.5z",
  eye: "M2 12s3.6-6.5 10-6.5S22 12 22 12s-3.6 6.5-10 6.5S2 12 2 12zM12 9.2a2.8 2.8 0 1 0 0 5.6a2.8 2.8 0 1 0 0-5.6z",
  plug: "M3 3l18 18M9 3v5M15 3v4M6.5 8h8M17.5 8v3a5.5 5.5 0 0 1-.8 2.9M14 16.2a5.5 5.5 0 0 1-7.5-5.2V9M12 17v4",
  ring: "M12 4a8 8 0 1 0 0 16a8 8 0 1 0 0-16z",
  stop: "M6 6h12v12H6z",
  person: "M12 4a4 4 0 1 0 0 8a4 4 0 1 0 0-8zM4 21c.6-4.4 3.8-6.5 8-6.5s7.400 2.100 8 6.500",
  persons: "M9 5a3.500 3.500 0 1 0 0 7a3.500 3.500 0 1 0 0-7zM2 20c.5-4 3.300-5.600 7-5.600s6.500 1.600 7 5.600M16 5.300a3.500 3.500 0 0 1 0 6.600M18.500 14.900c2 .7 3.200 2.300 3.500 5.100",
  box: "M4 8V4h4M16 4h4v4M20 16v4h-4M8 20H4v-4",
  tool: "M14.500 6.500a4.500 4.500 0 0 1 5.800-2.300l-3 3 .6 2.300 2.300.6 3-3",
  undo: "M8 5L3.500 9.500L8 14M4 9.500h9.500a5.500 5.500 0 0 1 0 11H9",
  tray: "M3 13h5l1.500 3h5L16 13h5M3 13l3-8h12l3 8v6H3z",
  boxes: "M3.500 3.500h9v9h-9zM9.500 15.500v5h11v-11h-5",
  heat: "M12 21.500c-4 0-6.500-2.800-6.500-6.300 0-4.200 3.700-5.700 4.200-10.700 2.600 1.200 3.600 3.600 3.500 5.800 1-.5 1.700-1.600 1.800-2.800 2.200 1.800 3.500 4.700 3.500 7.700 0 3.500-2.500 6.300-6.500 6.300z",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  pen: "M4 20l1.200-4.800L16.500 4 20 7.500 8.800 18.800zM13.500 7l3.500 3.500",
  help: "M12 2.500a9.500 9.500 0 1 0 0 19a9.500 9.500 0 1 0 0-19zM9.200 9.500a2.900 2.900 0 1 1 4.100 2.600c-.9.500-1.300 1-1.300 1.900M12 17.200v.2",
  sound: "M4 9.500v5h3.500L12 18.500v-13L7.500 9.500zM15.500 9a4.200 4.200 0 0 1 0 6M18 6.300a8 8 0 0 1 0 11.400",
  mute: "M4 9.500v5h3.500L12 18.500v-13L7.500 9.500zM16 9.500l5 5M21 9.500l-5 5",
  clock: "M12 3a9 9 0 1 0 0 18a9 9 0 1 0 0-18zM12 7.500V12l3.200 2",
  bell: "M6 17V11a6 6 0 0 1 12 0v6l1.500 1.500h-15zM10 21h4",
  sun: "M12 8a4 4 0 1 0 0 8a4 4 0 1 0 0-8zM12 2v2.500M12 19.500V22M2 12h2.500M19.500 12H22M5 5l1.700 1.700M17.300 17.300L19 19M19 5l-1.700 1.700M6.700 17.300L5 19",
  moon: "M20 14.500A8.500 8.500 0 0 1 9.500 4a8.500 8.500 0 1 0 10.500 10.500z",
  globe: "M12 3a9 9 0 1 0 0 18a9 9 0 1 0 0-18zM3 12h18M12 3c3 3 3.500 6 3.500 9s-.5 6-3.500 9c-3-3-3.500-6-3.500-9s.5-6 3.500-9z",
  door: "M10 4H5v16h5M14 8l4 4-4 4M9 12h9",
  swap: "M4 8h14l-3.500-3.500M20 16H6l3.500 3.500",
};

/** The lines of the named sign in a field of 24 by 24. */
export function path(name) {
  return PATHS[name] ?? PATHS.ring;
}

/** An inline SVG of the named sign. */
export function icon(name) {
  return `<svg class="st-icon" viewBox="0 0 24 24" aria-hidden="true"><path d="${path(name)}"/></svg>`;
}

/** Sign and colour role by station state. */
export const STATE_ICON = {
  RUNNING: "play", WAITING: "pause", FAULT: "warn", READY: "ring", HALTED: "stop", AWAY: "plug", LOST: "plug", CONNECTING: "ring",
};

/** Sign by the machine's verdict; `hidden` for a part whose verdict must not be shown. */
export const VERDICT_ICON = { OK: "ok", NOT_OK: "cross", NOT_DECIDABLE: "question", UNDEFINED: "warn", hidden: "eye" };
