// How does the screen call a person? Two tones made here, no file; silent where muted.
import { on, tell } from "./link.js";

const TONES = { stop: [660, 880], call: [880, 587] }; // Hz: rising for a new stop, falling for one that waits too long
const TONE_S = 0.16;
const LOUDNESS = 0.22;

let context = null;
let muted = remembered();
export const played = []; // the last calls, newest last

function remembered() {
  try {
    return ["1", "true", "yes"].includes(localStorage.getItem("station.muted"));
  } catch {
    return false;
  }
}

export function isMuted() {
  return muted;
}

/** Sets muted or not, here and on every screen of this page. */
export function mute(silent) {
  try {
    localStorage.setItem("station.muted", silent ? "1" : "0");
  } catch { /* private window: until it closes */ }
  tell("mute", silent);
}

/** Plays the two tones of `kind`; never raises, never waits. */
export function call(kind) {
  if (muted) return;
  played.push(kind);
  if (played.length > 20) played.shift();
  // Browsers let a page sound only after somebody has touched it.
  if (!context && navigator.userActivation && !navigator.userActivation.hasBeenActive) return;
  try {
    context ??= new AudioContext();
    if (context.state === "suspended") context.resume().catch(() => {});
    const begin = context.currentTime + 0.02;
    TONES[kind].forEach((hertz, i) => {
      const at = begin + i * TONE_S;
      const tone = context.createOscillator(), gain = context.createGain();
      tone.frequency.value = hertz;
      gain.gain.setValueAtTime(0, at);
      gain.gain.linearRampToValueAtTime(LOUDNESS, at + 0.015);
      gain.gain.setValueAtTime(LOUDNESS, at + TONE_S - 0.03);
      gain.gain.linearRampToValueAtTime(0, at + TONE_S);
      tone.connect(gain).connect(context.destination);
      tone.start(at);
      tone.stop(at + TONE_S);
    });
  } catch { /* a station without a sound card still flashes */ }
}

on("mute", (silent) => { muted = Boolean(silent); });
