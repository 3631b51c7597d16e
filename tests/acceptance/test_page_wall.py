"""The wall in a real Chromium: alarms come and go by themselves, and a lost connection is said."""

from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.acceptance.test_page import CHROMIUM, browser
from tests.rig.webapp import CO_HIGH, O2_LOW, website

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="THE PAGE IS NOT TESTED: no /usr/bin/chromium (apt-get install chromium)")


async def test_the_wall_shows_the_worst_first_and_says_when_it_is_blind(tmp_path: Path) -> None:
    async with website(tmp_path) as site, browser(site) as page:
        await page.goto(f"{site.url}/wall")
        await expect(page.locator("#wall-none")).to_be_visible()
        site.event(O2_LOW, value=19.0)
        site.event(CO_HIGH, value=41.5)
        lines = page.locator("#wall > li")
        await expect(lines).to_have_count(2)
        await expect(lines.first).to_contain_text("CO alto en la galería norte")
        await expect(lines.first).to_contain_text("Crítica")
        await expect(page.locator("#count-unacknowledged")).to_have_text("2")
        assert await page.locator("button:visible, input:visible, .pages:visible, .languages:visible").count() == 0
        height = await lines.first.locator("strong").evaluate("node => parseFloat(getComputedStyle(node).fontSize)")
        assert height >= 28
        await expect(page.locator("#banner")).to_be_hidden()
        await page.context.set_offline(True)
        await expect(page.locator("#banner")).to_be_visible(timeout=5_000)
        await page.context.set_offline(False)
        await expect(page.locator("#banner")).to_be_hidden(timeout=8_000)
        await page.goto(f"{site.url}/wall?lang=en")
        await expect(lines.first).to_contain_text("CO high in the north drift")
