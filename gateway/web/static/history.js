// What happened to alarms, newest first.

import { byId, element, write } from "./dom.js";
import { get, now } from "./server.js";
import { storyOf, titleOf } from "./standing.js";
import { moment, reasonText, t, unitText, valueText } from "./words.js";

const PAGE = 30;

export class History {
  constructor({ pointOf }) {
    this.pointOf = pointOf;
    this.entries = [];
    this.next = null;
    this.text = byId("history-text");
    byId("history-more").addEventListener("click", () => this.more());
    byId("history-search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.refresh().catch((error) => this.tell(error));
    });
    this.text.addEventListener("input", () => this.later());
  }

  async read(before = null) {
    const text = this.text.value.trim();
    const page = await get("/alarms/history", { limit: PAGE, before, text: text || null });
    return text === this.text.value.trim() ? page : null; // another search is under way
  }

  async refresh() {
    const page = await this.read();
    if (page === null) return;
    this.entries = page.entries;
    this.next = page.next;
    this.draw();
  }

  // Several alarms, or letters, at once ask for one refresh.
  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.refresh().catch((error) => this.tell(error)), 400);
  }

  tell(error) {
    write(byId("history-told"), error ? t("history.failed", { reason: reasonText(error.reason ?? String(error)) }) : "");
  }

  async more() {
    const page = await this.read(this.next).catch((error) => this.tell(error));
    if (!page) return;
    this.entries.push(...page.entries);
    this.next = page.next;
    this.draw();
  }

  draw() {
    byId("history-rows").replaceChildren(...this.entries.map((entry) => this.row(entry)));
    const searching = this.text.value.trim() !== "";
    byId("history-none").hidden = this.entries.length > 0 || searching;
    write(byId("history-told"), !searching || this.entries.length > 0 ? "" : this.next === null ? t("history.not_found") : t("history.not_yet"));
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
      element("td", {}, element("a", { href: storyOf(entry) }, titleOf(entry)), small(`${t("priority." + entry.priority)} · ${entry.point} · ${entry.node}`)),
      element("td", {}, value),
      element("td", {}, entry.who ?? "", small(entry.note)),
    );
  }
}
