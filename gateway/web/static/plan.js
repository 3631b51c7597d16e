// The site's plan: what stands where, how it is, and what nobody sees there. Nothing is green.

import { remember, remembered } from "./dialog.js";
import { byId, element, symbol, write } from "./dom.js";
import { account, entered, failure } from "./frame.js";
import { get, request } from "./server.js";
import { inLanguage, limitText, t, unitText } from "./words.js";

const AGAIN = 5000; // ms
let plan = { markers: [], picture: "" };
let assets = new Map();
let places = new Map();
let editing = null; // the markers that are being placed
let chosen = 0;

const small = (text) => (text ? element("span", { class: "small" }, text) : null);

function assetMarker(marker) {
  const asset = assets.get(marker.ref);
  const name = marker.title || marker.ref.split("/")[1];
  if (!asset) return { name, href: "/assets", blind: true, lines: [`⚠ ${t("plan.unknown")}`] };
  const zone = asset.zone === null ? "" : t("assets.zone", { zone: "ABCD"[asset.zone - 1] ?? "?" });
  const blind = asset.blind > 0 ? `⚠ ${t("assets.blind", { count: asset.blind, all: asset.points })}` : "";
  return { name, href: `/asset/${marker.ref}`, priority: asset.priority, blind: asset.blind > 0, lines: [asset.priority ? inLanguage(asset.title) : "", zone, blind] };
}

function placeMarker(marker) {
  const place = places.get(marker.ref);
  const name = marker.title || inLanguage(place?.title, marker.ref);
  if (!place) return { name, href: "/gas", blind: true, lines: [`⚠ ${t("plan.unknown")}`] };
  const value = (gas) => (gas.why ? `${gas.gas} ⚠ ${t("gas.why." + gas.why)}` : `${gas.gas} ${limitText(Math.round(gas.value * 100) / 100)} ${unitText(gas.unit)}`);
  const air = place.air.point === null ? "" : place.air.measured === null ? `⚠ ${t("gas.air_blind", { why: t("gas.why." + place.air.why) })}` : `${t("gas.air")} ${limitText(Math.round(place.air.measured))} m³/min`;
  const over = place.gases.some((gas) => gas.state === "over") || place.air.state === "over" || place.blasts.length > 0;
  const words = [place.blasts.length ? `⚠ ${t("gas.waits")}` : "", place.gases.map(value).join(" · "), air];
  const blind = place.gases.length === 0 || place.gases.some((gas) => gas.why) || place.air.state === "blind";
  return { name, href: "/gas", priority: over ? "high" : null, blind, lines: words };
}

function markerLine(marker) {
  const { name, href, priority = null, blind, lines } = marker.kind === "asset" ? assetMarker(marker) : placeMarker(marker);
  const link = element("a", { href }, priority ? symbol(priority) : null, element("span", {}, element("strong", {}, name), ...lines.filter(Boolean).map(small)));
  const line = element("li", { "data-priority": priority, "data-blind": String(blind), "data-ref": marker.ref }, link);
  put(line, marker);
  line.style.transform = `translate(${-100 * marker.x}%, ${-100 * marker.y}%)`; // so that none hangs over an edge
  return line;
}

function put(node, { x, y }) {
  node.style.left = `${100 * x}%`;
  node.style.top = `${100 * y}%`;
}

function zoneCircle(marker) {
  const circle = element("div", { class: "zone" }, element("span", {}, marker.title));
  put(circle, marker);
  circle.style.width = `${200 * marker.radius}%`;
  return circle;
}

function draw() {
  const markers = editing ?? plan.markers;
  const focused = document.activeElement?.closest("#markers li")?.dataset.ref;
  byId("zones").replaceChildren(...markers.filter(({ kind }) => kind === "zone").map(zoneCircle));
  byId("markers").replaceChildren(...markers.filter(({ kind }) => kind !== "zone").map(markerLine));
  if (focused) document.querySelector(`#markers li[data-ref="${focused}"] a`)?.focus({ preventScroll: true });
  const address = plan.picture ? `/api/v1/plan/picture?${plan.picture.slice(0, 12)}` : "";
  byId("picture").hidden = !address;
  if (address && byId("picture").getAttribute("src") !== address) byId("picture").src = address;
  byId("none").hidden = Boolean(address) || markers.length > 0;
}

async function read() {
  try {
    const [known, all, board] = await Promise.all([get("/plan"), get("/assets"), get("/gas")]);
    plan = known;
    assets = new Map(all.map((asset) => [`${asset.node}/${asset.asset}`, asset]));
    places = new Map(board.places.map((place) => [place.id, place]));
    draw();
    write(byId("error"), "");
  } catch (error) {
    write(byId("error"), `${t("connection.banner")} ${failure(error)}`);
  }
}

// What may stand on the plan: every asset, every place, or a zone.
function options() {
  return [
    ["zone ", t("plan.zone")],
    ...[...places.values()].map((place) => [`place ${place.id}`, inLanguage(place.title, place.id)]),
    ...[...assets.keys()].map((ref) => [`asset ${ref}`, ref]),
  ];
}

function editRow(marker, place) {
  const label = (name) => `${t("plan." + name)} ${place + 1}`;
  const what = element("select", { "aria-label": label("what") }, ...options().map(([value, text]) => element("option", { value }, text)));
  const value = `${marker.kind} ${marker.ref}`;
  if (![...what.options].some((option) => option.value === value)) what.append(element("option", { value }, marker.ref));
  what.value = value;
  what.addEventListener("change", () => {
    const [kind, ref] = what.value.split(" ");
    Object.assign(marker, { kind, ref, radius: kind === "zone" ? marker.radius || 0.05 : 0 });
    edit();
  });
  const number = (name) => {
    const input = element("input", { type: "number", min: 0, max: 100, step: "any", "aria-label": label(name) });
    input.value = Math.round(1000 * marker[name]) / 10;
    input.addEventListener("input", () => {
      marker[name] = Math.min(1, Math.max(0, Number(input.value) / 100));
      draw();
    });
    return input;
  };
  const title = element("input", { maxlength: 100, "aria-label": label("name") });
  title.value = marker.title;
  title.addEventListener("input", () => {
    marker.title = title.value;
    draw();
  });
  const remove = element("button", { type: "button", "aria-label": label("remove") }, "×");
  remove.addEventListener("click", () => {
    editing.splice(place, 1);
    edit();
  });
  const cells = [what, title, number("x"), number("y"), marker.kind === "zone" ? number("radius") : "", remove];
  const row = element("tr", { "data-chosen": String(place === chosen) }, ...cells.map((cell) => element("td", {}, cell)));
  row.addEventListener("focusin", () => {
    chosen = place;
    for (const [other, each] of [...byId("rows").children].entries()) each.dataset.chosen = String(other === place);
  });
  return row;
}

function edit() {
  byId("rows").replaceChildren(...editing.map(editRow));
  draw();
}

async function save() {
  if (!(await account.ready())) return;
  signed();
  const who = byId("who").value.trim();
  try {
    const [file] = byId("file").files;
    if (file) await request(`/plan/picture?${new URLSearchParams({ who })}`, { method: "PUT", headers: { "Content-Type": file.type }, body: file });
    await request("/plan", { method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ markers: editing, who }) });
    if (who) remember(who);
    leave();
    await read();
  } catch (error) {
    write(byId("error"), t("dialog.failed", { reason: failure(error) }));
  }
}

function leave() {
  editing = null;
  byId("file").value = "";
  byId("editor").hidden = true;
  byId("edit").hidden = false;
  draw();
}

function signed() {
  const name = account.known.name;
  byId("who").hidden = Boolean(name);
  write(byId("who-label"), name ? t("dialog.signed", { name }) : t("dialog.who"));
}

await entered();
signed();
byId("who").value = remembered();
byId("edit").addEventListener("click", async () => {
  if (!(await account.ready())) return;
  signed();
  editing = plan.markers.map((marker) => ({ ...marker }));
  byId("editor").hidden = false;
  byId("edit").hidden = true;
  edit();
  byId("editor").scrollIntoView({ block: "nearest" });
});
byId("add").addEventListener("click", () => {
  editing.push({ kind: "zone", ref: "", title: t("plan.zone"), x: 0.5, y: 0.5, radius: 0.05 });
  chosen = editing.length - 1;
  edit();
  byId("rows").lastElementChild.querySelector("select").focus();
});
byId("cancel").addEventListener("click", leave);
byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  save();
});
// A press on the picture puts the chosen marker there; the numbers do the same for the keyboard.
byId("plan").addEventListener("click", (event) => {
  if (!editing || !editing[chosen]) return;
  event.preventDefault();
  const box = byId("plan").getBoundingClientRect();
  Object.assign(editing[chosen], { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height });
  edit();
});
read();
setInterval(read, AGAIN);
