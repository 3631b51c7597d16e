// Gas and air of each place, re-entry after a blast, and gas tests before entry. What is not measured is never shown as good.

import { remember, remembered } from "./dialog.js";
import { byId, element, write } from "./dom.js";
import { account, entered, failure } from "./frame.js";
import { get, now, post } from "./server.js";
import { clockTime, duration, has, inLanguage, limitText, moment, qualityText, t, unitText } from "./words.js";

const AGAIN = 5000; // ms
const GASES = ["O2", "CO", "CO2", "NO2", "CH4", "H2S", "NO", "SO2"];
const REQUIRED = new Set(["O2", "CO", "CO2", "NO2"]);
let told = null;
let asked = null; // what the dialog is about: { place } or { blast }

const small = (text) => (text ? element("span", { class: "small" }, text) : null);
const number = (value, unit) => (value === null ? "–" : `${limitText(Math.round(value * 100) / 100)} ${unitText(unit)}`);
const percent = (share) => t("gas.coverage", { value: Math.round(100 * share) });
const titleOf = (id) => inLanguage(told.places.find((place) => place.id === id)?.title, id);
const cell = (label, ...content) => element("td", { "data-label": label }, ...content);

function limitOf(gas) {
  const parts = [gas.least === null ? "" : `≥ ${limitText(gas.least)}`, gas.most === null ? "" : `≤ ${limitText(gas.most)}`];
  return `${parts.filter(Boolean).join(", ")} ${unitText(gas.unit)}`;
}

function gasRow(gas) {
  const where = gas.point ? small(`${gas.point} · ${gas.node}`) : null;
  const why = gas.why ? `⚠ ${t("gas.why." + gas.why)}` : "";
  const quality = gas.quality && !gas.why ? qualityText(gas.quality) : "";
  const average = (label, value, limit, coverage) =>
    cell(label, element("span", { class: "number" }, number(value, gas.unit)), small(limit === null ? t("gas.no_limit") : `≤ ${number(limit, gas.unit)}`), coverage === null ? null : small(percent(coverage)));
  return element(
    "tr",
    { "data-state": gas.state },
    cell(t("gas.gas"), element("strong", {}, gas.gas), where),
    cell(t("gas.now"), element("span", { class: "number" }, number(gas.value, gas.unit)), small(why || quality)),
    average(t("gas.stel"), gas.stel, gas.stel_limit, gas.stel_coverage),
    average(t("gas.twa"), gas.twa, gas.twa_limit, gas.twa_coverage),
    cell(t("gas.projected"), element("span", { class: "number" }, number(gas.twa_projected, gas.unit))),
    cell(t("gas.state"), element("span", { class: "word" }, `${gas.state === "within" ? "" : "⚠ "}${t("gas.state." + gas.state)}`), small(`${gas.point ? `${limitOf(gas)} · ` : ""}${gas.source} (${t("gas.certainty." + gas.certainty)})`)),
  );
}

function airBox(air) {
  if (air.required === null && air.point === null) return null;
  const have = air.measured === null ? t("gas.air_blind", { why: t("gas.why." + air.why) }) : t("gas.air_has", { value: number(air.measured, "m3/min") });
  const need = air.required === null ? t("gas.air_unknown") : t("gas.air_needs", { value: number(air.required, "m3/min") });
  const lines = air.parts.map((part) =>
    element("li", {}, `${t("gas.part." + part.what)}${part.name ? ` (${part.name})` : ""}: ${number(part.m3_min, "m3/min")}`, small([part.how, part.source, part.certainty].filter(Boolean).join(" · "))),
  );
  if (air.people_unknown) lines.unshift(element("li", {}, `⚠ ${t("gas.people_unknown")}`));
  const word = `${air.state === "within" ? "" : "⚠ "}${t("gas.air." + air.state)}`;
  const summary = element("summary", {}, element("strong", {}, t("gas.air")), element("span", {}, have), element("span", {}, need), element("span", { class: "word" }, word));
  return element("details", { class: "air", "data-state": air.state }, summary, element("ul", {}, ...lines));
}

function blastBox(blast) {
  const clear = blast.heads.length > 0 && blast.heads.every((head) => head.verdict === "clear");
  const clock = element("span", { class: "clock", "data-at": blast.at });
  const lines = blast.heads.map((head) => element("li", {}, `${head.verdict === "clear" ? "" : "⚠ "}${head.gas}: ${t("gas.verdict." + head.verdict)}`, small(`${head.point} · ${head.node}`)));
  if (lines.length === 0) lines.push(element("li", {}, `⚠ ${t("gas.verdict.no_head")}`));
  const word = element("strong", {}, clear ? t("gas.clear") : t("gas.waits"));
  const box = element("div", { class: "blast", "data-clear": String(clear) }, clock, element("div", {}, word, small(t("gas.blast_by", { who: blast.who, when: moment(blast.at, now()) }))), element("ul", {}, ...lines));
  const button = element("button", { type: "button", disabled: !clear }, t("gas.open"));
  button.disabled = !clear;
  button.addEventListener("click", () => ask({ blast }));
  box.append(button);
  return box;
}

function gasTable(gases) {
  const names = [t("gas.gas"), t("gas.now"), t("gas.stel"), t("gas.twa"), t("gas.projected"), t("gas.state")].map((name) => element("th", { scope: "col" }, name));
  return element("table", { class: "gases" }, element("thead", {}, element("tr", {}, ...names)), element("tbody", {}, ...gases.map(gasRow)));
}

// What a crew has breathed where it was.
function crewBox(crew) {
  const title = inLanguage(crew.title, crew.id);
  const where = crew.lost ? `⚠ ${t("gas.crew_lost")}` : crew.places.length > 0 ? t("gas.crew_at", { places: crew.places.map(titleOf).join(", ") }) : t("gas.crew_nowhere");
  const none = crew.gases.length === 0 ? element("p", { class: "calm" }, `⚠ ${t("gas.no_head")}`) : gasTable(crew.gases);
  return element("section", { class: "panel", "aria-label": title, "data-crew": crew.id }, element("div", { class: "place-head" }, element("h2", {}, title), element("span", {}, where)), none);
}

function placeBox(place) {
  const button = element("button", { type: "button" }, t("gas.fire"));
  button.addEventListener("click", () => ask({ place: place.id }));
  const title = inLanguage(place.title, place.id);
  const head = element("div", { class: "place-head" }, element("h2", {}, title), button);
  const none = place.gases.length === 0 ? element("p", { class: "calm" }, `⚠ ${t("gas.no_head")}`) : gasTable(place.gases);
  return element("section", { class: "panel", "aria-label": title, "data-place": place.id }, head, none, airBox(place.air), ...place.blasts.map(blastBox));
}

// What somebody has open or focused stays so while the board is drawn anew.
function draw() {
  const open = new Set([...document.querySelectorAll(".place-open, details[open]")].map((box) => box.closest("[data-place]")?.dataset.place));
  const focused = document.activeElement;
  const path = byId("places").contains(focused) ? [focused.closest("[data-place]").dataset.place, [...focused.closest("[data-place]").querySelectorAll("button, summary")].indexOf(focused)] : null;
  byId("places").replaceChildren(...told.places.map(placeBox));
  for (const box of document.querySelectorAll("[data-place] details")) box.open = open.has(box.closest("[data-place]").dataset.place);
  if (path) document.querySelector(`[data-place="${path[0]}"]`)?.querySelectorAll("button, summary")[path[1]]?.focus({ preventScroll: true });
  byId("crews").replaceChildren(...told.crews.map(crewBox));
  byId("no-crews").hidden = told.crews.length > 0;
  byId("none").hidden = told.places.length > 0;
  byId("test").hidden = told.places.length === 0;
  if (byId("test-place").options.length !== told.places.length) {
    byId("test-place").replaceChildren(...told.places.map((place) => element("option", { value: place.id }, inLanguage(place.title, place.id))));
  }
  tick();
}

function tick() {
  for (const clock of document.querySelectorAll(".blast .clock")) write(clock, duration((now() - Number(clock.dataset.at)) / 1000));
}

async function read() {
  try {
    told = await get("/gas");
    draw();
    write(byId("written"), clockTime(told.written));
    const [tests, blasts] = await Promise.all([get("/gas/tests", { limit: 20 }), get("/gas/blasts", { limit: 20 })]);
    byId("tests").replaceChildren(...(tests.length ? tests.map(testLine) : [element("li", {}, t("shift.none"))]));
    byId("blasts").replaceChildren(...(blasts.length ? blasts.map(blastLine) : [element("li", {}, t("shift.none"))]));
    write(byId("error"), "");
  } catch (error) {
    write(byId("error"), `${t("connection.banner")} ${failure(error)}`);
  }
}

function testLine(test) {
  const text = `${moment(test.at, now())} · ${titleOf(test.place)} · ${test.fit ? t("gas.fit") : t("gas.not_fit")} · ${test.who}`;
  return element("li", {}, element("a", { href: `/gas/test/${test.number}` }, text));
}

function blastLine(blast) {
  const opened = blast.opened === null ? t("gas.waits") : t("gas.opened", { who: blast.opened_by, when: moment(blast.opened, now()) });
  return element("li", {}, `${moment(blast.at, now())} · ${titleOf(blast.place)} · ${blast.who}`, small(opened));
}

function signed() {
  const name = account.known.name;
  for (const input of document.querySelectorAll(".who")) input.hidden = Boolean(name);
  for (const label of document.querySelectorAll(".who-label")) write(label, name ? t("dialog.signed", { name }) : t("dialog.who"));
}

async function ask(what) {
  if (!(await account.ready())) return;
  signed();
  asked = what;
  write(byId("blast-title"), what.place ? t("gas.fire") : t("gas.open"));
  write(byId("blast-place"), titleOf(what.place ?? what.blast.place));
  write(byId("blast-submit"), what.place ? t("gas.fire") : t("gas.open"));
  write(byId("blast-error"), "");
  byId("blast-note").value = "";
  byId("blast-who").value = remembered();
  byId("blast-dialog").showModal();
}

async function send() {
  const who = byId("blast-who").value.trim();
  const body = { who, note: byId("blast-note").value.trim() };
  try {
    if (asked.place) await post("/gas/blasts", { ...body, place: asked.place });
    else await post(`/gas/blasts/${asked.blast.number}/open`, body);
    if (who) remember(who);
    byId("blast-dialog").close();
    await read();
  } catch (error) {
    write(byId("blast-error"), t("dialog.failed", { reason: failure(error) }));
  }
}

async function test() {
  if (!(await account.ready())) return;
  signed();
  const readings = {};
  for (const input of byId("test-gases").querySelectorAll("input")) if (input.value !== "") readings[input.name] = Number(input.value);
  const value = (id) => byId(id).value.trim();
  const body = { place: value("test-place"), readings, instrument: value("test-instrument"), calibrated: value("test-calibrated"), told: value("test-told"), note: value("test-note"), who: value("test-who") };
  try {
    const made = await post("/gas/tests", body);
    if (body.who) remember(body.who);
    byId("test-done").replaceChildren(element("a", { href: `/gas/test/${made.number}` }, `${made.fit ? t("gas.fit") : t("gas.not_fit")} · ${t("gas.record", { number: made.number })}`));
    for (const input of byId("test-gases").querySelectorAll("input")) input.value = "";
    write(byId("test-error"), "");
    await read();
  } catch (error) {
    write(byId("test-error"), t("dialog.failed", { reason: failure(error) }));
  }
}

await entered();
signed();
byId("test-who").value = remembered();
for (const gas of GASES) {
  const unit = gas === "O2" || gas === "CH4" ? "%vol" : "ppm";
  const input = element("input", { id: `test-${gas}`, name: gas, type: "number", step: "any", min: 0, inputmode: "decimal", required: REQUIRED.has(gas) ? "" : null });
  byId("test-gases").append(element("div", {}, element("label", { for: `test-${gas}` }, `${gas} (${unit})${REQUIRED.has(gas) ? " *" : ""}`), input));
}
byId("blast-cancel").addEventListener("click", () => byId("blast-dialog").close());
for (const [form, act] of [["blast-form", send], ["test", test]]) {
  byId(form).addEventListener("submit", (event) => {
    event.preventDefault();
    act();
  });
}
read();
setInterval(read, AGAIN);
setInterval(tick, 1000);
