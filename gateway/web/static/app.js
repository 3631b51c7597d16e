// Puts the page together: reads the whole state at each connection, then follows the stream.

import { Account } from "./account.js";
import { AlarmList } from "./alarms.js";
import { Trend } from "./chart.js";
import { ActDialog } from "./dialog.js";
import { byId, write } from "./dom.js";
import { Filter } from "./filter.js";
import { History } from "./history.js";
import { NodeList } from "./nodes.js";
import { get, now, Stream } from "./server.js";
import { Sound } from "./sound.js";
import { ValueList } from "./values.js";
import { clockTime, reasonText, t } from "./words.js";

const NODES_AGAIN = 15000;

const trend = new Trend();
const nodes = new NodeList();
const values = new ValueList({ chosen: choose });
const pointOf = (node, point) => values.pointOf(node, point);
const history = new History({ pointOf });
const account = new Account();
const sound = new Sound();
const dialog = new ActDialog({ account, done: (alarm) => take("alarm", alarm) });
const alarms = new AlarmList({
  act: (alarm, action) => dialog.open(alarm, action),
  pointOf,
  filter: new Filter(),
  changed: (standing) => {
    values.alarmsChanged(standing);
    sound.alarmsChanged(standing);
  },
});

let waiting = null; // events that come while the snapshot is read; they are applied behind it
let reading = 0;
let heard = now();

function choose(point) {
  values.select(point);
  trend.show(point);
}

function take(kind, data) {
  if (waiting !== null) {
    waiting.push([kind, data]);
    return;
  }
  if (kind === "alarm") {
    alarms.update(data);
    history.later();
  } else if (kind === "readings") {
    nodes.heard(data.node, data.time);
    for (const point of values.readings(data)) trend.append(point);
  } else {
    readNodes();
  }
}

async function readNodes() {
  const [known, ledger] = await Promise.all([get("/nodes"), get("/ledger")]);
  nodes.replace(known, ledger);
}

async function readAll() {
  const turn = ++reading;
  waiting = [];
  try {
    // Alarms must not wait for a store that is slow or gone.
    const points = get("/points").catch(() => null);
    const standing = await get("/alarms");
    if (turn !== reading) return;
    const behind = waiting;
    waiting = null;
    alarms.replace(standing);
    for (const [kind, data] of behind) take(kind, data);
    connection("live");
    const declared = await points;
    if (turn !== reading) return;
    if (declared !== null) {
      values.replace(declared);
      alarms.replace([...alarms.alarms.values()].map((alarm) => ({ ...alarm })));
      if (trend.point) trend.load();
      else if (declared.length > 0) choose(values.foremost());
    }
    await Promise.all([readNodes(), history.refresh()]);
  } catch (error) {
    if (turn !== reading) return;
    console.warn("the state could not be read", error);
    waiting = null;
    connection("lost", reasonText(error.reason ?? String(error)));
    setTimeout(() => turn === reading && readAll(), 2000);
  }
}

function connection(state, reason = "") {
  document.body.dataset.connection = state;
  const place = byId("connection");
  place.dataset.state = state;
  write(place, t("connection." + state));
  const settle = alarms.place.hold();
  byId("banner").hidden = state !== "lost";
  settle();
  const since = t("connection.since", { time: clockTime(heard) });
  write(byId("banner-since"), reason ? `${since} ${t("connection.failed", { reason })}` : since);
}

await account.load().catch(() => undefined);
while (!account.maySee()) await account.ask();

new Stream({
  opened: readAll,
  lost: () => {
    reading += 1;
    waiting = null;
    connection("lost");
  },
  beat: ({ journal_ok: ok, flood }) => {
    const settle = alarms.place.hold();
    byId("journal-banner").hidden = ok;
    byId("flood-banner").hidden = flood === null;
    if (flood) write(byId("flood-text"), t("flood.text", { count: flood.alarms, time: clockTime(flood.since) }));
    settle();
  },
  event: take,
});

setInterval(() => {
  if (document.body.dataset.connection !== "lost") heard = now();
}, 1000);
setInterval(() => {
  if (document.body.dataset.connection === "live") readNodes().catch(() => undefined);
}, NODES_AGAIN);
