// One alarm's own story: what it is, everything that happened to it and who did it, the trend around it, its pictures, and what people say of it.

import { limitOf } from "./alarm_row.js";
import { ActDialog, remember, remembered } from "./dialog.js";
import { byId, element, symbol, write } from "./dom.js";
import { account, entered, failure } from "./frame.js";
import { get, now, post, Stream } from "./server.js";
import { actionsOf, titleOf, UNACKNOWLEDGED } from "./standing.js";
import { Around } from "./story_chart.js";
import { duration, inLanguage, minuteTime, moment, qualityText, t, unitText, valueText } from "./words.js";

const PAGE = 50;
const key = decodeURIComponent(location.pathname.split("/").pop());
const at = `/alarms/${encodeURIComponent(key)}`;
const chart = new Around();
const dialog = new ActDialog({ account, done: () => read() });
let alarm = null;
let point = null;
let entries = [];
let next = null;
let pictures = new Set();
let remarks = [];
let chosen = null; // the entry of the event that is looked at
let verdict = null;

const say = (text) => write(byId("error"), text);
const small = (text) => (text ? element("span", { class: "small" }, text) : null);
const valueOf = (value) => (value === null ? "" : `${valueText(point, value)} ${unitText(point?.unit)}`.trim());

async function read() {
  try {
    const [now_, page, said, told, seen] = await Promise.all([
      get(at),
      get("/alarms/history", { key, limit: PAGE }),
      get(`${at}/remarks`),
      get(`${at}/notices`),
      get("/evidence", { key, unreviewed: false }),
    ]);
    [alarm, entries, next, remarks] = [now_, page.entries, page.next, said];
    pictures = new Set(seen.filter((one) => one.deleted === null).map((one) => one.event));
    point ??= await get("/points", { node: alarm.node }).then((points) => points.find((one) => one.point === alarm.point) ?? null).catch(() => null);
    draw(told);
    say("");
  } catch (error) {
    say(t("dialog.failed", { reason: failure(error) }));
  }
}

function draw(told) {
  byId("story").dataset.priority = alarm.priority;
  byId("story").dataset.active = String(alarm.active);
  byId("story-mark").replaceChildren(symbol(alarm.priority));
  write(byId("story-title"), titleOf(alarm));
  write(byId("story-state"), t("state." + alarm.state));
  byId("story-actions").replaceChildren(
    ...actionsOf(alarm).map((action) => {
      const button = element("button", { type: "button", "data-action": action }, t("alarms." + action));
      button.addEventListener("click", () => dialog.open(alarm, action));
      return button;
    }),
  );
  byId("story-facts").replaceChildren(...facts().map(([name, text]) => element("div", {}, element("dt", {}, name), element("dd", {}, text))));
  const known = chosen && entries.find((entry) => entry.cursor === chosen.cursor);
  chosen = known ?? entries.find((entry) => entry.what === "active") ?? null;
  drawLine();
  drawRemarks();
  const lines = told.map((notice) => element("li", {}, moment(notice.sent, now()), " · ", notice.channel, small(notice.after ? t("story.after", { duration: duration(notice.after) }) : "")));
  byId("story-told").replaceChildren(...lines);
  byId("story-told-none").hidden = lines.length > 0;
  around();
}

function facts() {
  const unit = unitText(point?.unit);
  const found = [
    [t("alarms.priority"), `${t("priority." + alarm.priority)} · ${t("class." + alarm.signal_class)}`],
    [t("story.where"), `${alarm.point || alarm.definition} · ${alarm.node}`],
    [t("alarms.value"), [valueOf(alarm.value), limitOf(alarm, point, unit), qualityText(alarm.quality)].filter(Boolean).join(" · ")],
    [alarm.active ? t("alarms.since") : t("story.last"), alarm.since ? `${alarm.active ? `${duration((now() - alarm.since) / 1000)} · ` : ""}${moment(alarm.since, now())}` : ""],
    [t("alarms.do"), inLanguage(alarm.action, t("alarms.no_action"))],
    [t("story.consequence"), inLanguage(alarm.consequence)],
    [t("story.respond"), alarm.response_time ? duration(alarm.response_time) : ""],
    [t("story.source"), alarm.source],
    [t("story.answered"), alarm.acknowledged_by && !UNACKNOWLEDGED.has(alarm.state) ? `${alarm.acknowledged_by} ${moment(alarm.acknowledged, now())}` : ""],
    [t("story.until"), alarm.shelved_until ? `${minuteTime(alarm.shelved_until)} · ${alarm.shelved_by}` : ""],
  ];
  return found.filter(([, text]) => text);
}

function drawLine() {
  byId("story-line").replaceChildren(...entries.map(line));
  byId("story-more").hidden = next === null;
}

function line(entry) {
  const isChosen = chosen !== null && entry.cursor === chosen.cursor;
  const who = entry.who ? `${entry.who}${entry.note ? ` · ${entry.note}` : ""}` : "";
  const until = entry.until ? t("alarms.until", { time: minuteTime(entry.until) }) : "";
  const remark = [valueOf(entry.value), qualityText(entry.quality), entry.late ? t("history.late") : "", entry.shadow ? t("history.shadow") : "", until].filter(Boolean).join(" · ");
  const what = element("span", {}, element("strong", {}, t("event." + entry.what)), small(remark), small(who));
  const made = element("li", { "data-chosen": String(isChosen), "data-what": entry.what }, element("span", { class: "when" }, moment(entry.at, now())), what);
  if (entry.what === "active") made.append(lookButton(entry, isChosen));
  const seen = eventPictures(entry);
  if (seen.length) made.append(element("div", { class: "buttons" }, ...seen.map(pictureButton)));
  return made;
}

function lookButton(entry, isChosen) {
  const button = element("button", { type: "button", "aria-pressed": String(isChosen), "aria-label": `${t("story.look")}: ${moment(entry.at, now())}` }, t("story.look"));
  button.addEventListener("click", () => {
    chosen = entry;
    verdict = null;
    drawLine();
    drawRemarks();
    around();
    byId("story-line").querySelector('[aria-pressed="true"]')?.focus();
  });
  return button;
}

const eventPictures = (entry) => (entry.what === "active" && pictures.has(entry.event) ? [entry.event] : []);

// A look at a picture is noted with a name: it is loaded only when somebody asks for it.
function pictureButton(event) {
  const button = element("button", { type: "button" }, t("story.picture"));
  button.addEventListener("click", async () => {
    if (!(await account.ready())) return;
    byId("picture").alt = `${titleOf(alarm)} · ${alarm.node}`;
    byId("picture").src = `/api/v1/evidence/${alarm.node}/${event}`;
    byId("picture-dialog").showModal();
  });
  return button;
}

// The stretch that the chosen event lasted, up to its return, and a mark for each thing that happened.
function around() {
  if (!chosen || !point) return;
  const returned = entries.filter((entry) => entry.what === "normal" && entry.at >= chosen.at).at(-1);
  const lasts = chosen.event === alarm.event && alarm.active;
  chart.look(point, { begin: chosen.at, end: lasts || !returned ? now() : returned.at, marks: entries.map((entry) => entry.at) });
}

function drawRemarks() {
  byId("story-form").hidden = chosen === null;
  write(byId("story-event"), chosen === null ? "" : t("story.event", { when: moment(chosen.at, now()) }));
  const counts = chosen && remarks.find((remark) => remark.event === chosen.event && remark.verdict !== null)?.verdict;
  for (const button of byId("story-verdicts").children) button.setAttribute("aria-pressed", String(button.dataset.verdict === (verdict ?? counts)));
  byId("story-remarks").replaceChildren(
    ...remarks.map((remark) => {
      const told = [remark.verdict && t("review." + remark.verdict), remark.work_order && `${t("story.order")}: ${remark.work_order}`, remark.note].filter(Boolean).join(" · ");
      return element("li", {}, told, small(`${remark.who} · ${moment(remark.at, now())}`));
    }),
  );
}

async function tell() {
  if (!(await account.ready())) return;
  signed();
  const who = byId("story-who").value.trim();
  const [order, note] = [byId("story-order").value.trim(), byId("story-note").value.trim()];
  if (!account.known.name && !who) {
    say(t("reason.who_required"));
    byId("story-who").focus();
    return;
  }
  if (!verdict && !order && !note) {
    say(t("story.nothing"));
    return;
  }
  try {
    remarks = await post(`${at}/remarks`, { event: chosen.event, verdict, work_order: order, note, who });
    remember(who);
    verdict = null;
    byId("story-order").value = byId("story-note").value = "";
    say("");
    drawRemarks();
  } catch (error) {
    say(t("dialog.failed", { reason: failure(error) }));
  }
}

function signed() {
  const name = account.known.name;
  byId("story-who").hidden = Boolean(name);
  write(byId("story-who-label"), name ? t("dialog.signed", { name }) : t("dialog.who"));
}

function connection(state) {
  document.body.dataset.connection = state;
  byId("connection").dataset.state = state;
  write(byId("connection"), t("connection." + state));
  byId("banner").hidden = state !== "lost";
}

await entered();
signed();
byId("story-who").value = remembered();
for (const button of byId("story-verdicts").children) {
  button.addEventListener("click", () => {
    verdict = button.dataset.verdict;
    drawRemarks();
  });
}
byId("story-form").addEventListener("submit", (event) => {
  event.preventDefault();
  tell();
});
byId("story-more").addEventListener("click", async () => {
  const page = await get("/alarms/history", { key, limit: PAGE, before: next }).catch((error) => say(failure(error)));
  if (!page) return;
  entries.push(...page.entries);
  next = page.next;
  drawLine();
});
byId("story-bundle").addEventListener("click", async () => {
  if (!(await account.ready())) return;
  const who = account.known.name || byId("story-who").value.trim();
  if (!who) {
    say(t("reason.who_required"));
    byId("story-who").focus();
    return;
  }
  location.assign(`/api/v1${at}/bundle?who=${encodeURIComponent(who)}`);
});
byId("picture-close").addEventListener("click", () => byId("picture-dialog").close());

new Stream({
  opened: () => {
    connection("live");
    read();
  },
  lost: () => connection("lost"),
  beat: () => undefined,
  event: (kind, data) => {
    if (kind === "alarm" && data.key === key) read();
  },
});
