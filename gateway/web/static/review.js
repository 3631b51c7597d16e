// Pictures of alarms, one at a time: 1 to 4 judge, J and K move.

import { element } from "./dom.js";
import { account, entered, failure } from "./frame.js";
import { get, post } from "./server.js";
import { inLanguage, limitText, measured, moment, t } from "./words.js";

const AGAIN = 15000; // ms between looks for new pictures
const part = (id) => document.getElementById(id);
const verdicts = ["true", "false", "nuisance", "test"];
let waiting = [];
let at = 0;
let shown = null;
let busy = false;

const same = (one, other) => one && other && one.node === other.node && one.event === other.event;

function show() {
  at = Math.max(0, Math.min(at, waiting.length - 1));
  const one = waiting[at];
  part("left").textContent = t("review.left", { count: waiting.length });
  part("none").hidden = Boolean(one);
  part("one").hidden = !one;
  if (!one || same(one, shown)) {
    shown = one ?? null;
    return;
  }
  shown = one;
  const words = t("review.picture", { definition: one.definition, node: one.node, when: moment(one.at, Date.now()) });
  part("picture").alt = words;
  part("picture").src = `/api/v1/evidence/${one.node}/${one.event}`; // seen is noted: never loaded ahead
  part("caption").textContent = `${words} · ${one.point}${one.value === null ? "" : ` = ${limitText(one.value)}`}`;
  part("note").value = "";
}

function say(text) {
  part("error").textContent = text;
}

async function judge(verdict) {
  if (!shown || busy || document.querySelector("dialog[open]")) return;
  if (!(await account.ready())) return;
  signed();
  const who = part("who").value.trim();
  if (!part("who").hidden && !who) {
    say(t("review.name_first"));
    part("who").focus();
    return;
  }
  busy = true;
  const one = shown;
  try {
    await post(`/evidence/${one.node}/${one.event}/verdict`, { verdict, who, note: part("note").value });
    say("");
    waiting = waiting.filter((other) => !same(other, one));
    show();
    await figures();
    await shadows();
  } catch (error) {
    say(failure(error));
  } finally {
    busy = false;
  }
}

async function figures() {
  const rows = await get("/evidence/figures", { days: 30 });
  part("figures").replaceChildren(
    ...rows.map((row) => {
      const line = document.createElement("tr");
      const cells = [`${row.node} / ${row.camera}`, ...[...verdicts, "unreviewed"].map((word) => row[word]), measured(row.false_per_day)];
      for (const text of cells) line.insertCell().textContent = text;
      return line;
    }),
  );
}

async function shadows() {
  const rows = await get("/evidence/shadows", { days: 30 });
  part("shadows").replaceChildren(
    ...rows.map((row) => {
      const share = row.share_true === null ? "–" : `${limitText(100 * row.share_true)} %`;
      const cells = [limitText(row.came), measured(row.per_day), ...[...verdicts, "unreviewed"].map((word) => limitText(row[word])), share];
      const link = element("a", { href: `/alarm/${encodeURIComponent(row.key)}` }, inLanguage(row.title, row.definition));
      return element("tr", {}, element("td", {}, link, element("span", { class: "small" }, row.key)), ...cells.map((text) => element("td", {}, text)));
    }),
  );
  part("shadows-table").hidden = rows.length === 0;
  part("shadows-none").hidden = rows.length > 0;
}

async function look() {
  try {
    const found = await get("/evidence", { limit: 1000 });
    const here = found.findIndex((one) => same(one, shown));
    waiting = found;
    if (here >= 0) at = here;
    show();
    await figures();
    await shadows();
  } catch (error) {
    say(failure(error));
  }
}

function move(by) {
  at += by;
  show();
}

part("picture").addEventListener("error", () => say(t("review.gone")));
part("picture").addEventListener("load", () => say(""));
part("next").addEventListener("click", () => move(1));
part("previous").addEventListener("click", () => move(-1));
for (const button of document.querySelectorAll("[data-verdict]")) button.addEventListener("click", () => judge(button.dataset.verdict));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || /^(INPUT|TEXTAREA)$/.test(event.target.tagName)) return;
  const verdict = verdicts[Number(event.key) - 1];
  if (verdict) judge(verdict);
  else if (event.key.toLowerCase() === "j") move(1);
  else if (event.key.toLowerCase() === "k") move(-1);
  else return;
  event.preventDefault();
});

function signed() {
  for (const element of [part("who"), document.querySelector("label[for=who]")]) element.hidden = Boolean(account.known.name);
}

await entered();
signed();
await look();
setInterval(look, AGAIN);
