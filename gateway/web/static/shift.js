// What a shift hands over. The figures beside their targets: EEMUA 191 and ISA-18.2, as docs/shift.md cites them.

import { byId, element } from "./dom.js";
import { account, entered, failure } from "./frame.js";
import { get, post } from "./server.js";
import { dayText, duration, inLanguage, limitText, minuteTime, moment, settings, t } from "./words.js";

const AGAIN = 30000; // ms
let at = null; // a time in the shift that is shown, null for the one that runs
let told = null;

const percent = (share) => (share === null ? "–" : t("shift.percent", { value: limitText(Math.round(1000 * share) / 10) }));
const seconds = (value) => (value === null ? "–" : duration(value));
const number = (value) => limitText(value);

// [figure, how it is written, the target as text, whether a value is beyond it]
const FIGURES = [
  ["alarms", number, "", () => false],
  ["mean_rate", number, "≤ 1", (value) => value > 2],
  ["peak_rate", number, "≤ 10", (value) => value > 10],
  ["flood_share", percent, "< 1 %", (value) => value >= 0.01],
  ["chattering", (value) => number(value.length), "0", (value) => value.length > 0],
  ["stale", (value) => number(value.length), "< 5", (value) => value.length >= 5],
  ["bad_actor_share", percent, "", () => false],
  ["acknowledge_median", seconds, "", () => false],
  ["acknowledge_p90", seconds, "", () => false],
  ["unacknowledged", number, "0", (value) => value > 0],
];

const time = (ms) => moment(ms, Date.now());
const line = (text, small = "", priority = null) =>
  element("li", { "data-priority": priority }, text, small ? element("span", { class: "small" }, small) : null);
const title = (alarm) => inLanguage(alarm.title, alarm.definition);

function fill(id, lines) {
  byId(id).replaceChildren(...(lines.length > 0 ? lines : [line(t("shift.none"))]));
}

function standing(alarm) {
  const by = alarm.acknowledged_by ? ` · ${t("shift.by", { who: alarm.acknowledged_by })}` : "";
  const small = `${t("priority." + alarm.priority)} · ${t("state." + alarm.state)} · ${alarm.node}/${alarm.point} · ${t("shift.since", { time: time(alarm.since) })}${by}`;
  return line(title(alarm), alarm.note ? `${small} · ${alarm.note}` : small, alarm.priority);
}

function aside(alarm) {
  const until = alarm.shelved_until ? ` · ${t("shift.until", { time: time(alarm.shelved_until) })}` : "";
  const by = alarm.shelved_by ? ` · ${t("shift.by", { who: alarm.shelved_by })}` : "";
  return line(title(alarm), `${t("state." + alarm.state)} · ${alarm.node}/${alarm.point}${until}${by}${alarm.note ? ` · ${alarm.note}` : ""}`);
}

function blind(one) {
  const parts = [t("status." + one.status)];
  if (one.since !== null) parts.push(t("shift.since", { time: time(one.since) }), t("shift.silent", { points: one.points }));
  if (one.absent.length > 0) parts.push(t("shift.absent", { names: one.absent.join(", ") }));
  if (one.missing > 0) parts.push(t("shift.gaps", { count: one.missing }));
  return line(`⚠ ${one.node}`, parts.join(" · "));
}

function figures(values) {
  const rows = FIGURES.map(([name, write, target, beyond]) => {
    const value = values[name];
    return element("tr", {}, element("td", {}, t("shift." + name)), element("td", { class: value !== null && beyond(value) ? "beyond" : null }, write(value)), element("td", {}, target));
  });
  const shares = values.priorities === null ? "–" : Object.values(values.priorities).map(percent).join(" · ");
  rows.push(element("tr", {}, element("td", {}, t("shift.priorities")), element("td", {}, shares), element("td", {}, "5 · 15 · 80 %")));
  rows.push(element("tr", {}, element("td", {}, t("shift.malfunctions")), element("td", {}, number(told.malfunctions)), element("td", {}, "")));
  byId("figures").replaceChildren(...rows);
  fill("worst", values.bad_actors.map((one) => line(one.key, `${t("shift.times", { count: one.alarms })} · ${percent(one.share)}`)));
}

function show() {
  const running = told.end > told.written;
  byId("range").textContent = `${t("shift.range", { start: `${dayText(told.start)} ${minuteTime(told.start)}`, end: `${dayText(told.end)} ${minuteTime(told.end)}` })} · ${running ? t("shift.running") : t("shift.ended")}`;
  byId("next").disabled = running;
  fill("standing", told.standing.map(standing));
  fill("aside", told.aside.map(aside));
  fill("blind", told.blind.map(blind));
  fill("notes", told.notes.map((note) => line(note.text, `${time(note.at)} · ${note.who}`)));
  fill("done", told.done.map((entry) => line(`${t("event." + entry.what)}: ${title(entry)}`, `${time(entry.at)} · ${entry.who}${entry.note ? ` · ${entry.note}` : ""}`)));
  byId("partial").hidden = told.whole;
  figures(told.figures);
}

function say(text) {
  byId("error").textContent = text;
}

function signature(one) {
  const names = t("shift.signed_line", { time: time(one.signed), outgoing: one.outgoing, incoming: one.incoming });
  const made = line(names, `${one.untouched ? "" : `⚠ ${t("shift.tampered")} · `}SHA-256 ${one.sha256.slice(0, 16)}…`);
  made.append(element("a", { class: "shift-pdf", href: `/api/v1/shift/signed/${one.number}.pdf?lang=${settings.language}`, "aria-label": `${t("shift.pdf")}: ${names}` }, t("shift.pdf")));
  return made;
}

async function look() {
  try {
    const [report, signed] = await Promise.all([get("/shift", { at }), get("/shift/signed", { limit: 20 })]);
    told = report;
    show();
    fill("signed", signed.map(signature));
    say("");
  } catch (error) {
    say(failure(error));
  }
}

function signedIn() {
  for (const part of document.querySelectorAll(".who")) part.hidden = Boolean(account.known.name);
}

async function send(path, body, wanted, missing) {
  if (!wanted.every((text) => text.trim())) {
    say(missing);
    return false;
  }
  if (!(await account.ready())) return false;
  signedIn();
  try {
    await post(path, body);
  } catch (error) {
    say(failure(error));
    return false;
  }
  await look();
  return true;
}

byId("previous").addEventListener("click", () => {
  at = told.start - 1;
  look();
});
byId("next").addEventListener("click", () => {
  at = told.end >= Date.now() - 1000 ? null : told.end;
  look();
});
byId("pdf").addEventListener("click", () => location.assign(`/api/v1/shift.pdf?lang=${settings.language}${at === null ? "" : `&at=${at}`}`));
byId("csv").addEventListener("click", () => location.assign(`/api/v1/shift.csv${at === null ? "" : `?at=${at}`}`));
byId("print").addEventListener("click", () => window.print());
byId("note-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const [text, who] = [byId("note-text").value, byId("note-who").value];
  if (await send("/shift/notes", { text, who }, account.known.name ? [text] : [text, who], t("shift.need_text"))) byId("note-text").value = "";
});
byId("sign-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const [outgoing, incoming] = [byId("outgoing").value, byId("incoming").value];
  const body = { outgoing, incoming, ...(at === null ? {} : { at }) };
  if (await send("/shift/sign", body, account.known.name ? [incoming] : [outgoing, incoming], t("shift.need_names"))) byId("incoming").value = "";
});

await entered();
signedIn();
await look();
setInterval(() => at === null && look(), AGAIN);
