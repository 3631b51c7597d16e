"""A link of a message in a real Chromium: no login, the keyboard alone, both languages, and the truth about a link that was used."""

from pathlib import Path

import pytest
from playwright.async_api import expect

from contract.alarms import State
from tests.acceptance.test_page import CHROMIUM, KEY, browser
from tests.rig.webapp import CO_HIGH, website
from tests.unit.test_link import NOTIFY, link_of

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="THE PAGE IS NOT TESTED: no /usr/bin/chromium (apt-get install chromium)")


async def test_a_link_is_opened_and_answered(tmp_path: Path) -> None:
    async with website(tmp_path, notify=NOTIFY) as site, browser(site) as page:
        site.event(CO_HIGH, value=41.5)
        address = f"{site.url}/ack/{link_of(site)}"
        await page.goto(f"{address}?lang=en")
        await expect(page.locator("#linked-title")).to_have_text("CO high in the north drift")
        await page.goto(f"{address}?lang=es")
        await expect(page.locator("#linked-facts")).to_contain_text("Retire al personal")
        assert site.journal.get(KEY).state is State.UNACKNOWLEDGED, "opened twice, acknowledged by nobody"
        button = page.get_by_role("button", name="Reconocer como Ana Quispe")
        await expect(button).to_be_visible()
        await button.press("Enter")
        await expect(page.locator("#linked-worth")).to_contain_text("Ya fue reconocida por Ana Quispe")
        await expect(page.locator("#linked-worth")).to_be_focused()
        await expect(page.locator("#linked-state")).to_have_text("Reconocida")
        assert site.journal.get(KEY).now.acknowledged_by == "Ana Quispe"
        await page.goto(address)
        await expect(page.locator("#linked-worth")).to_contain_text("Ya fue reconocida por Ana Quispe")
        await expect(page.locator("#acknowledge")).to_be_hidden()
        site.event(CO_HIGH, active=False)
        site.event(CO_HIGH)
        await page.goto(address)
        await expect(page.locator("#linked-worth")).to_contain_text("volvió a activarse")
        await expect(page.locator("#acknowledge")).to_be_hidden()
        await page.goto(f"{site.url}/ack/bogus")
        await expect(page.locator("#error")).to_contain_text("no es de este sistema")
