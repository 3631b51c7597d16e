// What every page but the alarms' has: who is logged in, and a line that says what went wrong.

import { Account } from "./account.js";
import { reasonText } from "./words.js";

export const account = new Account();

// Resolves when this browser may see the page.
export async function entered() {
  await account.load().catch(() => undefined);
  while (!account.maySee()) await account.ask();
}

export const failure = (error) => reasonText(error.reason ?? String(error));
