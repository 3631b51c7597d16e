// The trend around one event of an alarm, with a mark for everything that happened to it.

import { Trend } from "./chart.js";
import { get, now } from "./server.js";
import { reasonText, t } from "./words.js";

const LEAST = 600000; // ms before and behind
const MOST = 12 * 3600000;

export class Around extends Trend {
  // `begin` to `end` (Unix ms) is what the event lasted; `marks` are times of everything that happened.
  look(point, { begin, end, marks }) {
    const margin = Math.min(MOST, Math.max(LEAST, (end - begin) / 2));
    this.window = [begin - margin, Math.min(now(), Math.min(end, begin + MOST) + margin)];
    this.marks = marks;
    this.show(point);
  }

  async load() {
    if (!this.point || !this.window) return;
    const { node, point } = this.point;
    const [start, end] = this.window.map(Math.round);
    try {
      this.take(await get("/readings", { node, point, start, end, buckets: 400 }));
    } catch (error) {
      this.tell(t("chart.failed", { reason: reasonText(error.reason ?? String(error)) }));
    }
  }

  slide() {
    if (!this.plot || !this.columns) return;
    const [min, max] = this.window.map((ms) => ms / 1000);
    this.plot.batch(() => {
      this.plot.setData(this.columns, false);
      this.plot.setScale("x", { min, max });
    });
  }

  options() {
    const options = super.options();
    options.hooks.draw.push((plot) => this.drawMarks(plot));
    return options;
  }

  drawMarks(plot) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.beginPath();
    ctx.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--text").trim();
    ctx.lineWidth = 1.5 * devicePixelRatio;
    for (const mark of this.marks) {
      const x = plot.valToPos(mark / 1000, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
    }
    ctx.stroke();
    ctx.restore();
  }
}
