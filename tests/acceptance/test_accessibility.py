"""axe-core (tests/vendor/axe-core, MPL-2.0) over every page, in both languages and both colour schemes: no serious and no critical violation."""

import time
from pathlib import Path
from typing import Literal

import msgspec
import pytest
from playwright.async_api import async_playwright

from contract.alarms import AlarmDefinition, Condition, ConditionKind, Priority, SignalClass, Trigger
from gateway.handover import Note, write_note
from gateway.web.page import PAGES
from tests.acceptance.test_page import ARGUMENTS, CHROMIUM
from tests.rig.webapp import CO_HIGH, NODE, WebSite, website
from tests.unit.test_assets import MODEL
from tests.unit.test_link import NOTIFY, link_of

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="THE PAGES ARE NOT TESTED: no /usr/bin/chromium (apt-get install chromium)")
AXE = (Path(__file__).parents[1] / "vendor" / "axe-core" / "axe.min.js").read_text("utf-8")
MORE = {"story": f"/alarm/{NODE}.co-high", "asset": f"/asset/{NODE}/gas-2"}
RUN = """async () => {
  const found = await axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] });
  return found.violations.map(({ id, impact, nodes }) => [id, impact, nodes.map((node) => node.html.slice(0, 160)).slice(0, 3)]);
}"""
OTHERS = [
    AlarmDefinition(
        id=f"{priority}-{kind}",
        point="gas-2/o2",
        condition=Condition(ConditionKind.BELOW, 19.5),
        priority=priority,
        signal_class=kind,
        title={"es": "Oxígeno bajo", "en": "Oxygen low"},
        consequence={"es": "Asfixia.", "en": "Suffocation."},
        action={"es": "Retire al personal.", "en": "Withdraw the crew."},
    )
    for priority in Priority
    for kind in SignalClass
]


def busy(site: WebSite) -> None:
    """A site on which every state and every priority shows."""
    site.born(alarms=[CO_HIGH, *OTHERS], models=[msgspec.structs.replace(MODEL, points=["gas-2/co"], shadow=True)])
    site.read({"gas-2/co": 41.5, "gas-2/o2": 19.0}, quality={"gas-2/o2": "uncertain:stale"})
    for definition in (CO_HIGH, *OTHERS):
        site.event(definition, value=41.5)
    now = time.time_ns()
    site.journal.act(f"{NODE}.{OTHERS[0].id}", Trigger.ACKNOWLEDGE, who="Ana Quispe", note="voy", now_ns=now)
    site.journal.act(
        f"{NODE}.{OTHERS[1].id}", Trigger.SHELVE, who="Ana Quispe", note="prueba", now_ns=now, until_ns=now + 3_600_000_000_000
    )
    site.event(OTHERS[2], active=False, value=20.9)
    site.nodes.lacks(NODE, ["gas-2/no2"])
    write_note(site.services.engine, Note(now, "Ana Quispe", "Revisar el ventilador 2"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_page_shuts_anybody_out(scheme: Literal["light", "dark"], tmp_path: Path) -> None:
    async with website(tmp_path, born=False, approve_nodes=True, notify=NOTIFY) as site, async_playwright() as playwright:
        busy(site)
        chromium = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        try:
            context = await chromium.new_context(color_scheme=scheme, bypass_csp=True, viewport={"width": 1280, "height": 900})
            page = await context.new_page()
            wrong = []
            for language in ("es", "en"):
                for name, path in (PAGES | MORE | {"acknowledge": f"/ack/{link_of(site)}"}).items():
                    await page.goto(f"{site.url}{path}?lang={language}")
                    await page.wait_for_timeout(500)
                    await page.evaluate(AXE)
                    wrong += [(name, language, *found) for found in await page.evaluate(RUN) if found[1] in {"serious", "critical"}]
            assert wrong == []
            await page.evaluate("document.querySelector('main').append(document.createElement('img'))")
            assert "image-alt" in {found[0] for found in await page.evaluate(RUN)}, "it finds what is wrong"
        finally:
            await chromium.close()
