// What models say of an asset, and what their cards say of them. Figures, and cards of a site's own models, may be in English alone.

import { byId, element, write } from "./dom.js";
import { inLanguage, locale, qualityText, settings, t, unitText, valueText } from "./words.js";

const SHOWN = 12; // scores; all of them are among the values
const format = new Intl.NumberFormat(locale, { maximumSignificantDigits: 4 });
const numberText = (value) => format.format(value);

export class ModelCards {
  constructor() {
    this.cells = new Map();
  }

  replace(models, points) {
    const known = new Map(points.map((point) => [point.point, point]));
    const open = new Set([...document.querySelectorAll("#models-list details[open]")].map((one) => one.dataset.of));
    this.cells.clear();
    byId("models-list").replaceChildren(...models.map((model) => this.card(model, known, open)));
    byId("models").hidden = models.length === 0;
  }

  // A newer value of a point.
  append(point) {
    const cell = this.cells.get(point.point);
    if (cell) write(cell, score(point));
  }

  card(model, known, open) {
    const marks = [model.shadow ? t("asset.model_shadow") : "", model.candidate ? t("asset.model_candidate") : ""].filter(Boolean);
    const rows = model.points.filter((name) => known.has(name)).slice(0, SHOWN).map((name) => this.row(known.get(name)));
    const facts = element("dl", {});
    const tell = (name, ...told) => (told.length > 0 ? facts.append(element("dt", {}, name), ...told) : null);
    if (model.threshold !== undefined) tell(t("asset.model_threshold"), element("dd", {}, `${numberText(model.threshold)}: `, said("span", model.why)));
    tell(t("asset.model_data"), ...(model.data ?? []).map((text) => element("dd", { lang: "en" }, text)));
    tell(t("asset.model_fails"), ...(model.fails ?? []).map((text) => said("dd", text)));
    tell("SHA-256", element("dd", { class: "hash" }, model.sha256));
    const details = element("details", { "data-of": `${model.name} ${model.version}` }, element("summary", {}, t("asset.model_card")), facts, figures(model));
    details.open = open.has(details.dataset.of);
    return element("article", { class: "model" }, element("h3", {}, [`${model.name} ${model.version}`, ...marks].join(" · ")), said("p", model.purpose), element("dl", { class: "scores" }, ...rows), details);
  }

  row(point) {
    const cell = element("dd", {}, score(point));
    this.cells.set(point.point, cell);
    return element("div", {}, element("dt", {}, inLanguage(point.description, point.point)), cell);
  }
}

// A text of the wire, with its language where that is not the page's.
function said(tag, words) {
  const spoken = words?.[settings.language] ? {} : { lang: words?.es ? "es" : "en" };
  return element(tag, spoken, inLanguage(words));
}

function score(point) {
  const quality = qualityText(point.quality ?? "");
  return `${point.value === null ? "–" : `${valueText(point, point.value)} ${unitText(point.unit)}`}${quality ? ` ⚠ ${quality}` : ""}`;
}

function figures(model) {
  const head = [t("asset.model_figure"), t("asset.model_value"), t("asset.model_beside"), t("asset.model_on")].map((text) => element("th", { scope: "col" }, text));
  const rows = (model.figures ?? []).map((one) => {
    const beside = Object.entries(one.baselines ?? {}).map(([name, value]) => `${name} ${numberText(value)}`).join("; ");
    return element("tr", { lang: "en" }, element("th", { scope: "row" }, one.name), element("td", {}, `${numberText(one.value)} (${numberText(one.low)} – ${numberText(one.high)})`), element("td", {}, beside), element("td", {}, [one.data, one.split].filter(Boolean).join(": ")));
  });
  return element("div", { class: "scrolled", tabindex: "0", role: "region", "aria-label": t("asset.model_figures") }, element("table", { class: "figures" }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows)));
}
