"""Assets in a real Chromium: the worst first, when its zone was crossed, spectra with cursors, and a note by keyboard."""

from pathlib import Path

import pytest
from playwright.async_api import expect

from gateway.assets import notes
from tests.acceptance.test_page import CHROMIUM, browser
from tests.rig.webapp import website
from tests.unit.test_assets import DE, shaken

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="THE PAGE IS NOT TESTED: no /usr/bin/chromium (apt-get install chromium)")


async def test_from_the_list_to_a_note_by_keyboard(tmp_path: Path) -> None:
    async with website(tmp_path, born=False) as site, browser(site) as page:
        shaken(site)
        site.born()
        await page.goto(f"{site.url}/assets")
        first = page.locator("#assets li").first
        await expect(first).to_contain_text("slurry-1")
        await expect(first).to_contain_text("Zona C")
        await expect(page.locator('li[data-asset="gas-2"]')).to_contain_text("2 de 2 puntos sin valor")
        await first.locator("a").press("Enter")
        await expect(page.locator("#zones")).to_contain_text("antes zona B")
        await expect(page.locator("#alarms a")).to_have_attribute("href", "/alarm/pump-1.vibration-high")
        await expect(page.locator("#values .value")).to_have_count(2)  # lines of spectra are no values of the list
        await expect(page.locator("#chart canvas")).to_be_visible()
        model = page.locator("#models article")
        await expect(model).to_contain_text("bearing_condition 1.0.0")
        await expect(model.locator(".scores dd")).to_have_text("6.00 mm/s")
        site.read({f"{DE}/rms_velocity": 7.5}, node="pump-1")
        await expect(model.locator(".scores dd")).to_have_text("7.50 mm/s")
        await model.locator("summary").press("Enter")
        await expect(model.locator(".figures")).to_contain_text("0.95 (0.9 – 0.98)")
        await expect(model.locator("dd", has_text="otras máquinas")).to_be_visible()
        await expect(model.locator('[lang="en"]', has_text="few false calls")).to_be_visible()  # nobody has translated that
        await page.locator("#spectra-which").select_option(f"envelope {DE}")
        await page.locator('[data-past="1h"]').press("Enter")
        await expect(page.locator("#spectra-cursors")).to_have_text("BPFO 3.58")
        await expect(page.locator("#spectrum canvas")).to_be_visible()
        await expect(page.locator("#waterfall")).to_have_attribute("data-louder", "1")
        await expect(page.locator("#waterfall-told")).to_contain_text("ahora 1 líneas")
        await page.locator("#note-text").fill("rodamiento pedido")
        await page.locator("#note-who").fill("Ana Quispe")
        await page.locator("#note button").press("Enter")
        await expect(page.locator("#notes")).to_contain_text("rodamiento pedido")
        assert [one.who for one in notes.of(site.services.engine, "pump-1", "slurry-1")] == ["Ana Quispe"]
        await page.goto(f"{site.url}/asset/pump-1/slurry-1?lang=en")
        await expect(page.locator("#zones")).to_contain_text("zone B before")
