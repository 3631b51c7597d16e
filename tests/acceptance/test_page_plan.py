"""The plan of the site in a real Chromium: how things stand on it, and placing them by pointer and by keyboard."""

from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.acceptance.test_page import CHROMIUM, browser
from tests.rig.webapp import CO_HIGH, website
from tests.unit.test_gas import gas
from tests.unit.test_plan import SVG

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="THE PAGE IS NOT TESTED: no /usr/bin/chromium (apt-get install chromium)")


async def test_an_engineer_draws_a_plan_and_an_operator_sees_what_is_wrong_and_what_nobody_sees(tmp_path: Path) -> None:
    picture = tmp_path / "plan.svg"
    picture.write_bytes(SVG)
    async with website(tmp_path, **gas()) as site, browser(site) as page:
        await page.goto(f"{site.url}/plan")
        await expect(page.locator("#none")).to_be_visible()
        await page.locator("#edit").press("Enter")
        await page.locator("#file").set_input_files(picture)
        await page.locator("#add").press("Enter")
        await page.locator("#rows select").first.select_option("asset gas-north/gas-2")
        await page.get_by_label("X (%) 1").fill("25")
        await page.locator("#add").press("Enter")
        await page.locator("#rows select").nth(1).select_option("place heading-3")
        await page.locator("#plan").click(position={"x": 600, "y": 40})
        await page.locator("#who").fill("Inés Soto")
        await page.locator("#form .main").press("Enter")
        await expect(page.locator("#editor")).not_to_be_visible()
        await expect(page.locator("#picture")).to_be_visible()
        asset = page.locator('li[data-ref="gas-north/gas-2"]')
        await expect(asset).to_have_attribute("data-blind", "true")
        await expect(asset).to_contain_text("2 de 2 puntos sin valor")
        await expect(page.locator('li[data-ref="heading-3"]')).to_contain_text("CO ⚠ sin valor")
        assert await asset.evaluate("each => each.style.left") == "25%"
        site.read({"gas-2/co": 60.0, "gas-2/o2": 20.8, "fan-3/airflow": 500.0})
        site.event(CO_HIGH, value=60.0)
        await page.reload()
        await expect(asset).to_have_attribute("data-priority", "critical")
        await expect(asset).to_contain_text("CO alto en la galería norte")
        await asset.locator("a").press("Enter")
        await expect(page.locator("#asset-title")).to_have_text("gas-2 · gas-north")
