// What happened to alarms, newest first.

import { titleOf } from "./alarms.js";
import { byId, element } from "./dom.js";
import { get, now } from "./server.js";
import { moment, t, unitText, valueText } from "./words.js";

const PAGE = 30;

export class History {
  constructor({ pointOf }) {
    this.pointOf = pointOf;
    this.entries = [];
    this.next = null;
    byId("history-more").addEventListener("click", () => this.more());
  }

  async refresh() {
    const page = await get("/alarms/history", { limit: PAGE });
    this.entries = page.entries;
    this.next = page.next;
    this.draw();
  }

  // Several alarms at once ask for one refresh.
  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.refresh().catch(() => undefined), 400);
  }

  async more() {
    const page = await get("/alarms/history", { limit: PAGE, before: this.next }).catch(() => null);
    if (page === null) return;
    this.entries.push(...page.entries);
    this.next = page.next;
    this.draw();
  }

  draw() {
    byId("history-rows").replaceChildren(...this.entries.map((entry) => this.row(entry)));
    byId("history-none").hidden = this.entries.length > 0;
    byId("history-more").hidden = this.next === null;
  }

  row(entry) {
    const small = (text) => (text ? element("span", { class: "small" }, text) : null);
    const point = this.pointOf(entry.node, entry.point);
    const value = entry.value === null ? "" : `${valueText(point, entry.value)} ${unitText(point?.unit)}`;
    return element(
      "tr",
      {},
      element("td", {}, moment(entry.at, now()), small(entry.late ? t("history.late") : ""), small(entry.shadow ? t("history.shadow") : "")),
      element("td", {}, t("event." + entry.what)),
      element("td", {}, titleOf(entry), small(`${t("priority." + entry.priority)} · ${entry.point} · ${entry.node}`)),
      element("td", {}, value),
      element("td", {}, entry.who ?? "", small(entry.note)),
    );
  }
}
