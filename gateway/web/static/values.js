// The live values, grouped by asset. Grey while all is well.

import { byId, element, symbol, write } from "./dom.js";
import { now } from "./server.js";
import { ASIDE, RANK } from "./standing.js";
import { duration, inLanguage, qualityText, t, unitText, valueText } from "./words.js";

const OLD = 15; // seconds without a reading, or three of the point's periods, until a value is shown as old

const OF_THE_NODE = new Set(["agent", "clock", "disk", "host", "outbox", "output", "processor", "source"]);

const ofTheNode = (point) => point.asset === point.node && OF_THE_NODE.has(point.point.split("/")[1]);
// One line of a spectrum is for the page of its asset.
export const isLine = (point) => /\/(spectrum|envelope)\/(hz|order)-\d+$|_order$/.test(point);
export const seriesKey = (node, point) => `${node} ${point}`;
export const nameOf = (point) => inLanguage(point.description, point.point.split("/").slice(1).join(" / ").replaceAll("_", " "));

export class ValueList {
  // `chosen(point)` is called when somebody picks a value for the trend.
  constructor({ chosen }) {
    this.chosen = chosen;
    this.points = new Map();
    this.rows = new Map();
    this.pending = new Set();
    this.selected = null;
    setInterval(() => this.points.forEach((point) => this.paint(point)), 2000);
  }

  pointOf(node, point) {
    return this.points.get(seriesKey(node, point));
  }

  // A snapshot of the server; values that came over the stream meanwhile and are newer stay.
  replace(points) {
    const before = this.points;
    this.points = new Map(points.filter(({ point }) => !isLine(point)).map((point) => [seriesKey(point.node, point.point), point]));
    for (const [key, point] of this.points) {
      const known = before.get(key);
      if (known && (known.time ?? 0) > (point.time ?? 0)) Object.assign(point, { value: known.value, quality: known.quality, time: known.time });
    }
    this.draw();
  }

  readings({ node, time, values, quality }) {
    const moved = [];
    for (const name of new Set([...Object.keys(values), ...Object.keys(quality)])) {
      const point = this.points.get(seriesKey(node, name));
      if (!point || time < (point.time ?? 0)) continue;
      Object.assign(point, { value: values[name] ?? null, quality: quality[name] ?? "good", time });
      moved.push(point);
      this.later(point);
    }
    return moved;
  }

  // However fast readings come, the page paints once a frame.
  later(point) {
    if (this.pending.size === 0) {
      requestAnimationFrame(() => {
        this.pending.forEach((waiting) => this.paint(waiting));
        this.pending.clear();
      });
    }
    this.pending.add(point);
  }

  alarmsChanged(alarms) {
    this.alarmed = new Map();
    for (const alarm of alarms.values()) {
      if (!alarm.active || ASIDE.has(alarm.state)) continue;
      const key = seriesKey(alarm.node, alarm.point);
      const known = this.alarmed.get(key);
      if (known === undefined || RANK[alarm.priority] < RANK[known]) this.alarmed.set(key, alarm.priority);
    }
    this.points.forEach((point) => this.paint(point));
  }

  // What an operator most likely wants to see first: the point of the most urgent alarm, else the first that has a value.
  foremost() {
    const points = [...this.points.values()];
    const urgency = (point) => RANK[this.alarmed?.get(seriesKey(point.node, point.point))] ?? 4;
    return points.sort((a, b) => urgency(a) - urgency(b) || (a.value === null) - (b.value === null))[0];
  }

  select(point) {
    this.selected = seriesKey(point.node, point.point);
    for (const [key, row] of this.rows) row.button.setAttribute("aria-pressed", String(key === this.selected));
  }

  draw() {
    const assets = new Map();
    for (const point of this.points.values()) {
      const name = `${point.asset} ${point.node}`;
      if (!assets.has(name)) assets.set(name, []);
      assets.get(name).push(point);
    }
    this.rows.clear();
    const cards = [...assets.values()].map((points) => {
      const own = points.every(ofTheNode);
      const title = own ? points[0].asset : element("a", { href: `/asset/${points[0].node}/${points[0].asset}` }, points[0].asset);
      const heading = element("h3", {}, title, element("span", {}, points[0].node));
      const rows = points.map((point) => this.row(point));
      if (!own) return element("section", { class: "asset" }, heading, ...rows);
      // What a node says of itself is for the engineer: folded, behind the plant.
      heading.firstChild.replaceWith(t("values.node", { node: points[0].node }));
      return element("details", { class: "asset" }, element("summary", {}, heading), ...rows);
    });
    cards.sort((a, b) => (a.tagName === "DETAILS") - (b.tagName === "DETAILS"));
    byId("values").replaceChildren(...cards);
    byId("values-none").hidden = this.points.size > 0;
    this.points.forEach((point) => this.paint(point));
  }

  row(point) {
    const parts = {
      mark: element("span", { class: "mark" }),
      remark: element("span", { class: "remark" }),
      number: element("span", { class: "number" }),
      gauge: point.range ? gauge(point) : element("span"),
    };
    const name = element("span", { class: "name" }, nameOf(point), element("span", { class: "small" }, parts.remark));
    const key = seriesKey(point.node, point.point);
    const attributes = { type: "button", class: "value", "data-key": key, "aria-pressed": String(key === this.selected), title: `${t("values.show", { name: nameOf(point) })} (${point.point})` };
    const button = element("button", attributes, parts.mark, name, parts.gauge, parts.number, element("span", { class: "unit" }, unitText(point.unit)));
    button.addEventListener("click", () => this.chosen(point));
    this.rows.set(key, { ...parts, button });
    return button;
  }

  paint(point) {
    const key = seriesKey(point.node, point.point);
    const row = this.rows.get(key);
    if (!row) return;
    const age = point.time === null ? null : (now() - point.time) / 1000;
    const old = age !== null && age > Math.max(OLD, 3 * (point.period ?? 0));
    const quality = point.quality ?? "good";
    row.button.dataset.quality = quality.split(":")[0];
    row.button.dataset.old = String(old);
    row.button.dataset.empty = String(point.value === null);
    write(row.number, point.value === null ? "–" : valueText(point, point.value));
    const remarks = [qualityText(quality), old ? t("values.age", { duration: duration(age) }) : "", age === null ? t("values.no_value") : ""];
    write(row.remark, remarks.filter(Boolean).join(" · "));
    this.mark(row, this.alarmed?.get(key));
    const marker = row.gauge.querySelector(".marker");
    if (marker) {
      marker.hidden = point.value === null;
      if (point.value !== null) marker.style.left = `${place(point, point.value)}%`;
    }
  }

  mark(row, priority) {
    if (row.mark.dataset.priority === (priority ?? "")) return;
    row.mark.dataset.priority = priority ?? "";
    row.mark.replaceChildren(...(priority ? [symbol(priority, { tiny: true }), element("span", { class: "unseen" }, t("priority." + priority))] : []));
  }
}

function place(point, value) {
  const [low, high] = point.range;
  return Math.min(100, Math.max(0, ((value - low) / (high - low)) * 100));
}

function gauge(point) {
  const made = element("span", { class: "gauge", "aria-hidden": "true" });
  for (const { kind, limit } of point.limits) {
    if (kind === "equals") continue;
    const at = place(point, limit);
    const beyond = element("i", { class: "beyond" });
    beyond.style.left = kind === "above" ? `${at}%` : "0";
    beyond.style.width = `${kind === "above" ? 100 - at : at}%`;
    const tick = element("i", { class: "limit" });
    tick.style.left = `${at}%`;
    made.append(beyond, tick);
  }
  made.append(element("i", { class: "marker" }));
  return made;
}
