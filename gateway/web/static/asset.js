// One asset: its alarms and zones, values with their trends, spectra with their past, and notes.

import { Trend } from "./chart.js";
import { remember, remembered } from "./dialog.js";
import { byId, element, symbol, write } from "./dom.js";
import { account, entered, failure } from "./frame.js";
import { ModelCards } from "./model_cards.js";
import { get, now, post, Stream } from "./server.js";
import { SpectraPanel } from "./spectra.js";
import { storyOf, titleOf } from "./standing.js";
import { ValueList } from "./values.js";
import { dayText, inLanguage, moment, qualityText, t } from "./words.js";

const [node, asset] = location.pathname.split("/").slice(-2).map(decodeURIComponent);
const at = `/assets/${encodeURIComponent(node)}/${encodeURIComponent(asset)}`;
const trend = new Trend();
const values = new ValueList({ chosen: choose });
const spectra = new SpectraPanel(at);
const models = new ModelCards();

function choose(point) {
  values.select(point);
  trend.show(point);
}

function alarmLine(alarm) {
  const small = element("span", { class: "small" }, `${t("priority." + alarm.priority)} · ${t("state." + alarm.state)} · ${moment(alarm.since, now())} · ${alarm.point}`);
  return element("li", { "data-priority": alarm.priority }, symbol(alarm.priority), element("div", {}, element("a", { href: storyOf(alarm) }, titleOf(alarm)), small), element("span"));
}

function zoneBox(zone) {
  const since = zone.since === null ? "" : zone.before === null ? t("asset.zone_from", { when: when(zone.since) }) : t("asset.zone_since", { when: when(zone.since), before: zone.before });
  const small = (text) => (text ? element("span", { class: "small" }, text) : null);
  return element("div", { "data-beyond": String("CD".includes(zone.zone)) }, element("strong", {}, `${"CD".includes(zone.zone) ? "⚠ " : ""}${t("assets.zone", { zone: zone.zone })}`), small(since), small(inLanguage(zone.description)), small(zone.point), small(qualityText(zone.quality)));
}

const when = (ms) => `${dayText(ms)} ${moment(ms, ms)}`;

async function read() {
  try {
    const [told, points] = await Promise.all([get(at), get("/points", { node })]);
    const own = points.filter((point) => point.asset === asset);
    byId("alarms").replaceChildren(...told.alarms.map(alarmLine));
    byId("alarms-none").hidden = told.alarms.length > 0;
    byId("zones").replaceChildren(...told.zones.map(zoneBox));
    byId("notes").replaceChildren(...told.notes.map((note) => element("li", {}, note.text, element("span", { class: "small" }, `${note.who} · ${when(note.at)}`))));
    values.replace(own);
    values.alarmsChanged(new Map(told.alarms.map((alarm) => [alarm.key, alarm])));
    if (!trend.point && own.length > 0) choose(values.foremost());
    models.replace(told.models, own);
    spectra.offer(told.spectra);
    write(byId("error"), "");
  } catch (error) {
    write(byId("error"), t("dialog.failed", { reason: failure(error) }));
  }
}

function signed() {
  const name = account.known.name;
  byId("note-who").hidden = Boolean(name);
  write(byId("note-who-label"), name ? t("dialog.signed", { name }) : t("dialog.who"));
}

async function note() {
  if (!(await account.ready())) return;
  signed();
  const who = byId("note-who").value.trim();
  try {
    await post(`${at}/notes`, { text: byId("note-text").value, who });
    if (who) remember(who);
    byId("note-text").value = "";
    await read();
  } catch (error) {
    write(byId("error"), t("dialog.failed", { reason: failure(error) }));
  }
}

function connection(state) {
  document.body.dataset.connection = state;
  byId("connection").dataset.state = state;
  write(byId("connection"), t("connection." + state));
  byId("banner").hidden = state !== "lost";
}

await entered();
signed();
write(byId("asset-title"), `${asset} · ${node}`);
byId("note-who").value = remembered();
byId("note").addEventListener("submit", (event) => {
  event.preventDefault();
  note();
});

let again = null;
new Stream({
  opened: () => {
    connection("live");
    read();
  },
  lost: () => connection("lost"),
  beat: () => undefined,
  event: (kind, data) => {
    if (data.node !== node) return;
    if (kind === "readings") {
      for (const point of values.readings(data)) {
        trend.append(point);
        models.append(point);
      }
    } else {
      clearTimeout(again);
      again = setTimeout(read, 300);
    }
  },
});
