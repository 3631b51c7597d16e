"""The page of the nodes in a real Chromium: the worst first, what nobody is watching, a filter that stays, an approval by keyboard."""

import time
from pathlib import Path

import pytest
from playwright.async_api import expect

from contract.messages import PointDeclaration
from tests.acceptance.test_page import CHROMIUM, browser
from tests.rig.device import until
from tests.rig.webapp import NODE, website

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="THE PAGE IS NOT TESTED: no /usr/bin/chromium (apt-get install chromium)")
OTHER = {
    "fan-7/outbox/depth": PointDeclaration(
        unit="messages", description={"es": "Mensajes sin confirmar", "en": "Messages not acknowledged"}, period=5
    ),
    "fan-3/flow": PointDeclaration(unit="m3/min", period=1),
}


async def test_who_is_watching_and_what_is_not(tmp_path: Path) -> None:
    async with website(tmp_path) as site:
        site.read({"gas-2/co": 4.0}, quality={"gas-2/o2": "bad:wire_break"})
        site.born("fan-7", OTHER, ())
        site.read({"fan-7/outbox/depth": 1234.0, "fan-3/flow": 700.0}, node="fan-7")
        site.nodes.look(time.time_ns())
        site.nodes.lacks(NODE, ["gas-2/no2"])
        async with browser(site) as page:
            await page.goto(f"{site.url}/nodes")
            await expect(page.locator("#summary")).to_contain_text("2 de 2 en línea, 1 con problemas")
            cards = page.locator("#nodes > li")
            await expect(cards.first).to_have_attribute("data-node", NODE)
            await expect(cards.first).to_contain_text("no llega: gas-2/no2")
            await expect(cards.nth(1)).to_contain_text("Mensajes sin confirmar1,234")
            blind = page.locator("#blind")
            await expect(blind).to_contain_text("gas-2/o2")
            await expect(blind).to_contain_text("gas-2/no2")
            await page.locator("#problems").press("Enter")
            await expect(cards).to_have_count(1)
            await page.locator("#find").focus()
            await page.keyboard.type("nothing like it")
            await expect(page.locator("#none")).to_be_visible()
            await page.goto(f"{site.url}/nodes?lang=en")
            await expect(page.locator("#find")).to_have_value("nothing like it")
            await page.locator("#find").fill("")
            await expect(cards).to_have_count(1)
            await expect(page.locator("#summary")).to_contain_text("2 of 2 online, 1 with problems")


async def test_a_node_is_let_in_by_keyboard(tmp_path: Path) -> None:
    async with website(tmp_path, approve_nodes=True) as site, browser(site) as page:
        await page.goto(f"{site.url}/nodes")
        card = page.locator(f'li[data-node="{NODE}"]')
        await expect(card).to_contain_text("sin aprobar")
        await card.get_by_role("button", name="Aprobar").press("Enter")
        await expect(page.locator("#error")).to_contain_text("Escriba su nombre")
        await expect(page.locator("#who")).to_be_focused()
        await page.keyboard.type("Eva Huanca")
        await card.get_by_role("button", name="Aprobar").press("Enter")
        await until(lambda: site.services.approvals.by() == {NODE: "Eva Huanca"})
        site.services.approvals.reload()  # as the gateway does every second
        await expect(card.get_by_role("button", name="Aprobar")).to_have_count(0)
