// Elements are built, never parsed from text: what a node sends can never become markup.

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

// Changing only what differs keeps a screen reader and the layout quiet.
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// A point's name may break behind its slashes, and nowhere else.
export function breakable(text) {
  return text.split("/").flatMap((part, place) => (place === 0 ? [part] : ["/", element("wbr"), part]));
}

export const byId = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";
const RANK = { critical: "1", high: "2", medium: "3", low: "4" };

// The shape of a priority, with its number: shape, number and colour say the same.
export function symbol(priority, { tiny = false } = {}) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#priority-${priority}`);
  svg.append(use);
  const rank = element("b", {}, RANK[priority]);
  return element("span", { class: tiny ? "symbol tiny" : "symbol", "data-priority": priority, "aria-hidden": "true" }, svg, rank);
}
