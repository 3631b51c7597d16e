// The dialog in which somebody answers for an alarm with their name. The browser remembers the name, not the note.

import { titleOf } from "./alarms.js";
import { byId, element } from "./dom.js";
import { now, post } from "./server.js";
import { duration, reasonText, t } from "./words.js";

const NAME = "muki-operator";
const SHELVED_FOR = [1800, 3600, 4 * 3600, 8 * 3600]; // seconds; a shift is the longest

function remembered() {
  try {
    return localStorage.getItem(NAME) ?? "";
  } catch {
    return ""; // storage is switched off
  }
}

function remember(name) {
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

  async open(alarm, action) {
    if (!(await this.account.ready())) return;
    this.alarm = alarm;
    this.action = action;
    byId("dialog-title").textContent = t("dialog." + action);
    byId("dialog-alarm").textContent = `${t("priority." + alarm.priority)} · ${titleOf(alarm)} · ${alarm.point} · ${alarm.node}`;
    const shelving = action === "shelve";
    byId("dialog-shelving").hidden = !shelving;
    byId("dialog-note-label").textContent = shelving ? t("dialog.reason") : t("dialog.note");
    this.note.required = shelving;
    this.submit.textContent = t("alarms." + action);
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

  body(who) {
    const note = this.note.value.trim();
    if (this.action !== "shelve") return { who, note };
    return { who, reason: note, until: now() + Number(this.duration.value) * 1000 };
  }

  async send() {
    const who = this.who.value.trim();
    if (!who) {
      this.error.textContent = t("dialog.failed", { reason: t("reason.who_required") });
      this.who.focus();
      return;
    }
    const { alarm, action } = this;
    if (!this.account.known.name) remember(who);
    this.submit.disabled = true;
    this.error.textContent = "";
    try {
      const after = await post(`/alarms/${encodeURIComponent(alarm.key)}/${action}`, this.body(who));
      this.dialog.close();
      this.done(after);
    } catch (error) {
      this.error.textContent = t("dialog.failed", { reason: reasonText(error.reason ?? String(error)) });
      this.submit.disabled = false;
    }
  }
}
