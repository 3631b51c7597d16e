"""The shift page in a real Chromium: what an operator hands over, with a keyboard alone, in both languages."""

import json
import time
from pathlib import Path

import httpx
import pytest
from playwright.async_api import expect
from pypdf import PdfReader

from contract.alarms import Trigger
from gateway.handover import handovers
from tests.acceptance.test_page import CHROMIUM, KEY, O2_KEY, browser
from tests.rig.webapp import CO_HIGH, O2_LOW, website

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="THE PAGE IS NOT TESTED: no /usr/bin/chromium (apt-get install chromium)")


async def test_a_shift_is_handed_over_by_keyboard(tmp_path: Path) -> None:
    async with website(tmp_path) as site, browser(site) as page:
        site.event(CO_HIGH, value=41.5)
        site.event(O2_LOW, value=19.0)
        now = time.time_ns()
        site.journal.act(KEY, Trigger.ACKNOWLEDGE, who="Ana Quispe", note="ventilador 2 en marcha", now_ns=now)
        site.journal.act(
            O2_KEY, Trigger.SHELVE, who="Ana Quispe", note="sensor en calibración", now_ns=now, until_ns=now + 3_600_000_000_000
        )
        await page.goto(f"{site.url}/shift")
        await expect(page.locator("#standing")).to_contain_text("CO alto en la galería norte")
        await expect(page.locator("#standing")).to_contain_text("por Ana Quispe")
        await expect(page.locator("#aside")).to_contain_text("sensor en calibración")
        await expect(page.locator("#done")).to_contain_text("ventilador 2 en marcha")
        await expect(page.locator("#figures")).to_contain_text("Alarmas y alertas")
        await page.locator("#note-text").focus()
        await page.keyboard.type("=Revisar el ventilador 2 a las 03:00")
        await page.keyboard.press("Tab")
        await page.keyboard.type("Ana Quispe")
        await page.keyboard.press("Enter")
        await expect(page.locator("#notes")).to_contain_text("Revisar el ventilador 2")
        await page.locator("#outgoing").focus()
        await page.keyboard.type("Ana Quispe")
        await page.keyboard.press("Tab")
        await page.keyboard.type("ana quispe")
        await page.keyboard.press("Enter")
        await expect(page.locator("#error")).to_contain_text("son dos personas")
        await page.locator("#incoming").fill("Luis Mamani")
        await page.keyboard.press("Enter")
        await expect(page.locator("#signed")).to_contain_text("Ana Quispe entregó a Luis Mamani")
        (kept,) = handovers(site.services.engine)
        assert kept.untouched
        assert "Revisar el ventilador 2" in kept.report
        assert not kept._replace(report=kept.report.replace("41.5", "14.5")).untouched
        async with page.expect_download() as paper:
            await page.locator("#signed a").press("Enter")
        assert kept.sha256 in "".join(one.extract_text() for one in PdfReader(await (await paper.value).path()).pages)
        async with page.expect_download() as paper:
            await page.locator("#pdf").press("Enter")
        assert "Sin firmar" in PdfReader(await (await paper.value).path()).pages[0].extract_text()
        await page.locator("#previous").press("Enter")
        await expect(page.locator("#range")).to_contain_text("turno terminado")
        await expect(page.locator("#notes")).to_contain_text("Nada.")
        await page.goto(f"{site.url}/shift?lang=en")
        await expect(page.locator("#standing-title")).to_have_text("Standing alarms")
        await expect(page.locator("#signed")).to_contain_text("Ana Quispe handed over to Luis Mamani")


async def test_the_report_as_rows_and_as_it_was_signed(tmp_path: Path) -> None:
    async with website(tmp_path) as site, httpx.AsyncClient(base_url=f"{site.url}/api/v1", trust_env=False) as client:
        site.event(CO_HIGH, value=41.5)
        headers = {"Origin": site.url}
        assert (await client.post("/shift/notes", json={"text": "=cmd|1", "who": "Ana"}, headers=headers)).status_code == 200
        rows = (await client.get("/shift.csv")).text.splitlines()
        assert rows[0] == "section,time,key,text,who"
        assert any(row.startswith("standing,") and KEY in row for row in rows)
        assert any(row.startswith("note,") and ",'=cmd|1," in row for row in rows), "no spreadsheet takes a note for a formula"
        done = (await client.post("/shift/sign", json={"outgoing": "Ana", "incoming": "Luis"}, headers=headers)).json()
        site.event(O2_LOW, value=19.0)
        was = (await client.get(f"/shift/signed/{done['number']}")).json()
        assert was["untouched"] is True
        assert [alarm["key"] for alarm in was["report"]["standing"]] == [KEY]
        assert json.dumps(was["report"], ensure_ascii=False, sort_keys=True) == handovers(site.services.engine)[0].report
        assert (await client.get("/shift/signed/99")).status_code == 404
        assert (await client.get("/shift", params={"at": "2099-01-01T00:00:00Z"})).json()["reason"] == "bad_time"
