// The trend of one point: mean as a line, minimum to maximum as a band, its limits dashed, and the newest readings as they come.

import { byId, write } from "./dom.js";
import { get, now } from "./server.js";
import { clockTime, dayText, limitText, measured, minuteTime, moment, reasonText, settings, t, unitText } from "./words.js";
import { nameOf } from "./values.js";

const RANGES = { "1m": 60, "15m": 900, "1h": 3600, "8h": 28800, "7d": 604800, "30d": 2592000, "1y": 31622400 };
const BUCKETS = 400;
const REFRESH = 300000; // ms: what arrived late is read again

// Values without a neighbour, which no line would show.
const alone = (values) => values.flatMap((value, place) => (value !== null && (values[place - 1] ?? null) === null && (values[place + 1] ?? null) === null ? [place] : []));

export class Trend {
  constructor() {
    this.point = null;
    this.range = "15m";
    this.place = byId("chart");
    this.buttons = [...document.querySelectorAll("[data-range]")];
    for (const button of this.buttons) button.addEventListener("click", () => this.show(this.point, button.dataset.range));
    new ResizeObserver(() => this.resize()).observe(this.place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.rebuild());
    setInterval(() => this.load(), REFRESH);
    setInterval(() => this.slide(), 1000);
  }

  show(point, range = this.range) {
    this.range = range;
    for (const button of this.buttons) button.setAttribute("aria-pressed", String(button.dataset.range === range));
    if (!point) return;
    this.point = point;
    write(byId("chart-point"), `${nameOf(point)} · ${point.point} · ${point.node}`);
    this.load();
  }

  async load() {
    if (!this.point) return;
    const { node, point } = this.point;
    const end = Math.ceil(now());
    const start = end - RANGES[this.range] * 1000;
    const asked = `${node} ${point} ${this.range}`;
    this.asked = asked;
    try {
      const answer = await get("/readings", { node, point, start, end, buckets: BUCKETS });
      if (this.asked === asked) this.take(answer);
    } catch (error) {
      if (this.asked === asked) this.tell(t("chart.failed", { reason: reasonText(error.reason ?? String(error)) }));
    }
  }

  take({ width, buckets }) {
    this.width = width / 1000;
    this.columns = [[], [], [], []];
    this.count = 1;
    for (const slot of buckets) this.push((slot.time + width / 2) / 1000, slot.mean, slot.minimum, slot.maximum);
    this.count = buckets.at(-1)?.samples ?? 1;
    this.tell(buckets.length ? "" : t("chart.empty"));
    this.rebuild();
  }

  tell(message) {
    write(byId("chart-message"), message);
    byId("chart-message").hidden = message === "";
  }

  // A hole longer than slots and readings explain is drawn as a hole.
  push(time, mean, minimum, maximum) {
    const [times, means, lows, highs] = this.columns;
    const last = times.at(-1);
    const longest = Math.max(2.5 * this.width, 3.5 * (this.point.period ?? 5));
    if (last !== undefined && time - last > longest) {
      times.push((last + time) / 2);
      for (const column of [means, lows, highs]) column.push(null);
    }
    times.push(time);
    means.push(mean);
    lows.push(minimum);
    highs.push(maximum);
  }

  // A reading from the stream widens the last slot, or opens the next one.
  append(point) {
    if (!this.point || !this.columns || point.node !== this.point.node || point.point !== this.point.point) return;
    this.point = point;
    if (point.value === null || (point.quality ?? "good").startsWith("bad")) return;
    const [times, means, lows, highs] = this.columns;
    const time = point.time / 1000;
    const last = times.length - 1;
    if (last >= 0 && time < times[last]) return;
    if (last >= 0 && means[last] !== null && time - times[last] < this.width / 2) {
      this.count += 1;
      means[last] += (point.value - means[last]) / this.count;
      lows[last] = Math.min(lows[last], point.value);
      highs[last] = Math.max(highs[last], point.value);
    } else {
      this.push(this.range === "15m" ? time : time + this.width / 2, point.value, point.value, point.value);
      this.count = 1;
    }
    this.tell("");
    this.slide();
  }

  slide() {
    if (!this.plot || !this.columns) return;
    const end = now() / 1000;
    const start = end - RANGES[this.range];
    const [times] = this.columns;
    let gone = 0;
    while (gone < times.length && times[gone] < start - this.width) gone += 1;
    if (gone) this.columns = this.columns.map((column) => column.slice(gone));
    this.plot.batch(() => {
      this.plot.setData(this.columns, false);
      this.plot.setScale("x", { min: start, max: end });
    });
  }

  rebuild() {
    this.plot?.destroy();
    this.plot = null;
    if (!this.columns) return;
    this.plot = new uPlot(this.options(), this.columns, this.place);
    this.slide();
  }

  resize() {
    if (this.plot) this.plot.setSize({ width: this.place.clientWidth, height: 300 });
  }

  limits() {
    return this.point.limits.filter(({ kind }) => kind !== "equals").map(({ limit }) => limit);
  }

  options() {
    const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const font = "12px system-ui, sans-serif";
    const axis = { stroke: colour("--text-soft"), font, grid: { stroke: colour("--line-soft"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
    const days = RANGES[this.range] > 172800;
    return {
      width: this.place.clientWidth,
      height: 300,
      padding: [12, 12, 0, 0],
      legend: { show: false },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), settings.time_zone),
      cursor: { y: false, drag: { x: false, y: false } },
      scales: { y: { range: (plot, low, high) => this.span(low, high) } },
      axes: [
        { ...axis, space: days ? 70 : 60, values: (plot, ticks) => ticks.map((tick) => (days ? dayText(tick * 1000) : minuteTime(tick * 1000))), incrs: days ? [86400, 7 * 86400, 30 * 86400] : [10, 60, 300, 600, 900, 1800, 3600, 7200] },
        { ...axis, size: 58, values: (plot, ticks) => ticks.map(limitText) },
      ],
      series: [
        {},
        { stroke: colour("--series"), width: 2, points: { size: 5, filter: (plot, index, show) => (show ? null : alone(plot.data[index])) } },
        { stroke: "transparent", points: { show: false } },
        { stroke: "transparent", points: { show: false } },
      ],
      bands: [{ series: [3, 2], fill: colour("--band") }],
      hooks: { draw: [(plot) => this.drawLimits(plot, colour("--limit"))], setCursor: [(plot) => this.readout(plot)] },
    };
  }

  // The limits that matter are in the picture when the values come near them.
  span(low, high) {
    if (low === null || high === null) return [0, 1];
    let [bottom, top] = [low, high];
    const spread = high - low || Math.abs(high) * 0.1 || 1;
    for (const limit of this.limits()) {
      if (limit > top && limit - top < 1.5 * spread) top = limit;
      if (limit < bottom && bottom - limit < 1.5 * spread) bottom = limit;
    }
    const margin = (top - bottom || spread) * 0.08;
    return [bottom - margin, top + margin];
  }

  drawLimits(plot, colour) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.beginPath();
    ctx.strokeStyle = colour;
    ctx.lineWidth = 1.5 * devicePixelRatio;
    ctx.setLineDash([7 * devicePixelRatio, 5 * devicePixelRatio]);
    for (const limit of this.limits()) {
      const y = plot.valToPos(limit, "y", true);
      if (y < bbox.top || y > bbox.top + bbox.height) continue;
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
    }
    ctx.stroke();
    ctx.restore();
  }

  readout(plot) {
    const index = plot.cursor.idx;
    const [times, means, lows, highs] = this.columns;
    if (index === null || index === undefined || means[index] === null || means[index] === undefined) {
      write(byId("chart-readout"), "");
      return;
    }
    const at = RANGES[this.range] > 172800 ? moment(times[index] * 1000, now()) : clockTime(times[index] * 1000);
    const unit = unitText(this.point.unit);
    write(byId("chart-readout"), `${at}   ${measured(means[index])} ${unit}   (${measured(lows[index])} – ${measured(highs[index])})`);
  }
}
