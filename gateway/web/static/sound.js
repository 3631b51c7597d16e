// The sound of what nobody has acknowledged: a pattern for each priority, until it is acknowledged or silenced. A new alarm sounds again.

import { byId, write } from "./dom.js";
import { RANK, UNACKNOWLEDGED } from "./standing.js";
import { t } from "./words.js";

const KEPT = "muki-sound";
const KEY = "F2"; // no letter: it must not sound off in a text that somebody writes
// Beeps as [Hz, s from the beginning, s long], and the seconds until they come again: the more urgent, the higher, the more and the sooner.
const PATTERNS = {
  critical: { beeps: [[988, 0, 0.16], [784, 0.2, 0.16], [988, 0.4, 0.16], [784, 0.6, 0.16], [988, 0.8, 0.16]], every: 2 },
  high: { beeps: [[784, 0, 0.2], [784, 0.3, 0.2], [784, 0.6, 0.2]], every: 4 },
  medium: { beeps: [[659, 0, 0.22], [523, 0.3, 0.22]], every: 8 },
  low: { beeps: [[523, 0, 0.25]], every: 15 },
};
const LOUD = 0.25;

export class Sound {
  constructor() {
    this.on = this.remembered();
    this.silenced = new Set(); // events
    this.open = [];
    this.last = new Map();
    this.button = byId("sound");
    this.button.addEventListener("click", () => this.turn(!this.on));
    byId("silence").addEventListener("click", () => this.silence());
    document.addEventListener("keydown", (event) => {
      if (event.key === KEY) {
        event.preventDefault();
        this.silence();
      }
    });
    // A browser lets nothing sound before somebody has touched the page.
    for (const kind of ["keydown", "pointerdown"]) document.addEventListener(kind, () => this.wake(), { passive: true });
    this.wake();
    setInterval(() => this.play(), 500);
    this.tell();
  }

  remembered() {
    try {
      return localStorage.getItem(KEPT) !== "off";
    } catch {
      return true;
    }
  }

  turn(on) {
    this.on = on;
    try {
      localStorage.setItem(KEPT, on ? "on" : "off");
    } catch {
      // it is asked again the next time
    }
    this.wake();
    this.tell();
  }

  async wake() {
    if (!this.on) return;
    this.context ??= new AudioContext();
    if (this.context.state === "suspended") await this.context.resume().catch(() => undefined);
    this.tell();
  }

  alarmsChanged(alarms) {
    this.open = [...alarms.values()].filter((alarm) => UNACKNOWLEDGED.has(alarm.state));
    const events = new Set(this.open.map(({ event }) => event));
    this.silenced = new Set([...this.silenced].filter((event) => events.has(event)));
    this.play();
  }

  silence() {
    for (const { event } of this.open) this.silenced.add(event);
    this.master?.gain.setValueAtTime(0, this.context.currentTime);
    this.tell();
  }

  // The most urgent priority that sounds now; null for silence.
  get sounding() {
    const loud = this.open.filter(({ event }) => !this.silenced.has(event)).map(({ priority }) => priority);
    return loud.sort((a, b) => RANK[a] - RANK[b])[0] ?? null;
  }

  play() {
    this.tell();
    const priority = this.sounding;
    if (!this.on || priority === null || this.context?.state !== "running") return;
    const at = this.context.currentTime;
    const { beeps, every } = PATTERNS[priority];
    if (at - (this.last.get(priority) ?? -Infinity) < every) return;
    this.last = new Map([[priority, at]]);
    this.master = new GainNode(this.context, { gain: LOUD });
    this.master.connect(this.context.destination);
    for (const [hertz, after, long] of beeps) this.beep(hertz, at + after, long);
  }

  beep(hertz, start, long) {
    const tone = new OscillatorNode(this.context, { frequency: hertz, type: "triangle" });
    const shape = new GainNode(this.context, { gain: 0 });
    shape.gain.setValueAtTime(0, start);
    shape.gain.linearRampToValueAtTime(1, start + 0.02);
    shape.gain.setValueAtTime(1, start + long - 0.03);
    shape.gain.linearRampToValueAtTime(0, start + long);
    tone.connect(shape).connect(this.master);
    tone.start(start);
    tone.stop(start + long + 0.01);
  }

  tell() {
    const state = !this.on ? "off" : this.context?.state === "running" ? "on" : "blocked";
    document.body.dataset.sounding = (state === "on" && this.sounding) || "";
    this.button.dataset.state = state;
    this.button.setAttribute("aria-pressed", String(this.on));
    write(this.button, t("sound." + state));
    byId("silence").hidden = state !== "on" || this.sounding === null;
  }
}
