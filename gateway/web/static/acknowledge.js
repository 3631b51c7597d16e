// What a link of a message opens: the alarm, and a button. Only the button acknowledges: programs that look into mail open links, too.

import { byId, element, symbol, write } from "./dom.js";
import { get, now, post, Refused } from "./server.js";
import { duration, inLanguage, limitText, moment, qualityText, reasonText, t } from "./words.js";

const token = location.pathname.split("/").pop();
const say = (error) => write(byId("error"), error ? reasonText(error.reason ?? String(error)) : "");

function show(link) {
  const { alarm, worth } = link;
  byId("linked").dataset.priority = alarm.priority;
  byId("linked-mark").replaceChildren(symbol(alarm.priority));
  write(byId("linked-title"), inLanguage(alarm.title, alarm.definition));
  write(byId("linked-state"), t("state." + alarm.state));
  const value = alarm.value === null ? "" : [limitText(alarm.value), qualityText(alarm.quality)].filter(Boolean).join(" · ");
  const facts = [
    [t("link.priority"), `${t("priority." + alarm.priority)} · ${t("class." + alarm.signal_class)}`],
    [t("link.where"), `${alarm.point || alarm.definition} · ${alarm.node}`],
    [t("link.value"), value],
    [t("link.since"), alarm.since ? `${moment(alarm.since, now())}${alarm.active ? ` · ${duration((now() - alarm.since) / 1000)}` : ""}` : ""],
    [t("link.do"), inLanguage(alarm.action)],
    [t("link.consequence"), inLanguage(alarm.consequence)],
  ].filter(([, text]) => text);
  byId("linked-facts").replaceChildren(...facts.map(([name, text]) => element("div", {}, element("dt", {}, name), element("dd", {}, text))));
  const words = { who: link.by ?? "", person: link.person, time: moment(link.at ?? link.until, now()) };
  write(byId("linked-worth"), t("link.worth." + worth, words));
  byId("acknowledge").hidden = worth !== "open";
  write(byId("acknowledge"), t("link.acknowledge", words));
}

async function look() {
  try {
    show(await get(`/link/${token}`));
    say(null);
  } catch (error) {
    byId("acknowledge").hidden = true;
    say(error);
  }
}

byId("acknowledge").addEventListener("click", async () => {
  byId("acknowledge").disabled = true;
  try {
    show(await post("/link/acknowledge", { token }));
    say(null);
  } catch (error) {
    if (error instanceof Refused && error.status === 409) await look(); // it says what happened meanwhile
    else say(error);
  }
  byId("acknowledge").disabled = false;
  byId("linked-worth").focus();
});

await look();
