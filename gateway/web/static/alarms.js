// The list of standing alarms: one row each, kept in place while it changes.

import { breakable, byId, element, symbol, write } from "./dom.js";
import { now } from "./server.js";
import { clockTime, duration, inLanguage, limitText, minuteTime, moment, qualityText, t, unitText, valueText } from "./words.js";

const RANK = { critical: 0, high: 1, medium: 2, low: 3 };
export const UNACKNOWLEDGED = new Set(["unacknowledged", "returned_unacknowledged", "latched_unacknowledged"]);
export const ASIDE = new Set(["shelved", "suppressed", "out_of_service"]);
const ACTIONS = { latched_acknowledged: "reset", shelved: "unshelve" };

export const titleOf = (alarm) => inLanguage(alarm.title, alarm.definition);
export function actionOf(alarm) {
  if (UNACKNOWLEDGED.has(alarm.state)) return "acknowledge";
  if (alarm.state === "acknowledged" && alarm.shelvable) return "shelve";
  return ACTIONS[alarm.state];
}

// Unacknowledged before the rest, what is set aside last; then by priority, then the newest.
export function inOrder(alarms) {
  const order = (alarm) => (UNACKNOWLEDGED.has(alarm.state) ? 0 : ASIDE.has(alarm.state) ? 2 : 1);
  return [...alarms].sort(
    (a, b) => order(a) - order(b) || RANK[a.priority] - RANK[b.priority] || b.since - a.since || a.key.localeCompare(b.key),
  );
}

export class AlarmList {
  // `act(alarm, action)` opens the dialog; `pointOf(node, point)` knows unit and live value; `changed(alarms)` hears of every change.
  constructor({ act, pointOf, changed }) {
    this.calls = { act, pointOf, changed };
    this.versions = new Map(); // also of those that are normal by now
    this.alarms = new Map();
    this.rows = new Map();
    this.body = byId("alarm-rows");
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
    this.draw();
    const fresh = alarm.state === "unacknowledged" && known?.event !== alarm.event;
    if (!fresh) return;
    this.rows.get(alarm.key)?.row.classList.add("arrived");
    if (alarm.announce) this.say(alarm);
  }

  say(alarm) {
    write(byId("announcer"), t("alarms.new", { priority: t("priority." + alarm.priority), title: titleOf(alarm) }));
  }

  draw() {
    const focused = document.activeElement;
    const focusedKey = this.body.contains(focused) ? focused.closest("tr").dataset.key : null;
    for (const [key, { row }] of this.rows) {
      if (this.alarms.has(key)) continue;
      row.remove();
      this.rows.delete(key);
    }
    inOrder(this.alarms.values()).forEach((alarm, place) => {
      const entry = this.rows.get(alarm.key);
      const row = entry && entry.alarm === alarm ? entry.row : this.row(alarm, entry?.row);
      this.rows.set(alarm.key, { alarm, row });
      if (this.body.children[place] !== row) this.body.insertBefore(row, this.body.children[place] ?? null);
    });
    if (focusedKey !== null && document.activeElement !== focused) {
      const target = this.rows.get(focusedKey)?.row.querySelector("button") ?? this.body.querySelector("button") ?? byId("alarms");
      target.focus({ preventScroll: true });
    }
    const unacknowledged = [...this.alarms.values()].filter((alarm) => UNACKNOWLEDGED.has(alarm.state)).length;
    byId("alarm-table").hidden = this.alarms.size === 0;
    byId("alarms-none").hidden = this.alarms.size > 0;
    write(byId("count-unacknowledged"), String(unacknowledged));
    write(byId("count-standing"), String(this.alarms.size));
    this.calls.changed(this.alarms);
  }

  row(alarm, old) {
    const row = element("tr", {
      "data-key": alarm.key,
      "data-priority": alarm.priority,
      "data-active": String(alarm.active),
      "data-unacknowledged": String(UNACKNOWLEDGED.has(alarm.state)),
      "data-aside": String(ASIDE.has(alarm.state)),
    });
    row.append(this.markCell(alarm), this.stateCell(alarm), this.titleCell(alarm), this.valueCell(alarm));
    row.append(this.sinceCell(alarm), this.doCell(alarm), this.actCell(alarm));
    old?.replaceWith(row);
    return row;
  }

  markCell(alarm) {
    const kind = element("span", { class: "small" }, t("class." + alarm.signal_class));
    const words = element("span", { class: "words" }, t("priority." + alarm.priority), kind);
    return element("td", {}, element("div", { class: "mark" }, symbol(alarm.priority), words));
  }

  stateCell(alarm) {
    const cell = element("td", {}, element("span", { class: "state" }, t("state." + alarm.state)));
    const small = (text) => cell.append(element("span", { class: "small" }, text));
    if (alarm.state === "shelved") {
      if (alarm.shelved_by) small(t("alarms.by", { who: alarm.shelved_by }));
      if (alarm.shelved_until) small(t("alarms.until", { time: minuteTime(alarm.shelved_until) }));
    } else if (alarm.acknowledged_by && !UNACKNOWLEDGED.has(alarm.state)) {
      small(`${t("alarms.by", { who: alarm.acknowledged_by })} ${minuteTime(alarm.acknowledged)}`);
    }
    if (alarm.note && !UNACKNOWLEDGED.has(alarm.state)) small(`“${alarm.note}”`);
    return cell;
  }

  titleCell(alarm) {
    const where = element("span", { class: "small" }, ...breakable(`${alarm.point || alarm.definition} · ${alarm.node}`));
    const first = alarm.first_up ? [element("span", { class: "small" }, t("alarms.first_up", { group: alarm.group }))] : [];
    return element("td", {}, element("span", { class: "title" }, titleOf(alarm)), where, ...first);
  }

  valueCell(alarm) {
    const point = this.calls.pointOf(alarm.node, alarm.point);
    const unit = unitText(point?.unit);
    const number = element("span", { class: "number" });
    const quality = element("span", { class: "small quality" });
    const reading = element("span", { class: "reading" }, number, " ", element("span", { class: "unit" }, unit));
    const cell = element("td", {}, reading, quality, element("span", { class: "small" }, limitOf(alarm, point, unit)));
    this.value(alarm, cell);
    return cell;
  }

  // The value as it is now; until one comes, the one that raised the alarm.
  value(alarm, cell) {
    const point = this.calls.pointOf(alarm.node, alarm.point);
    const { value, quality } = point?.time ? point : alarm;
    cell.querySelector(".reading").hidden = value === null;
    if (value !== null) write(cell.querySelector(".number"), valueText(point, value));
    write(cell.querySelector(".quality"), qualityText(quality ?? "good"));
  }

  sinceCell(alarm) {
    const lasting = element("span", { class: "lasting" }, duration((now() - alarm.since) / 1000));
    return element("td", {}, lasting, element("span", { class: "small" }, moment(alarm.since, now())));
  }

  doCell(alarm) {
    const cell = element("td", {}, element("span", { class: "do" }, inLanguage(alarm.action, t("alarms.no_action"))));
    const consequence = inLanguage(alarm.consequence);
    const respond = alarm.response_time ? t("alarms.respond", { duration: duration(alarm.response_time) }) : "";
    const lines = [respond, consequence && `${t("alarms.consequence")} ${consequence}`].filter(Boolean);
    if (lines.length) cell.append(element("span", { class: "small consequence" }, lines.join(" · ")));
    return cell;
  }

  actCell(alarm) {
    const action = actionOf(alarm);
    if (!action) return element("td", {});
    const name = `${t("alarms." + action)}: ${titleOf(alarm)}, ${alarm.point}`;
    const button = element("button", { type: "button", "aria-label": name }, t("alarms." + action));
    button.addEventListener("click", () => this.calls.act(alarm, action));
    return element("td", {}, button);
  }

  tick() {
    write(byId("clock"), clockTime(now()));
    for (const { alarm, row } of this.rows.values()) {
      this.value(alarm, row.children[3]);
      write(row.querySelector(".lasting"), duration((now() - alarm.since) / 1000));
    }
  }
}

function limitOf(alarm, point, unit) {
  const result = alarm.condition === "expression"; // its limit is that of the result, not of the point
  if (result) unit = "";
  if (alarm.per) unit = `${unit}/${alarm.per}`;
  const number = () => (point?.kind === "digital" && !result ? valueText(point, alarm.limit) : limitText(alarm.limit));
  const limit = alarm.limit === null ? "" : alarm.condition === "silence" ? duration(alarm.limit) : `${number()} ${unit}`.trim();
  return limit || alarm.condition === "bad_quality" ? t("limit." + alarm.condition, { limit }) : "";
}
