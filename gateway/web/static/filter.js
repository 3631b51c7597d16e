// Which alarms the list shows. It stays as it was set in this browser, and what it hides is said.

import { byId, element, write } from "./dom.js";
import { titleOf, UNACKNOWLEDGED, worst } from "./standing.js";
import { folded, t } from "./words.js";

const KEPT = "muki-filter";
const CLASSES = ["alarm", "alert", "malfunction"];
const PRIORITIES = ["critical", "high", "medium", "low"];

function read() {
  try {
    return JSON.parse(localStorage.getItem(KEPT)) ?? {};
  } catch {
    return {};
  }
}

// One stop for the Tab key; the arrows lead from button to button.
function rove(buttons) {
  const focus = (place) => {
    for (const button of buttons) button.tabIndex = -1;
    buttons[place].tabIndex = 0;
    buttons[place].focus();
  };
  for (const [place, button] of buttons.entries()) {
    button.tabIndex = place === 0 ? 0 : -1;
    button.addEventListener("keydown", ({ key }) => {
      const to = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: buttons.length - 1 }[key];
      if (to !== undefined) focus((to + buttons.length) % buttons.length);
    });
  }
}

export class Filter {
  constructor() {
    const { hidden = [], text = "", open = false } = read();
    this.hidden = new Set(hidden);
    this.open = open === true;
    this.words = [];
    this.changed = () => undefined;
    this.text = byId("filter-text");
    this.text.value = String(text);
    this.counts = new Map();
    byId("filter-classes").append(...CLASSES.map((name) => this.toggle(name, t("class." + name))));
    byId("filter-priorities").append(...PRIORITIES.map((name) => this.toggle(name, t("priority." + name))));
    this.openOnly = byId("filter-open");
    this.openOnly.addEventListener("click", () => this.set(() => (this.open = !this.open)));
    this.text.addEventListener("input", () => this.set(() => undefined));
    byId("filter-none").addEventListener("click", () => this.clear());
    byId("filter").addEventListener("submit", (event) => event.preventDefault());
    rove([...byId("filter-tools").querySelectorAll("button")]);
    this.take();
  }

  toggle(name, label) {
    const count = element("span", { class: "count" });
    const button = element("button", { type: "button", "data-name": name }, label, " ", count);
    button.addEventListener("click", () => this.set(() => this.hidden.delete(name) || this.hidden.add(name)));
    this.counts.set(name, { button, count });
    return button;
  }

  clear() {
    this.set(() => {
      this.hidden.clear();
      this.open = false;
      this.text.value = "";
    });
    this.text.focus();
  }

  set(change) {
    change();
    this.take();
    try {
      localStorage.setItem(KEPT, JSON.stringify({ hidden: [...this.hidden], text: this.text.value, open: this.open }));
    } catch {
      // it is set anew the next time
    }
    this.changed();
  }

  take() {
    this.words = folded(this.text.value).split(/\s+/).filter(Boolean);
    this.openOnly.setAttribute("aria-pressed", String(this.open));
    for (const [name, { button }] of this.counts) button.setAttribute("aria-pressed", String(!this.hidden.has(name)));
  }

  shows(alarm) {
    if (this.hidden.has(alarm.signal_class) || this.hidden.has(alarm.priority)) return false;
    if (this.open && !UNACKNOWLEDGED.has(alarm.state)) return false;
    if (this.words.length === 0) return true;
    const told = folded(`${titleOf(alarm)} ${alarm.definition} ${alarm.point} ${alarm.node} ${alarm.group}`);
    return this.words.every((word) => told.includes(word));
  }

  // How many there are of each, and what is not shown.
  tell(alarms) {
    const number = new Map();
    for (const { signal_class: kind, priority } of alarms) for (const name of [kind, priority]) number.set(name, (number.get(name) ?? 0) + 1);
    for (const [name, { count }] of this.counts) write(count, String(number.get(name) ?? 0));
    const unseen = alarms.filter((alarm) => !this.shows(alarm));
    byId("filter-hides").hidden = unseen.length === 0;
    if (unseen.length > 0) {
      write(byId("filter-hidden"), t("filter.hidden", { count: unseen.length, priority: t("priority." + worst(unseen)) }));
    }
  }
}
