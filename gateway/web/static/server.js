// Requests to the gateway, and its live stream.

const API = "/api/v1";
const SILENCE = 4000; // ms without a word, two missed heartbeats: the connection is lost
const AGAIN = 1000;

export class Refused extends Error {
  constructor(reason, status) {
    super(reason);
    this.reason = reason;
    this.status = status;
  }
}

export async function request(path, options = {}) {
  let answer;
  try {
    answer = await fetch(API + path, { cache: "no-store", signal: AbortSignal.timeout(15000), ...options });
  } catch {
    throw new Refused("network", 0);
  }
  if (answer.ok) return answer.json();
  const body = await answer.json().catch(() => ({}));
  throw new Refused(body.reason ?? `HTTP ${answer.status}`, answer.status);
}

export const get = (path, query = {}) => {
  const search = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== null && value !== undefined));
  return request(search.size ? `${path}?${search}` : path);
};

export const post = (path, body) =>
  request(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

// The difference to the gateway's clock: a tablet's own may be wrong.
let offset = 0;
export const now = () => Date.now() + offset;

// `opened` is called at each (re)connection, before any event; `lost` once at each loss; `beat` at each heartbeat; `event` with kind and data.
export class Stream {
  constructor({ opened, lost, beat, event }) {
    this.calls = { opened, lost, beat, event };
    this.state = "connecting";
    this.heard = performance.now();
    this.open();
    setInterval(() => this.watch(), 500);
    window.addEventListener("online", () => this.reopen());
    window.addEventListener("offline", () => this.fail());
  }

  open() {
    this.source = new EventSource(`${API}/events`);
    this.opening = performance.now();
    const on = (kind, take) =>
      this.source.addEventListener(kind, (message) => {
        this.heard = performance.now();
        take(JSON.parse(message.data));
      });
    on("hello", (data) => {
      offset = data.now - Date.now();
      this.state = "live";
      this.calls.opened();
    });
    on("heartbeat", (data) => {
      offset = data.now - Date.now();
      this.calls.beat(data);
    });
    on("reload", () => this.calls.opened());
    for (const kind of ["alarm", "readings", "node"]) on(kind, (data) => this.calls.event(kind, data));
    this.source.onerror = () => this.fail();
  }

  watch() {
    const quiet = performance.now() - Math.max(this.heard, this.opening);
    if (this.source.readyState !== EventSource.CLOSED && quiet > SILENCE) this.fail();
  }

  // The browser's own retry gives up on some answers and waits too long on others: we open a new one.
  fail() {
    this.source.close();
    if (this.state !== "lost") this.calls.lost();
    this.state = "lost";
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.open(), AGAIN);
  }

  reopen() {
    if (this.state === "live") return;
    clearTimeout(this.timer);
    this.source.close();
    this.open();
  }
}
