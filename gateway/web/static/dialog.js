// The dialog in which somebody answers for an alarm with their name. The browser remembers the name, not the note.

import { byId, element } from "./dom.js";
import { now, post } from "./server.js";
import { titleOf, worst } from "./standing.js";
import { duration, reasonText, t } from "./words.js";

const NAME = "muki-operator";
const REASONED = new Set(["shelve", "remove"]); // they need a reason
const SHELVED_FOR = [1800, 3600, 4 * 3600, 8 * 3600]; // seconds; a shift is the longest

export function remembered() {
  try {
    return localStorage.getItem(NAME) ?? "";
  } catch {
    return ""; // storage is switched off
  }
}

export function remember(name) {
  try {
    localStorage.setItem(NAME, name);
  } catch {
    // it is asked again the next time
  }
}

export class ActDialog {
  // `done(alarm)` gets the alarm as the gateway answers.
  constructor({ account, done }) {
    this.account = account;
    this.done = done;
    this.dialog = byId("dialog");
    this.who = byId("dialog-who");
    this.note = byId("dialog-note");
    this.submit = byId("dialog-submit");
    this.error = byId("dialog-error");
    this.duration = byId("dialog-duration");
    this.duration.append(...SHELVED_FOR.map((seconds) => element("option", { value: seconds }, duration(seconds))));
    byId("dialog-cancel").addEventListener("click", () => this.dialog.close());
    byId("dialog-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
  }

  // `alarms`: one, or all those of a page with the action `acknowledge_page`.
  async open(alarms, action) {
    if (!(await this.account.ready())) return;
    this.alarms = [alarms].flat();
    this.action = action;
    const [alarm] = this.alarms;
    byId("dialog-title").textContent = t("dialog." + action);
    const what = { count: this.alarms.length, priority: t("priority." + worst(this.alarms)) };
    byId("dialog-alarm").textContent =
      action === "acknowledge_page" ? t("dialog.several", what) : `${t("priority." + alarm.priority)} · ${titleOf(alarm)} · ${alarm.point} · ${alarm.node}`;
    byId("dialog-shelving").hidden = action !== "shelve";
    const reasoned = REASONED.has(action);
    byId("dialog-note-label").textContent = reasoned ? t("dialog.reason") : t("dialog.note");
    this.note.required = reasoned;
    this.submit.textContent = action === "acknowledge_page" ? t("alarms.acknowledge") : t("alarms." + action);
    this.submit.disabled = false;
    this.error.textContent = "";
    this.note.value = "";
    const known = this.account.known.name;
    this.who.hidden = Boolean(known);
    byId("dialog-who-label").textContent = known ? t("dialog.signed", { name: known }) : t("dialog.who");
    this.who.value = known || remembered();
    this.dialog.showModal();
    (this.who.value ? this.note : this.who).focus();
  }

  // Resolves to the alarms as they are now; raises why not.
  async act(who) {
    const note = this.note.value.trim();
    const [alarm] = this.alarms;
    if (this.action === "acknowledge_page") {
      const seen = this.alarms.map(({ key, event }) => ({ key, event }));
      const answers = await post("/alarms/acknowledge", { who, note, alarms: seen });
      this.refused = answers.filter(({ reason }) => reason !== null);
      return answers.filter(({ reason }) => reason === null).map((answer) => answer.alarm);
    }
    const body = REASONED.has(this.action) ? { who, reason: note } : { who, note };
    if (this.action === "shelve") body.until = now() + Number(this.duration.value) * 1000;
    if (this.action === "acknowledge") body.event = alarm.event;
    return [await post(`/alarms/${encodeURIComponent(alarm.key)}/${this.action}`, body)];
  }

  async send() {
    const who = this.who.value.trim();
    if (!who) {
      this.error.textContent = t("dialog.failed", { reason: t("reason.who_required") });
      this.who.focus();
      return;
    }
    if (!this.account.known.name) remember(who);
    this.submit.disabled = true;
    this.error.textContent = "";
    this.refused = [];
    try {
      for (const after of await this.act(who)) this.done(after);
      if (this.refused.length === 0) this.dialog.close();
      else this.error.textContent = t("dialog.some", { count: this.refused.length, reason: reasonText(this.refused[0].reason) });
    } catch (error) {
      this.error.textContent = t("dialog.failed", { reason: reasonText(error.reason ?? String(error)) });
      this.submit.disabled = false;
    }
  }
}
