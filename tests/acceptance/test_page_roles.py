"""Every page for every role in both languages, in a real Chromium: it opens, says who is logged in, and lets people do what their role may."""

import time
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, Page, async_playwright, expect

from contract.alarms import AlarmDefinition, State
from gateway.accounts.roles import Role
from gateway.web.language import texts
from gateway.web.page import PAGES
from tests.acceptance.test_page import ARGUMENTS, CHROMIUM
from tests.rig.device import until
from tests.rig.webapp import CO_HIGH, NODE, WebSite, website

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="THE PAGES ARE NOT TESTED: no /usr/bin/chromium (apt-get install chromium)")
PASSWORD = "cuatro palabras bien largas"
ALARMS = {
    role: AlarmDefinition(f"for-{role}", "gas-2/co", CO_HIGH.condition, CO_HIGH.priority, title={"es": f"CO {role}", "en": f"CO {role}"})
    for role in Role
}
OTHERS = {"story": f"/alarm/{NODE}.for-viewer", "asset": f"/asset/{NODE}/gas-2"}


async def log_in(site: WebSite, context: BrowserContext, role: Role) -> None:
    said = {"name": str(role), "password": PASSWORD}
    answer = await context.request.post(f"{site.url}/api/v1/session", data=said, headers={"Origin": site.url})
    assert answer.ok, await answer.text()


async def acknowledge(site: WebSite, page: Page, role: Role, words: dict[str, str]) -> None:
    await page.goto(site.url)
    row = page.locator(f'tr[data-key="{NODE}.for-{role}"]')
    await row.get_by_role("button", name=words["alarms.acknowledge"]).press("Enter")
    await expect(page.locator("#dialog-who-label")).to_contain_text(str(role))
    await page.locator("#dialog-note").fill("voy")
    await page.locator("#dialog-submit").press("Enter")
    if role is Role.VIEWER:
        await expect(page.locator("#dialog-error")).to_contain_text(words["reason.not_allowed"])
        assert site.journal.get(f"{NODE}.for-{role}").state is State.UNACKNOWLEDGED
    else:
        await expect(row).to_contain_text("“voy”")
        assert site.journal.get(f"{NODE}.for-{role}").now.acknowledged_by == str(role)


async def let_in(site: WebSite, page: Page, role: Role, words: dict[str, str]) -> None:
    """Who may not lets no node in."""
    await page.goto(f"{site.url}/nodes")
    await page.locator(f'li[data-node="{NODE}"]').get_by_role("button", name=words["watching.approve"]).press("Enter")
    if role.may(Role.ENGINEER):
        await until(lambda: site.services.approvals.by() == {NODE: str(role)})
        site.services.approvals.withdraw(NODE)
        site.services.approvals.reload()  # as the gateway does every second
    else:
        await expect(page.locator("#error")).to_contain_text(words["reason.not_allowed"])
        assert site.services.approvals.by() == {}


@pytest.mark.parametrize("language", ["es", "en"])
async def test_each_role_sees_every_page_and_does_what_it_may(language: str, tmp_path: Path) -> None:
    words = dict(texts(language))
    complaints: list[str] = []
    async with website(tmp_path, born=False, access="changes", approve_nodes=True) as site, async_playwright() as playwright:
        site.born(alarms=list(ALARMS.values()))
        site.read({"gas-2/co": 41.5})
        for role, definition in ALARMS.items():
            site.event(definition, value=41.5)
            site.services.users.add(str(role), role, PASSWORD, now_ns=time.time_ns())
        chromium = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        try:
            for role in (None, *Role):
                context = await chromium.new_context(locale="es-PE" if language == "es" else "en-GB", reduced_motion="reduce")
                page = await context.new_page()
                page.set_default_timeout(10_000)
                page.on("pageerror", lambda error: complaints.append(str(error)))
                if role is not None:
                    await log_in(site, context, role)
                for path in (PAGES | OTHERS).values():
                    await page.goto(f"{site.url}{path}?lang={language}")
                    assert await page.locator("html").get_attribute("lang") == language
                    await expect(page.locator("h1").first).not_to_be_empty()
                    said = words["account.in"] if role is None else f"{role} ({words[f'role.{role}']})"
                    await expect(page.locator("#account")).to_contain_text(said)
                assert complaints == []
                if role is not None:
                    await acknowledge(site, page, role, words)
                    await let_in(site, page, role, words)
                await context.close()
        finally:
            await chromium.close()
