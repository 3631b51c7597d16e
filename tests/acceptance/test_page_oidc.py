"""Signing in with the mine's account in a real Chromium, at a provider of another origin, and what somebody reads who is not let in."""

from pathlib import Path

import pytest
from playwright.async_api import async_playwright, expect

from tests.acceptance.test_page import ARGUMENTS, CHROMIUM
from tests.rig.processes import free_port
from tests.rig.provider import provider
from tests.rig.webapp import website
from tests.unit.test_oidc import ANA, GUEST, settings

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="THE PAGE IS NOT TESTED: no /usr/bin/chromium (apt-get install chromium)")


async def test_signing_in_with_the_mines_account(tmp_path: Path) -> None:
    port = free_port()
    with provider(tmp_path, ANA, GUEST) as elsewhere:
        told = settings(tmp_path, elsewhere.issuer, f"http://127.0.0.1:{port}", label="Cuenta de la mina")
        async with website(tmp_path, port=port, access="all", **told) as site, async_playwright() as playwright:
            chromium = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
            try:
                page = await chromium.new_page(locale="es-PE")
                page.set_default_timeout(10_000)
                await page.goto(f"{site.url}/shift")
                await page.get_by_role("link", name="Entrar con Cuenta de la mina").press("Enter")
                await page.locator("input[name=sub]").fill("u-3")
                await page.keyboard.press("Enter")
                await expect(page.locator("#login-error")).to_contain_text("Su cuenta no tiene permiso aquí")
                await page.get_by_role("link", name="Entrar con Cuenta de la mina").click()
                await page.locator("input[name=sub]").fill("u-1")
                await page.keyboard.press("Enter")
                await expect(page.locator("#account")).to_contain_text("ana.quispe (operador)")
                await expect(page.locator("#connection")).to_have_attribute("data-state", "live")
                await page.reload()
                await expect(page.locator("#account")).to_contain_text("ana.quispe")
                await page.get_by_role("button", name="cerrar sesión").click()
                await expect(page.locator("#login")).to_be_visible()
                await page.set_viewport_size({"width": 700, "height": 700})
                await page.screenshot(path=tmp_path / "login.png")
            finally:
                await chromium.close()
