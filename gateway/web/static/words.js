// Texts, numbers and times, in the language of the page and the zone of the site.

export const settings = JSON.parse(document.getElementById("settings").textContent);
const { language, time_zone: timeZone, texts } = settings;
// The browser's own region writes numbers as its user does (es-PE: 1.5, es-CL: 1,5), when it speaks the language of the page.
export const locale = navigator.language.startsWith(language) ? navigator.language : language;

export function t(key, values = {}) {
  const text = texts[key];
  if (text === undefined) {
    console.error(`no text ${key}`);
    return key;
  }
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

// As it is searched: lower case, without accents.
export const folded = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

export function has(key) {
  return texts[key] !== undefined;
}

// A text of the wire, {es, en}: ours, else the other, else what stands in.
export function inLanguage(words, otherwise = "") {
  return words?.[language] || words?.es || words?.en || otherwise;
}

const numbers = [0, 1, 2, 3].map((digits) => new Intl.NumberFormat(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits }));
const whole = new Intl.NumberFormat(locale, { maximumFractionDigits: 2 });

// Measured values keep their width while they move; limits are written as short as they are.
export function measured(value) {
  const size = Math.abs(value);
  return numbers[size >= 1000 ? 0 : size >= 10 ? 1 : 2].format(value);
}

export function limitText(value) {
  return whole.format(value);
}

const COUNTED = new Set(["messages"]); // its description says of what

// A value as its point is read: a switch says yes or no, a counter counts.
export function valueText(point, value) {
  if (point?.kind === "digital") return value ? t("values.yes") : t("values.no");
  return point?.kind === "counter" || COUNTED.has(point?.unit) ? limitText(value) : measured(value);
}

// A unit as it is written on paper; what has none, or is a switch, shows none.
export function unitText(unit) {
  if (!unit || unit === "1" || unit === "bool" || COUNTED.has(unit)) return "";
  return unit.replace(/m3/g, "m³").replace(/m2|s2/g, (power) => power[0] + "²").replace("degC", "°C").replace("ug/", "µg/");
}

const format = (options) => new Intl.DateTimeFormat(locale, { timeZone, hourCycle: "h23", ...options });
const clock = format({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
const minutes = format({ hour: "2-digit", minute: "2-digit" });
const day = format({ day: "2-digit", month: "short" });
const dayNumber = format({ year: "numeric", month: "2-digit", day: "2-digit" });

export const clockTime = (ms) => clock.format(ms);
export const minuteTime = (ms) => minutes.format(ms);
export const dayText = (ms) => day.format(ms);

// The time alone for today, the day with it for others.
export function moment(ms, now) {
  return dayNumber.format(ms) === dayNumber.format(now) ? clock.format(ms) : `${day.format(ms)} ${clock.format(ms)}`;
}

export function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const part = (unit, n) => t("unit." + unit, { n });
  if (s < 60) return part("seconds", s);
  if (s < 3600) return part("minutes", Math.floor(s / 60));
  const two = (first, second, rest) => (rest > 0 ? `${first} ${part(second, rest)}` : first);
  if (s < 86400) return two(part("hours", Math.floor(s / 3600)), "minutes", Math.floor((s % 3600) / 60));
  return two(part("days", Math.floor(s / 86400)), "hours", Math.floor((s % 86400) / 3600));
}

// "bad:wire_break" as a person reads it.
export function qualityText(quality) {
  const [level, reason] = quality.split(":");
  if (level === "good") return "";
  const known = has("quality.reason." + reason) ? t("quality.reason." + reason) : (reason ?? "").replaceAll("_", " ");
  return reason ? `${t("quality." + level)}: ${known}` : t("quality." + level);
}

export function reasonText(reason) {
  return has("reason." + reason) ? t("reason." + reason) : t("reason.other", { reason });
}
