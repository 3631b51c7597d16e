// The alarms on a wall: nothing to press, the worst first, and aloud when it is blind.

import { byId, element, symbol, write } from "./dom.js";
import { entered } from "./frame.js";
import { get, now, Stream } from "./server.js";
import { ASIDE, inOrder, titleOf, UNACKNOWLEDGED } from "./standing.js";
import { clockTime, duration, t } from "./words.js";

const SHOWN = 8;
let alarms = new Map();
let versions = new Map();
let heard = now();

function line(alarm) {
  const unacknowledged = UNACKNOWLEDGED.has(alarm.state);
  const what = `${t("priority." + alarm.priority)} · ${t("class." + alarm.signal_class)} · ${t("state." + alarm.state)} · ${alarm.node}`;
  return element(
    "li",
    { "data-priority": alarm.priority, "data-unacknowledged": String(unacknowledged), "data-key": alarm.key },
    symbol(alarm.priority),
    element("div", {}, element("strong", {}, titleOf(alarm)), element("span", { class: "what" }, what)),
    element("span", { class: "since" }, duration((now() - alarm.since) / 1000)),
  );
}

function draw() {
  const standing = inOrder(alarms.values()).filter((alarm) => !ASIDE.has(alarm.state));
  byId("wall").replaceChildren(...standing.slice(0, SHOWN).map(line));
  byId("wall-none").hidden = standing.length > 0;
  byId("wall-more").hidden = standing.length <= SHOWN;
  write(byId("wall-more"), t("wall.more", { count: standing.length - SHOWN }));
  write(byId("count-unacknowledged"), String(standing.filter((alarm) => UNACKNOWLEDGED.has(alarm.state)).length));
  write(byId("count-standing"), String(standing.length));
}

function connection(state) {
  document.body.dataset.connection = state;
  byId("connection").dataset.state = state;
  write(byId("connection"), t("connection." + state));
  byId("banner").hidden = state !== "lost";
  write(byId("banner-since"), t("connection.since", { time: clockTime(heard) }));
}

async function readAll() {
  try {
    const standing = await get("/alarms");
    alarms = new Map(standing.map((alarm) => [alarm.key, alarm]));
    versions = new Map(standing.map((alarm) => [alarm.key, alarm.version]));
    draw();
    connection("live");
  } catch {
    connection("lost");
    setTimeout(readAll, 2000);
  }
}

function take(kind, alarm) {
  if (kind !== "alarm" || alarm.version <= (versions.get(alarm.key) ?? 0)) return;
  versions.set(alarm.key, alarm.version);
  if (alarm.state === "normal") alarms.delete(alarm.key);
  else alarms.set(alarm.key, alarm);
  draw();
}

await entered();
new Stream({
  opened: readAll,
  lost: () => connection("lost"),
  beat: ({ journal_ok: ok }) => {
    byId("journal-banner").hidden = ok;
  },
  event: take,
});
setInterval(() => {
  if (document.body.dataset.connection !== "lost") heard = now();
  write(byId("clock"), clockTime(now()));
}, 1000);
setInterval(draw, 5000);
