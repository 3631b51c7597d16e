// The nodes of the site: grey while they tell.

import { byId, element } from "./dom.js";
import { now } from "./server.js";
import { duration, t } from "./words.js";

const ABSENT = 3; // points that are named

export class NodeList {
  constructor() {
    this.nodes = new Map();
    this.missing = new Map();
    setInterval(() => this.draw(), 5000);
  }

  replace(nodes, ledger) {
    this.nodes = new Map(nodes.map((node) => [node.node, node]));
    this.missing = new Map();
    for (const { node, missing } of ledger) this.missing.set(node, (this.missing.get(node) ?? 0) + missing);
    this.draw();
  }

  heard(name, time) {
    const node = this.nodes.get(name);
    if (node) node.last_seen = Math.max(node.last_seen, time);
  }

  draw() {
    const lines = [...this.nodes.values()].map((node) => this.line(node));
    byId("nodes").replaceChildren(...lines);
    byId("nodes-none").hidden = lines.length > 0;
  }

  line(node) {
    const blind = node.status === "silent" || node.status === "offline";
    const seen = node.last_seen ? t("nodes.seen", { duration: duration((now() - node.last_seen) / 1000) }) : t("nodes.never");
    const made = element("li", { "data-status": node.status, "data-priority": blind ? "high" : null });
    const small = (text) => made.append(element("span", { class: "small" }, text));
    made.append(element("strong", {}, node.node), ` ${blind ? "⚠ " : ""}${t("status." + node.status)}`);
    small(seen);
    const missing = this.missing.get(node.node) ?? 0;
    if (missing > 0) small(`⚠ ${t("nodes.missing", { count: missing })}`);
    if (node.approved === false) small(`⚠ ${t("nodes.unapproved")}`);
    const absent = node.absent ?? [];
    if (absent.length > 0) {
      const names = absent.slice(0, ABSENT).join(", ");
      small(`⚠ ${absent.length > ABSENT ? t("nodes.absent_more", { names, count: absent.length - ABSENT }) : t("nodes.absent", { names })}`);
    }
    if (node.clock_synchronised === false) small(`⚠ ${t("nodes.clock")}`);
    return made;
  }
}
