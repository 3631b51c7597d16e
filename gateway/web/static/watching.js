// Every node, the worst first, and what nobody is watching.

import { byId, element } from "./dom.js";
import { account, entered, failure } from "./frame.js";
import { get, post } from "./server.js";
import { clockTime, duration, inLanguage, moment, qualityText, t, unitText, valueText } from "./words.js";

const AGAIN = 10000; // ms
const NAMED = 12; // points of a node that are named in the list of what nobody watches
const SKEW = 2000; // ms from which on the gateway flags readings
const OWN = ["outbox/depth", "outbox/oldest", "host/temperature", "host/undervoltage", "host/throttled", "host/memory_available", "disk/free", "disk/wear", "clock/offset"];
const RANK = { offline: 0, silent: 0, unknown: 2, online: 3 };

let known = { nodes: [], missing: new Map(), points: new Map(), alarms: new Map() };
let only = localStorage.getItem("muki.nodes.problems") === "yes";
byId("find").value = localStorage.getItem("muki.nodes.find") ?? "";

const gone = (node) => node.status === "offline" || node.status === "silent";
const malfunctions = (node) => known.alarms.get(node.node) ?? [];
// What a machine does not have (`not_available` of a node about itself) is no blind spot.
const bad = (node) => (known.points.get(node.node) ?? []).filter((point) => point.asset !== node.node && point.quality?.startsWith("bad"));
const small = (text) => element("span", { class: "small" }, text);

function problems(node) {
  const told = [];
  if (node.approved === false) told.push(t("nodes.unapproved"));
  if (node.absent.length > 0) told.push(t("nodes.absent", { names: node.absent.join(", ") }));
  if (known.missing.get(node.node)) told.push(t("watching.gaps", { count: known.missing.get(node.node) }));
  if (node.clock_synchronised === false) told.push(t("nodes.clock"));
  if (Math.abs(node.skew_ms ?? 0) > SKEW) told.push(t("watching.skew", { duration: duration(Math.abs(node.skew_ms) / 1000) }));
  for (const alarm of malfunctions(node)) told.push(inLanguage(alarm.title, alarm.definition));
  return told;
}

const serious = (node) => node.approved === false || node.absent.length > 0 || malfunctions(node).length > 0;
const troubled = (node) => gone(node) || problems(node).length > 0;
const rank = (node) => (gone(node) ? 0 : problems(node).length > 0 ? 1 : RANK[node.status]);

function own(node) {
  const points = new Map((known.points.get(node.node) ?? []).map((point) => [point.point, point]));
  const pairs = [];
  for (const signal of OWN) {
    const point = points.get(`${node.node}/${signal}`);
    if (!point || point.value === null) continue;
    const quality = qualityText(point.quality ?? "");
    pairs.push(element("dt", {}, inLanguage(point.description, signal)));
    pairs.push(element("dd", {}, `${valueText(point, point.value)} ${unitText(point.unit)}${quality ? ` ⚠ ${quality}` : ""}`));
  }
  return pairs.length > 0 ? element("dl", {}, ...pairs) : null;
}

function card(node) {
  const made = element("li", { "data-node": node.node, "data-priority": gone(node) ? "high" : serious(node) ? "medium" : null });
  made.append(element("h3", {}, `${node.node} · ${troubled(node) ? "⚠ " : ""}${t("status." + node.status)}`));
  made.append(small(node.last_seen ? t("nodes.seen", { duration: duration((Date.now() - node.last_seen) / 1000) }) : t("nodes.never")));
  for (const text of problems(node)) made.append(small(`⚠ ${text}`));
  const facts = [node.software, t("watching.points", { count: node.points }), node.boot ? t("watching.boot", { boot: node.boot.slice(0, 12) }) : "", node.since ? t("watching.since", { time: moment(node.since, Date.now()) }) : ""];
  made.append(small(facts.filter(Boolean).join(" · ")));
  if (node.models.length > 0) made.append(small(t("watching.models", { names: node.models.join(", ") })));
  const values = own(node);
  if (values) made.append(values);
  if (node.approved === false) {
    const button = element("button", { type: "button" }, t("watching.approve"));
    button.addEventListener("click", () => approve(node.node));
    made.append(button);
  }
  return made;
}

function blind() {
  const lines = [];
  for (const node of known.nodes) {
    if (gone(node)) lines.push(element("li", {}, `⚠ ${node.node}`, small(t("watching.gone", { count: node.points, time: moment(node.last_seen, Date.now()) }))));
    const away = node.absent.map((name) => [name, t("watching.not_coming")]);
    const untrusted = gone(node) ? [] : bad(node).map((point) => [point.point, qualityText(point.quality)]);
    const all = [...away, ...untrusted];
    for (const [name, why] of all.slice(0, NAMED)) lines.push(element("li", {}, `⚠ ${node.node} · ${name}`, small(why)));
    if (all.length > NAMED) lines.push(element("li", {}, `${node.node}: ${t("watching.more", { count: all.length - NAMED })}`));
  }
  byId("blind").replaceChildren(...(lines.length > 0 ? lines : [element("li", {}, t("watching.all_watched"))]));
}

function show() {
  const text = byId("find").value.trim().toLowerCase();
  const told = [...known.nodes].sort((one, other) => rank(one) - rank(other) || one.node.localeCompare(other.node));
  const chosen = told.filter((node) => (!only || troubled(node)) && `${node.node} ${node.software}`.toLowerCase().includes(text));
  const focused = document.activeElement?.closest?.("li[data-node]")?.dataset.node;
  byId("nodes").replaceChildren(...chosen.map(card));
  if (focused) document.querySelector(`li[data-node="${focused}"] button`)?.focus();
  byId("none").hidden = chosen.length > 0;
  byId("problems").setAttribute("aria-pressed", String(only));
  const numbers = { online: told.filter((node) => node.status === "online").length, all: told.length, problems: told.filter(troubled).length };
  byId("summary").textContent = `${t("watching.summary", numbers)} · ${t("watching.read", { time: clockTime(Date.now()) })}`;
  const asks = told.some((node) => node.approved === false) && !account.known.name;
  for (const part of document.querySelectorAll(".who")) part.hidden = !asks;
  blind();
}

const grouped = (rows) => {
  const groups = new Map();
  for (const row of rows) groups.set(row.node, [...(groups.get(row.node) ?? []), row]);
  return groups;
};

async function look() {
  try {
    const [nodes, ledger, points, alarms] = await Promise.all([get("/nodes"), get("/ledger"), get("/points").catch(() => []), get("/alarms")]);
    const missing = new Map();
    for (const line of ledger) missing.set(line.node, (missing.get(line.node) ?? 0) + line.missing);
    known = { nodes, missing, points: grouped(points), alarms: grouped(alarms.filter((alarm) => alarm.signal_class === "malfunction" && alarm.active)) };
    byId("error").textContent = "";
    show();
  } catch (error) {
    byId("error").textContent = t("watching.failed", { reason: failure(error) });
  }
}

async function approve(node) {
  const who = byId("who").value.trim();
  if (!account.known.name && !who) {
    byId("error").textContent = t("watching.need_name");
    byId("who").focus();
    return;
  }
  if (!(await account.ready())) return;
  try {
    await post(`/nodes/${node}/approve`, { who, note: "" });
    await look();
    setTimeout(look, 1500); // the gateway follows within a second
  } catch (error) {
    byId("error").textContent = failure(error);
  }
}

byId("find").addEventListener("input", () => {
  localStorage.setItem("muki.nodes.find", byId("find").value);
  show();
});
byId("problems").addEventListener("click", () => {
  only = !only;
  localStorage.setItem("muki.nodes.problems", only ? "yes" : "no");
  show();
});

await entered();
await look();
setInterval(look, AGAIN);
