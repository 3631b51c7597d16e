// One row of the list: priority, state, what, value and limit, how long, what to do, and the next thing to press.

import { breakable, element, symbol, write } from "./dom.js";
import { now } from "./server.js";
import { ASIDE, actionOf, storyOf, titleOf, UNACKNOWLEDGED } from "./standing.js";
import { duration, inLanguage, limitText, minuteTime, moment, qualityText, t, unitText, valueText } from "./words.js";

export class AlarmRow {
  // `act(alarm, action)` opens the dialog; `pointOf(node, point)` knows unit and live value.
  constructor(alarm, { act, pointOf }) {
    this.alarm = alarm;
    this.pointOf = pointOf;
    const unacknowledged = UNACKNOWLEDGED.has(alarm.state);
    this.row = element("tr", {
      "data-key": alarm.key,
      "data-priority": alarm.priority,
      "data-active": String(alarm.active),
      "data-unacknowledged": String(unacknowledged),
      "data-aside": String(ASIDE.has(alarm.state)),
    });
    this.row.append(mark(alarm), state(alarm), title(alarm), this.valueCell(), this.sinceCell(), this.doCell(unacknowledged), button(alarm, act));
    this.tick();
  }

  valueCell() {
    const point = this.pointOf(this.alarm.node, this.alarm.point);
    const unit = unitText(point?.unit);
    this.number = element("span", { class: "number" });
    this.quality = element("span", { class: "small quality" });
    this.reading = element("span", { class: "reading" }, this.number, " ", element("span", { class: "unit" }, unit));
    return element("td", {}, this.reading, this.quality, element("span", { class: "small" }, limitOf(this.alarm, point, unit)));
  }

  sinceCell() {
    this.lasting = element("span", { class: "lasting" });
    return element("td", {}, this.lasting, element("span", { class: "small" }, moment(this.alarm.since, now())));
  }

  doCell(unacknowledged) {
    const { action, consequence, response_time: within } = this.alarm;
    const cell = element("td", {}, element("span", { class: "do" }, inLanguage(action, t("alarms.no_action"))));
    this.respond = unacknowledged && within ? element("span", { class: "respond" }) : null;
    if (this.respond) cell.append(this.respond);
    const lines = [
      within && !unacknowledged ? t("alarms.respond", { duration: duration(within) }) : "",
      inLanguage(consequence) && `${t("alarms.consequence")} ${inLanguage(consequence)}`,
    ].filter(Boolean);
    if (lines.length) cell.append(element("span", { class: "small consequence" }, lines.join(" · ")));
    return cell;
  }

  // What moves by itself: the value as it is now (until one comes, the one that raised the alarm), how long, and the time left to respond.
  tick() {
    const { alarm } = this;
    const point = this.pointOf(alarm.node, alarm.point);
    const { value, quality } = point?.time ? point : alarm;
    this.reading.hidden = value === null;
    if (value !== null) write(this.number, valueText(point, value));
    write(this.quality, qualityText(quality ?? "good"));
    const lasted = (now() - alarm.since) / 1000;
    write(this.lasting, duration(lasted));
    if (!this.respond) return;
    const left = alarm.response_time - lasted;
    this.respond.dataset.overdue = String(left < 0);
    write(this.respond, left < 0 ? t("alarms.overdue", { duration: duration(-left) }) : t("alarms.left", { duration: duration(left) }));
  }
}

function mark(alarm) {
  const kind = element("span", { class: "small" }, t("class." + alarm.signal_class));
  const words = element("span", { class: "words" }, t("priority." + alarm.priority), kind);
  return element("td", {}, element("div", { class: "mark" }, symbol(alarm.priority), words));
}

function state(alarm) {
  const cell = element("td", {}, element("span", { class: "state" }, t("state." + alarm.state)));
  const small = (text) => cell.append(element("span", { class: "small" }, text));
  if (alarm.state === "shelved") {
    if (alarm.shelved_by) small(t("alarms.by", { who: alarm.shelved_by }));
    if (alarm.shelved_until) small(t("alarms.until", { time: minuteTime(alarm.shelved_until) }));
  } else if (alarm.acknowledged_by && !UNACKNOWLEDGED.has(alarm.state) && !ASIDE.has(alarm.state)) {
    small(`${t("alarms.by", { who: alarm.acknowledged_by })} ${minuteTime(alarm.acknowledged)}`);
  }
  if (alarm.note && !UNACKNOWLEDGED.has(alarm.state)) small(`“${alarm.note}”`);
  return cell;
}

function title(alarm) {
  const where = element("span", { class: "small" }, ...breakable(`${alarm.point || alarm.definition} · ${alarm.node}`));
  const first = alarm.first_up ? [element("span", { class: "small" }, t("alarms.first_up", { group: alarm.group }))] : [];
  return element("td", {}, element("a", { class: "title", href: storyOf(alarm) }, titleOf(alarm)), where, ...first);
}

function button(alarm, act) {
  const action = actionOf(alarm);
  if (!action) return element("td", {});
  const name = `${t("alarms." + action)}: ${titleOf(alarm)}, ${alarm.point}`;
  const made = element("button", { type: "button", "aria-label": name }, t("alarms." + action));
  made.addEventListener("click", () => act(alarm, action));
  return element("td", {}, made);
}

export function limitOf(alarm, point, unit) {
  const result = alarm.condition === "expression"; // its limit is that of the result, not of the point
  if (result) unit = "";
  if (alarm.per) unit = `${unit}/${alarm.per}`;
  const number = () => (point?.kind === "digital" && !result ? valueText(point, alarm.limit) : limitText(alarm.limit));
  const limit = alarm.limit === null ? "" : alarm.condition === "silence" ? duration(alarm.limit) : `${number()} ${unit}`.trim();
  return limit || alarm.condition === "bad_quality" ? t("limit." + alarm.condition, { limit }) : "";
}
