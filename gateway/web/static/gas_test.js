// One gas test before entry, to be printed and signed.

import { byId, element, write } from "./dom.js";
import { entered, failure } from "./frame.js";
import { get } from "./server.js";
import { clockTime, dayText, inLanguage, limitText, t } from "./words.js";

const number = location.pathname.split("/").pop();

await entered();
try {
  const [test, { places }, limits] = await Promise.all([get(`/gas/tests/${encodeURIComponent(number)}`), get("/gas"), get("/gas/limits")]);
  const place = places.find((one) => one.id === test.place);
  write(byId("verdict"), test.fit ? t("gas.fit") : `⚠ ${t("gas.not_fit")}: ${test.reasons.map((reason) => t("gas.reason." + reason.split(":")[0], { gas: reason.split(":")[1] })).join(", ")}`);
  const facts = [
    [t("gas.number"), String(test.number)],
    [t("gas.place"), inLanguage(place?.title, test.place)],
    [t("gas.when"), `${dayText(test.at)} ${clockTime(test.at)}`],
    [t("gas.tester"), test.who],
    [t("gas.instrument"), test.instrument],
    [t("gas.calibrated"), test.calibrated],
    [t("gas.told"), test.told],
    [t("gas.note"), test.note],
  ].filter(([, text]) => text);
  byId("facts").replaceChildren(...facts.map(([name, text]) => element("div", {}, element("dt", {}, name), element("dd", {}, text))));
  byId("readings").replaceChildren(
    ...Object.entries(test.readings).map(([gas, value]) => {
      const limit = limits.find((one) => one.gas === gas);
      const bounds = [limit.least === null ? "" : `≥ ${limitText(limit.least)}`, limit.most === null ? "" : `≤ ${limitText(limit.most)}`].filter(Boolean).join(", ");
      const outside = test.reasons.includes(`outside:${gas}`);
      return element("tr", { "data-state": outside ? "over" : "within" }, element("td", {}, gas), element("td", {}, `${outside ? "⚠ " : ""}${limitText(value)} ${limit.unit}`), element("td", {}, `${bounds} ${limit.unit}`), element("td", {}, `${limit.source} (${t("gas.certainty." + limit.certainty)})`));
    }),
  );
} catch (error) {
  write(byId("error"), failure(error));
}
byId("print").addEventListener("click", () => print());
