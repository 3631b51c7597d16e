// Who is logged in, and the dialog in which somebody logs in. Where the site asks nobody (`open`), nothing of it is shown.

import { byId, write } from "./dom.js";
import { get, request } from "./server.js";
import { reasonText, t } from "./words.js";

export class Account {
  constructor() {
    this.known = { access: "open", name: "", role: "", idle: false, provider: "" };
    this.button = byId("account");
    this.dialog = byId("login");
    this.name = byId("login-name");
    this.password = byId("login-password");
    this.error = byId("login-error");
    this.elsewhere = byId("login-elsewhere");
    this.refusal = new URLSearchParams(location.search).get("login"); // why the provider's sign-in came to nothing
    this.button.addEventListener("click", () => (this.known.name ? this.logOut() : this.ask()));
    byId("login-cancel").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("close", () => {
      this.refusal = null;
      this.answer?.(this.mayAct());
    });
    byId("login-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.logIn();
    });
  }

  async load() {
    this.take(await get("/session"));
    if (this.refusal && !this.known.name) this.ask();
  }

  take(known) {
    this.known = known;
    this.button.hidden = known.access === "open";
    write(this.button, known.name ? t("account.out", { name: known.name, role: t("role." + known.role) }) : t("account.in"));
  }

  mayAct() {
    return this.known.access === "open" || (this.known.name !== "" && !this.known.idle);
  }

  maySee() {
    return this.known.access !== "all" || this.known.name !== "";
  }

  // Resolves to whether somebody is logged in who may act.
  ask() {
    this.error.textContent = this.refusal ? reasonText(this.refusal) : this.known.idle ? t("account.idle") : "";
    byId("login-provider").hidden = !this.known.provider;
    write(this.elsewhere, t("account.elsewhere", { provider: this.known.provider }));
    this.elsewhere.href = "/api/v1/session/oidc?next=" + encodeURIComponent(location.pathname);
    this.name.value = this.known.name;
    this.password.value = "";
    this.dialog.showModal();
    (this.name.value ? this.password : this.name).focus();
    return new Promise((resolve) => {
      this.answer = resolve;
    });
  }

  async ready() {
    if (this.known.access !== "open") await this.load().catch(() => undefined);
    return this.mayAct() || this.ask();
  }

  async logIn() {
    try {
      this.take(await this.send("POST", { name: this.name.value.trim(), password: this.password.value }));
      this.dialog.close();
    } catch (error) {
      this.error.textContent = reasonText(error.reason ?? String(error));
      this.password.value = "";
      this.password.focus();
    }
  }

  async logOut() {
    this.take(await this.send("DELETE", {}));
    if (!this.maySee()) location.reload();
  }

  send(method, body) {
    return request("/session", { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  }
}
