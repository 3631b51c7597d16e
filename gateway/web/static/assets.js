// Every asset, the worst first. Grey while nothing is wrong; what nobody sees is said.

import { byId, element, symbol } from "./dom.js";
import { entered, failure } from "./frame.js";
import { get } from "./server.js";
import { inLanguage, t } from "./words.js";

const AGAIN = 10000; // ms
const LETTERS = "ABCD";

function line(asset) {
  const blind = asset.blind === 0 ? "" : `⚠ ${t("assets.blind", { count: asset.blind, all: asset.points })}`;
  const alarms = asset.alarms === 0 ? "" : `${t("priority." + asset.priority)} · ${inLanguage(asset.title)}${asset.alarms > 1 ? ` · ${t("assets.more", { count: asset.alarms - 1 })}` : ""}`;
  const told = [alarms, blind, t("assets.points", { count: asset.points })].filter(Boolean).join(" · ");
  return element(
    "li",
    { "data-priority": asset.priority, "data-asset": asset.asset },
    asset.priority ? symbol(asset.priority) : element("span"),
    element("div", {}, element("a", { href: `/asset/${asset.node}/${asset.asset}` }, asset.asset), element("span", { class: "small" }, `${told} · ${asset.node}`)),
    element("span", { class: "zone" }, asset.zone === null ? "" : t("assets.zone", { zone: LETTERS[asset.zone - 1] ?? "?" })),
  );
}

async function read() {
  try {
    const assets = await get("/assets");
    const focused = document.activeElement?.closest("li")?.dataset.asset;
    byId("assets").replaceChildren(...assets.map(line));
    if (focused) document.querySelector(`li[data-asset="${focused}"] a`)?.focus({ preventScroll: true });
    byId("none").hidden = assets.length > 0;
    byId("error").textContent = "";
  } catch (error) {
    byId("error").textContent = `${t("connection.banner")} ${failure(error)}`;
  }
}

await entered();
read();
setInterval(read, AGAIN);
