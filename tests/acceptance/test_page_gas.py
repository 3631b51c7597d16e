"""Gas and ventilation in a real Chromium: a blast until people go back, and a gas test until its record is printed."""

from pathlib import Path

import pytest
from playwright.async_api import expect

from gateway.gas.entry_tests import kept
from tests.acceptance.test_page import CHROMIUM, browser
from tests.rig.webapp import website
from tests.unit.test_gas import POINTS, TAGS, breathe, crewed, gas

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="THE PAGE IS NOT TESTED: no /usr/bin/chromium (apt-get install chromium)")


async def test_a_blast_until_people_go_back_by_keyboard(tmp_path: Path) -> None:
    async with website(tmp_path, born=False, **crewed()) as site, browser(site) as page:
        site.born(points=POINTS | TAGS)
        await page.goto(f"{site.url}/gas")
        place = page.locator('[data-place="heading-3"]')
        await expect(place).to_contain_text("Sin medición")
        crew = page.locator('[data-crew="crew-a"]')
        await expect(crew).to_contain_text("No se sabe dónde está")
        breathe(site, 60.0)
        site.read({"gate-3/crew-a": 1.0, "gate-3/crew-b": 0.0})
        await expect(place).to_contain_text("Fuera del límite", timeout=15_000)
        await expect(crew).to_contain_text("Ahora en: Frente 3")
        await expect(crew.locator(".number").first).to_contain_text("60")
        await expect(page.locator('[data-crew="crew-b"]')).to_contain_text("Ahora en ningún lugar medido")
        await expect(place.locator(".air")).to_contain_text("Falta aire")
        await place.get_by_role("button", name="Registrar voladura").press("Enter")
        await page.locator("#blast-who").fill("Ana Quispe")
        await page.locator("#blast-submit").press("Enter")
        await expect(place.locator(".blast")).to_contain_text("Reingreso prohibido")
        await expect(place.locator(".blast button")).to_be_disabled()
        with site.services.engine.begin() as connection:  # as if the blast had been an hour ago
            connection.exec_driver_sql("UPDATE gas_blast SET at_ns = at_ns - 3600000000000")
        breathe(site, 6.0)
        button = place.get_by_role("button", name="Permitir el reingreso")
        await expect(button).to_be_enabled(timeout=15_000)
        await button.press("Enter")
        await page.locator("#blast-who").fill("Luis Rojas")
        await page.locator("#blast-submit").press("Enter")
        await expect(place.locator(".blast")).to_have_count(0)
        await expect(page.locator("#blasts")).to_contain_text("reingreso permitido por Luis Rojas")


async def test_a_gas_test_is_kept_and_printed_in_english_too(tmp_path: Path) -> None:
    async with website(tmp_path, born=False, **gas()) as site, browser(site) as page:
        site.born(points=POINTS)
        await page.goto(f"{site.url}/gas?lang=en")
        for name, value in (("O2", "20.8"), ("CO", "31"), ("CO2", "700"), ("NO2", "0.2")):
            await page.locator(f"#test-{name}").fill(value)
        await page.locator("#test-instrument").fill("Altair 5X 4711")
        await page.locator("#test-calibrated").fill("2026-01-15")
        await page.locator("#test-told").fill("crew of heading 3")
        await page.locator("#test-who").fill("Ana Quispe")
        await page.locator("#test button").press("Enter")
        await expect(page.locator("#test-done")).to_contain_text("Not fit: do not enter")
        (test,) = kept(site.services.engine)
        assert (test.fit, test.reasons, test.readings["CO"]) == (False, ("outside:CO",), 31.0)
        await page.locator("#test-done a").click()
        await expect(page.locator("#verdict")).to_have_text("⚠ Not fit: do not enter: CO outside the limit")
        await expect(page.locator("#facts")).to_contain_text("Altair 5X 4711")
        await page.emulate_media(media="print")
        await expect(page.locator(".bar")).not_to_be_visible()
        await expect(page.locator(".signatures")).to_be_visible()
