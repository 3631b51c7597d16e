// The list of standing alarms, a page of it at a time: a row each, kept in place while it changes.

import { AlarmRow } from "./alarm_row.js";
import { byId, symbol, write } from "./dom.js";
import { Place } from "./place.js";
import { now } from "./server.js";
import { inOrder, titleOf, UNACKNOWLEDGED, worst } from "./standing.js";
import { clockTime, t } from "./words.js";

const PAGE = 50; // rows

export class AlarmList {
  // `act(alarm, action)` opens the dialog; `pointOf(node, point)` knows unit and live value; `filter.shows(alarm)`; `changed(alarms, fresh)` hears of every change.
  constructor({ act, pointOf, filter, changed }) {
    this.calls = { act, pointOf };
    this.filter = filter;
    this.changed = changed;
    this.versions = new Map(); // also of those that are normal by now
    this.alarms = new Map();
    this.rows = new Map(); // of the page that is shown
    this.shown = [];
    this.first = null; // the key with which the page begins; null: the top of the list
    this.fresh = new Set();
    this.body = byId("alarm-rows");
    this.place = new Place(this.body);
    byId("page-top").addEventListener("click", () => this.turn(null));
    byId("page-back").addEventListener("click", () => this.turn(this.start - PAGE));
    byId("page-on").addEventListener("click", () => this.turn(this.start + PAGE));
    byId("page-acknowledge").addEventListener("click", () => act(this.unacknowledged(), "acknowledge_page"));
    filter.changed = () => this.turn(null);
    setInterval(() => this.tick(), 1000);
  }

  replace(alarms) {
    this.alarms = new Map(alarms.map((alarm) => [alarm.key, alarm]));
    this.versions = new Map(alarms.map((alarm) => [alarm.key, alarm.version]));
    this.draw();
  }

  update(alarm) {
    if (alarm.version <= (this.versions.get(alarm.key) ?? 0)) return; // an answer and the stream may cross
    this.versions.set(alarm.key, alarm.version);
    const known = this.alarms.get(alarm.key);
    if (alarm.state === "normal") this.alarms.delete(alarm.key);
    else this.alarms.set(alarm.key, alarm);
    if (alarm.state === "unacknowledged" && known?.event !== alarm.event) {
      this.fresh.add(alarm.key);
      if (alarm.announce) write(byId("announcer"), t("alarms.new", { priority: t("priority." + alarm.priority), title: titleOf(alarm) }));
    }
    this.later();
  }

  // However fast alarms come, the list is drawn once a frame; a page in the background has no frames.
  later() {
    if (this.waiting) return;
    this.waiting = true;
    const draw = () => this.waiting && this.draw();
    requestAnimationFrame(draw);
    setTimeout(draw, 200);
  }

  turn(start) {
    const ordered = this.ordered();
    this.first = start === null || start <= 0 ? null : (ordered[Math.min(start, ordered.length - 1)]?.key ?? null);
    this.draw();
    byId("alarms").scrollIntoView({ block: "start" });
  }

  ordered() {
    return inOrder([...this.alarms.values()].filter((alarm) => this.filter.shows(alarm)));
  }

  // The page begins where its reader left it; a row in which somebody is at work never leaves it.
  window(ordered) {
    if (this.first !== null) {
      const start = ordered.findIndex(({ key }) => key === this.first);
      this.start = start >= 0 ? start : Math.max(0, Math.min(this.start, ordered.length - PAGE));
      this.first = this.start > 0 ? ordered[this.start].key : null;
    } else this.start = 0;
    const busy = this.place.row()?.dataset.key;
    const at = busy === undefined ? -1 : ordered.findIndex(({ key }) => key === busy);
    if (at >= this.start + PAGE) {
      this.start = at - this.shown.findIndex(({ key }) => key === busy);
      this.first = ordered[this.start].key;
    }
    return ordered.slice(this.start, this.start + PAGE);
  }

  draw() {
    const began = performance.now();
    this.waiting = false;
    const settle = this.place.hold();
    const focused = document.activeElement;
    const focusedKey = this.body.contains(focused) ? focused.closest("tr").dataset.key : null;
    const ordered = this.ordered();
    this.shown = this.window(ordered);
    const keep = new Set(this.shown.map(({ key }) => key));
    for (const [key, { row }] of this.rows) {
      if (keep.has(key)) continue;
      row.remove();
      this.rows.delete(key);
    }
    this.shown.forEach((alarm, place) => this.put(alarm, place));
    this.fresh.clear();
    if (focusedKey !== null && document.activeElement !== focused) {
      const target = this.rows.get(focusedKey)?.row.querySelector("button, a") ?? this.body.querySelector("button") ?? byId("alarms");
      target.focus({ preventScroll: true });
    }
    this.tell(ordered);
    settle();
    this.changed(this.alarms);
    performance.measure("muki-alarms", { start: began });
  }

  put(alarm, place) {
    const known = this.rows.get(alarm.key);
    const made = known?.alarm === alarm ? known : new AlarmRow(alarm, this.calls);
    if (known && made !== known) known.row.replaceWith(made.row);
    this.rows.set(alarm.key, made);
    if (this.body.children[place] !== made.row) this.body.insertBefore(made.row, this.body.children[place] ?? null);
    if (this.fresh.has(alarm.key)) made.row.classList.add("arrived");
  }

  unacknowledged() {
    return this.shown.filter((alarm) => UNACKNOWLEDGED.has(alarm.state));
  }

  tell(ordered) {
    const all = [...this.alarms.values()];
    byId("alarm-table").hidden = this.shown.length === 0;
    byId("alarms-none").hidden = this.alarms.size > 0;
    write(byId("count-unacknowledged"), String(all.filter((alarm) => UNACKNOWLEDGED.has(alarm.state)).length));
    write(byId("count-standing"), String(all.length));
    const open = this.unacknowledged().length;
    byId("page-acknowledge").hidden = open < 2;
    write(byId("page-acknowledge"), t("alarms.acknowledge_page", { count: open }));
    byId("pager").hidden = ordered.length <= PAGE;
    byId("page-back").disabled = this.start === 0;
    byId("page-on").disabled = this.start + PAGE >= ordered.length;
    write(byId("page-where"), t("alarms.page", { from: this.start + 1, to: this.start + this.shown.length, count: ordered.length }));
    this.tellAbove(ordered.slice(0, this.start).filter((alarm) => UNACKNOWLEDGED.has(alarm.state)));
    this.filter.tell(all);
  }

  // What is above the page and waits for somebody: said in its colour, shape and words.
  tellAbove(above) {
    byId("above").hidden = above.length === 0;
    if (above.length === 0) return;
    const priority = worst(above);
    byId("above").dataset.priority = priority;
    const text = t("alarms.above", { count: above.length, priority: t("priority." + priority) });
    if (byId("above-text").textContent !== text) {
      byId("above-mark").replaceChildren(symbol(priority, { tiny: true }));
      write(byId("above-text"), text);
    }
  }

  tick() {
    write(byId("clock"), clockTime(now()));
    for (const row of this.rows.values()) row.tick();
  }
}
