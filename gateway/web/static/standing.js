// What an alarm's state means for its place, its mark and what may be done about it.

import { inLanguage } from "./words.js";

export const RANK = { critical: 0, high: 1, medium: 2, low: 3 };
export const UNACKNOWLEDGED = new Set(["unacknowledged", "returned_unacknowledged", "latched_unacknowledged"]);
export const ASIDE = new Set(["shelved", "suppressed", "out_of_service"]);
const ACTIONS = { latched_acknowledged: "reset", shelved: "unshelve", out_of_service: "restore" };

export const titleOf = (alarm) => inLanguage(alarm.title, alarm.definition);
export const storyOf = (alarm) => `/alarm/${encodeURIComponent(alarm.key)}`;

// What an operator does next about it, if anything.
export function actionOf(alarm) {
  if (UNACKNOWLEDGED.has(alarm.state)) return "acknowledge";
  if (alarm.state === "acknowledged" && alarm.shelvable) return "shelve";
  return ACTIONS[alarm.state];
}

// Everything that may be done about it, the next first.
export function actionsOf(alarm) {
  const next = actionOf(alarm);
  const more = [alarm.shelvable && !ASIDE.has(alarm.state) && "shelve", alarm.state !== "out_of_service" && "remove"];
  return [next, ...more].filter((action, place, all) => action && all.indexOf(action) === place);
}

// Unacknowledged before the rest, what is set aside last; then by priority, then the newest.
export function inOrder(alarms) {
  const order = (alarm) => (UNACKNOWLEDGED.has(alarm.state) ? 0 : ASIDE.has(alarm.state) ? 2 : 1);
  return [...alarms].sort(
    (a, b) => order(a) - order(b) || RANK[a.priority] - RANK[b.priority] || b.since - a.since || (a.key < b.key ? -1 : 1),
  );
}

export const worst = (alarms) => alarms.reduce((most, { priority }) => (most === null || RANK[priority] < RANK[most] ? priority : most), null);
