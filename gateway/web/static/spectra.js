// A spectrum as its node tells it line by line: the newest over the median of the past, cursors at the orders of faults, and a waterfall.

import { byId, element, write } from "./dom.js";
import { get, now } from "./server.js";
import { dayText, limitText, minuteTime, reasonText, t, unitText } from "./words.js";

const PAST = { "1h": 3600, "8h": 28800, "7d": 604800, "30d": 2592000, "1y": 31622400 };
const ROWS = 40;
const HARMONICS = 3;
const LOUD = 6; // dB over the median that are shown as abnormal
const AGAIN = 30000; // ms

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export class SpectraPanel {
  constructor(path) {
    this.path = path;
    this.past = "1h";
    this.which = byId("spectra-which");
    this.which.addEventListener("change", () => this.load());
    this.buttons = [...document.querySelectorAll("[data-past]")];
    for (const button of this.buttons) {
      button.addEventListener("click", () => {
        this.past = button.dataset.past;
        for (const other of this.buttons) other.setAttribute("aria-pressed", String(other === button));
        this.load();
      });
    }
    new ResizeObserver(() => this.told && this.draw()).observe(byId("spectrum"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.told && this.draw());
    setInterval(() => !byId("spectra").hidden && this.load(), AGAIN);
  }

  // `spectra`: input -> kinds.
  offer(spectra) {
    const wanted = Object.entries(spectra).flatMap(([input, kinds]) => kinds.map((kind) => `${kind} ${input}`));
    byId("spectra").hidden = wanted.length === 0;
    if (wanted.join() === [...this.which.options].map((option) => option.value).join()) return;
    this.which.replaceChildren(...wanted.map((value) => element("option", { value }, `${t("asset." + value.split(" ")[0])} · ${value.split(" ")[1]}`)));
    this.load();
  }

  async load() {
    const [kind, point] = this.which.value.split(" ");
    if (!point) return;
    const end = Math.ceil(now());
    const asked = `${this.which.value} ${this.past}`;
    this.asked = asked;
    try {
      const told = await get(`${this.path}/spectra`, { point, kind, start: end - PAST[this.past] * 1000, end, rows: ROWS });
      if (this.asked !== asked) return;
      this.told = told;
      write(byId("spectra-message"), told.rows.length ? "" : t("chart.empty"));
      this.draw();
    } catch (error) {
      write(byId("spectra-message"), t("chart.failed", { reason: reasonText(error.reason ?? String(error)) }));
    }
  }

  // Cursors lie where faults show: multiples of their order, or of it times the speed where that is known.
  cursors() {
    if (this.told.axis !== "order") return [];
    return Object.entries(this.told.orders).flatMap(([line, order]) => Array.from({ length: HARMONICS }, (_, n) => ({ name: n === 0 ? line.toUpperCase() : `${n + 1}×`, at: order * (n + 1) })));
  }

  draw() {
    this.plot?.destroy();
    const { at, rows, median } = this.told;
    if (rows.length === 0) return;
    const place = byId("spectrum");
    const newest = rows.at(-1).values;
    const font = "12px system-ui, sans-serif";
    const axis = { stroke: colour("--text-soft"), font, grid: { stroke: colour("--line-soft"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
    const order = this.told.axis === "order";
    const unit = order ? t("asset.orders") : "Hz";
    this.plot = new uPlot(
      {
        width: place.clientWidth,
        height: 260,
        padding: [16, 12, 0, 0],
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false } },
        scales: { x: { time: false, distr: order ? 1 : 3 } },
        axes: [
          { ...axis, values: (plot, ticks) => ticks.map((tick) => (tick === null ? "" : limitText(tick))) },
          { ...axis, size: 64, values: (plot, ticks) => ticks.map(limitText) },
        ],
        series: [{}, { stroke: colour("--limit"), width: 1.5, dash: [7, 5], points: { show: false } }, { stroke: colour("--series"), width: 2, points: { show: false } }],
        hooks: {
          draw: [(plot) => this.drawCursors(plot)],
          setCursor: [
            (plot) => {
              const index = plot.cursor.idx;
              write(byId("spectrum-readout"), index === null || index === undefined || newest[index] === null ? "" : `${limitText(at[index])} ${unit}: ${limitText(Math.round(newest[index] * 1e4) / 1e4)} ${unitText(this.told.unit)}`);
            },
          ],
        },
      },
      [at, median, newest],
      place,
    );
    const names = this.cursors().filter(({ name }) => !name.endsWith("×"));
    write(byId("spectra-cursors"), names.map(({ name, at: where }) => `${name} ${limitText(where)}`).join(" · "));
    this.drawWaterfall();
  }

  drawCursors(plot) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = colour("--text-soft");
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.setLineDash([3 * devicePixelRatio, 4 * devicePixelRatio]);
    for (const { name, at } of this.cursors()) {
      const x = plot.valToPos(at, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.fillText(name, x + 2 * devicePixelRatio, bbox.top - 3 * devicePixelRatio);
    }
    ctx.restore();
  }

  // A row for each slot of time, the newest below; grey is the median of the past, dark is above it, and colour is LOUD dB above it or more.
  drawWaterfall() {
    const canvas = byId("waterfall");
    const { rows, median } = this.told;
    canvas.width = canvas.clientWidth * devicePixelRatio;
    canvas.height = canvas.clientHeight * devicePixelRatio;
    const ctx = canvas.getContext("2d");
    ctx.clearRect(0, 0, canvas.width, canvas.height);
    const [wide, high] = [canvas.width / median.length, canvas.height / rows.length];
    const [dark, loud] = [colour("--series"), colour("--high")];
    let louder = 0;
    rows.forEach(({ values }, row) =>
      values.forEach((value, column) => {
        if (value === null || !median[column]) return;
        const rise = 20 * Math.log10(Math.max(value, 1e-9) / median[column]);
        if (rise >= LOUD && row === rows.length - 1) louder += 1;
        ctx.globalAlpha = Math.min(1, Math.max(0.04, (rise + 6) / 24));
        ctx.fillStyle = rise >= LOUD ? loud : dark;
        ctx.fillRect(column * wide, row * high, Math.ceil(wide), Math.ceil(high));
      }),
    );
    const moment = (ms) => `${dayText(ms)} ${minuteTime(ms)}`;
    write(byId("waterfall-told"), t("asset.waterfall_told", { from: moment(rows[0].time), to: moment(rows.at(-1).time), loud: LOUD, count: louder }));
    canvas.dataset.rows = rows.length;
    canvas.dataset.louder = louder;
  }
}
