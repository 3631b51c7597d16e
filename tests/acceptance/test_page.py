"""The operators' page in a real Chromium: what a person sees, and does with a keyboard alone."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Page, async_playwright, expect

from contract.alarms import State, Trigger
from gateway.accounts.roles import Role
from tests.rig.processes import free_port
from tests.rig.webapp import CO_HIGH, NODE, O2_LOW, WebSite, website

CHROMIUM = Path("/usr/bin/chromium")
KEY = f"{NODE}.co-high"
O2_KEY = f"{NODE}.o2-low"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="THE PAGE IS NOT TESTED: no /usr/bin/chromium (apt-get install chromium)")


@contextlib.asynccontextmanager
async def browser(site: WebSite, *, locale: str = "es-PE", wait: bool = True) -> AsyncIterator[Page]:
    """The page, open. Whatever it asks for must be ours, and it must not complain."""
    asked: list[str] = []
    complaints: list[str] = []
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        try:
            context = await chromium.new_context(locale=locale, viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
            page = await context.new_page()
            page.on("request", lambda request: asked.append(request.url))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("console", lambda message: complaints.append(message.text) if "Content Security Policy" in message.text else None)
            page.set_default_timeout(10_000)
            await page.goto(site.url)
            if wait:
                await expect(page.locator("#connection")).to_have_attribute("data-state", "live")
            yield page
            assert len(asked) > 10
            assert [url for url in asked if not url.startswith(f"{site.url}/")] == []
            assert complaints == []
        finally:
            await chromium.close()


def spans_hours(url: str, hours: float) -> bool:
    """Whether a URL asks for readings over so many hours."""
    query = parse_qs(urlsplit(url).query)
    return urlsplit(url).path.endswith("/readings") and float(query["end"][0]) - float(query["start"][0]) == hours * 3_600_000


async def test_an_alarm_appears_within_a_second_and_is_acknowledged_by_keyboard(tmp_path: Path) -> None:
    async with website(tmp_path) as site, browser(site) as page:
        await expect(page.locator("#alarms-none")).to_be_visible()
        began = time.monotonic()
        site.event(CO_HIGH, value=41.5)
        row = page.locator(f'tr[data-key="{KEY}"]')
        await row.wait_for()
        assert time.monotonic() - began < 1
        for text in ("Crítica", "Alarma", "Sin reconocer", "CO alto en la galería norte", "41.5", "ppm", "> 25 ppm", "Retire al personal"):
            await expect(row).to_contain_text(text)
        await expect(page.locator("#announcer")).to_contain_text("CO alto en la galería norte")

        for _ in range(60):  # to the button by the keyboard alone
            await page.keyboard.press("Tab")
            if await row.locator("button").evaluate("button => button === document.activeElement"):
                break
        await expect(row.locator("button")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator("#dialog-who")).to_be_focused()
        await page.keyboard.press("Enter")  # without a name nothing happens
        assert site.journal.get(KEY).state is State.UNACKNOWLEDGED
        await page.keyboard.type("Ana Quispe")
        await page.keyboard.press("Tab")
        await page.keyboard.type("ventilador 2 en marcha")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(row).to_contain_text("Reconocida")
        await expect(row).to_contain_text("por Ana Quispe")
        await expect(row.locator("button")).to_have_text("Apartar")
        await expect(page.locator("#dialog")).not_to_be_visible()
        now = site.journal.get(KEY).now
        assert (now.state, now.acknowledged_by, now.note) == (State.ACKNOWLEDGED, "Ana Quispe", "ventilador 2 en marcha")
        await expect(page.locator("#history-rows tr").first).to_contain_text("Ana Quispe")

        site.event(O2_LOW, value=19.1)  # the name is remembered
        await page.locator(f'tr[data-key="{O2_KEY}"] button').press("Enter")
        await expect(page.locator("#dialog-who")).to_have_value("Ana Quispe")
        await expect(page.locator("#dialog-note")).to_be_focused()
        await page.keyboard.press("Escape")
        await expect(page.locator(f'tr[data-key="{O2_KEY}"] button')).to_be_focused()

        site.event(CO_HIGH, active=False, value=9.0)
        await expect(row).to_have_count(0)


async def test_a_site_with_logins_asks_who_acts_and_an_idle_operator_still_sees(tmp_path: Path) -> None:
    password = "cuatro palabras bien largas"
    async with website(tmp_path, access="changes", idle_after=60) as site, browser(site) as page:
        site.services.users.add("Ana Quispe", Role.OPERATOR, password, now_ns=time.time_ns())
        site.event(CO_HIGH, value=41.5)
        row = page.locator(f'tr[data-key="{KEY}"]')
        await row.get_by_role("button", name="Reconocer").press("Enter")
        await expect(page.locator("#login-name")).to_be_focused()
        await page.keyboard.type("Ana Quispe")
        await page.keyboard.press("Tab")
        await page.keyboard.type("wrong wrong wrong")
        await page.keyboard.press("Enter")
        await expect(page.locator("#login-error")).to_contain_text("no es correcto")
        await page.keyboard.type(password)
        await page.keyboard.press("Enter")
        await expect(page.locator("#dialog-who-label")).to_have_text("Firma: Ana Quispe")
        await expect(page.locator("#dialog-who")).not_to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.locator("#account")).to_contain_text("Ana Quispe (operador)")
        with site.services.engine.begin() as connection:  # a shift break later
            connection.exec_driver_sql("UPDATE account_session SET acted_ns = acted_ns - 3600000000000")
        site.event(O2_LOW, value=19.1)
        await page.locator(f'tr[data-key="{O2_KEY}"]').wait_for()
        await row.get_by_role("button", name="Reconocer").press("Enter")
        await expect(page.locator("#login-error")).to_contain_text("escriba de nuevo")
        await expect(page.locator("#login-password")).to_be_focused()
        await page.keyboard.type(password)
        await page.keyboard.press("Enter")
        await expect(page.locator("#dialog-note")).to_be_focused()
        await page.locator("#dialog-submit").press("Enter")
        await expect(row).to_contain_text("por Ana Quispe")
        assert site.journal.get(KEY).now.acknowledged_by == "Ana Quispe"


async def test_a_site_that_shows_itself_only_to_its_own_asks_first(tmp_path: Path) -> None:
    password = "cuatro palabras bien largas"
    async with website(tmp_path, access="all") as site, browser(site, wait=False) as page:
        site.services.users.add("Luis", Role.VIEWER, password, now_ns=time.time_ns())
        site.event(CO_HIGH, value=41.5)
        await page.locator("#login-name").fill("Luis")
        assert await page.locator("#alarm-rows tr").count() == 0
        await page.locator("#login-password").fill(password)
        await page.keyboard.press("Enter")
        await page.locator(f'tr[data-key="{KEY}"]').wait_for()


async def test_an_alarm_is_shelved_with_a_reason_and_taken_back(tmp_path: Path) -> None:
    async with website(tmp_path) as site, browser(site) as page:
        site.event(O2_LOW, value=19.1)
        site.annunciator.announce(site.journal.act(O2_KEY, Trigger.ACKNOWLEDGE, who="Ana", note="", now_ns=time.time_ns()))
        row = page.locator(f'tr[data-key="{O2_KEY}"]')
        await row.get_by_role("button", name="Apartar").click()
        await page.locator("#dialog-who").fill("Ana")
        await page.locator("#dialog-submit").click()  # a reason is required
        assert site.journal.get(O2_KEY).state is State.ACKNOWLEDGED
        await page.locator("#dialog-note").fill("calibración")
        await page.locator("#dialog-duration").select_option("3600")
        await page.locator("#dialog-submit").click()
        await expect(row).to_contain_text("Apartada")
        shelved = site.journal.get(O2_KEY).now
        assert shelved.note == "calibración"
        assert shelved.shelved_until_ns is not None
        assert abs(shelved.shelved_until_ns - time.time_ns() - 3600 * 10**9) < 60 * 10**9
        await row.get_by_role("button", name="Reponer").click()
        await page.locator("#dialog-submit").click()
        await expect(row).to_contain_text("Sin reconocer")


async def test_who_comes_too_late_is_told(tmp_path: Path) -> None:
    async with website(tmp_path) as site, browser(site) as page:
        site.event(CO_HIGH)
        await page.locator(f'tr[data-key="{KEY}"] button').click()
        await page.locator("#dialog-who").fill("Ana")
        site.journal.act(KEY, Trigger.ACKNOWLEDGE, who="Luis", note="", now_ns=time.time_ns())  # another gateway's operator
        await page.locator("#dialog-submit").click()
        await expect(page.locator("#dialog-error")).to_contain_text("otra persona se adelantó")


async def test_values_move_and_a_click_draws_their_trend(tmp_path: Path) -> None:
    async with website(tmp_path) as site:
        for ago in range(120, 0, -2):
            site.read({"gas-2/co": 10.0 + ago / 100, "gas-2/o2": 20.7}, ago=ago)
        async with browser(site) as page:
            co = page.locator(f'.value[data-key="{NODE} gas-2/co"]')
            await expect(co).to_contain_text("Monóxido de carbono")
            site.read({"gas-2/co": 17.25, "gas-2/o2": 20.7})
            await expect(co.locator(".number")).to_have_text("17.3")
            site.read({}, quality={"gas-2/co": "bad:wire_break"})
            await expect(co).to_contain_text("malo: cable cortado")
            await expect(co.locator(".number")).to_have_text("–")
            o2 = page.locator(f'.value[data-key="{NODE} gas-2/o2"]')
            await o2.click()
            await expect(o2).to_have_attribute("aria-pressed", "true")
            await expect(page.locator("#chart-point")).to_contain_text("gas-2/o2")
            async with page.expect_response(lambda answer: spans_hours(answer.url, 8)) as asked:
                await page.locator('[data-range="8h"]').click()
            assert (await (await asked.value).json())["point"] == "gas-2/o2"
            await expect(page.locator("#chart canvas")).to_be_visible()
            box = await page.locator(".chart .u-over").bounding_box()
            assert box is not None
            for x in range(int(box["width"]) - 2, int(box["width"]) - 40, -3):
                await page.mouse.move(box["x"] + x, box["y"] + 40)
            await expect(page.locator("#chart-readout")).to_contain_text("20.7")


async def test_the_language_is_switched_and_stays(tmp_path: Path) -> None:
    async with website(tmp_path) as site:
        site.event(CO_HIGH)
        async with browser(site) as page:
            await expect(page.locator("html")).to_have_attribute("lang", "es")
            await page.get_by_role("link", name="English").click()
            row = page.locator(f'tr[data-key="{KEY}"]')
            await expect(row).to_contain_text("CO high in the north drift")
            await expect(row).to_contain_text("Withdraw the crew")
            await expect(row.locator("button")).to_have_text("Acknowledge")
            await page.goto(site.url)
            await expect(page.locator("html")).to_have_attribute("lang", "en")


async def test_a_lost_connection_is_said_within_five_seconds_and_the_page_catches_up(tmp_path: Path) -> None:
    site = WebSite(tmp_path, free_port())
    try:
        site.born()
        async with contextlib.AsyncExitStack() as serving:
            await serving.enter_async_context(site.serving())
            async with browser(site) as page:
                await expect(page.locator("#banner")).not_to_be_visible()
                await serving.aclose()
                await expect(page.locator("#banner")).to_be_visible(timeout=5000)
                await expect(page.locator("#banner")).to_contain_text("lo que ve puede ser antiguo")
                site.event(CO_HIGH)  # while nobody can see it
                site.restart()
                await serving.enter_async_context(site.serving())
                await expect(page.locator(f'tr[data-key="{KEY}"]')).to_be_visible()
                await expect(page.locator("#banner")).not_to_be_visible()
    finally:
        site.close()


async def test_a_connection_that_hangs_is_noticed_too(tmp_path: Path) -> None:
    """The network swallows everything: no error comes, only silence."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(65536):
                await flows.wait()
                writer.write(piece)
                await writer.drain()
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", site.port)
        both = [asyncio.create_task(pump(reader, there_writer)), asyncio.create_task(pump(there_reader, writer))]
        relays.extend(both)

    flows, relays = asyncio.Event(), list[asyncio.Task[None]]()
    flows.set()
    async with website(tmp_path) as site:
        proxy = await asyncio.start_server(relay, "127.0.0.1", 0)
        site.url = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        try:
            async with browser(site) as page:
                flows.clear()
                await expect(page.locator("#banner")).to_be_visible(timeout=5000)
                flows.set()
                await expect(page.locator("#banner")).not_to_be_visible()
        finally:
            proxy.close()
            for task in relays:
                task.cancel()
            await asyncio.gather(*relays, return_exceptions=True)


async def test_what_a_node_sends_is_text_and_never_markup(tmp_path: Path) -> None:
    async with website(tmp_path) as site:
        evil = "<img src=x onerror=document.title='owned'>"
        site.born(
            alarms=[type(CO_HIGH)("co-high", "gas-2/co", CO_HIGH.condition, CO_HIGH.priority, title={"es": evil}, action={"es": evil})]
        )
        site.event(CO_HIGH)
        async with browser(site) as page:
            await expect(page.locator(f'tr[data-key="{KEY}"]')).to_contain_text(evil)
            assert "owned" not in await page.title()


@pytest.mark.parametrize("width", [1280, 800, 390])
async def test_targets_are_large_enough_and_nothing_is_cut_off(tmp_path: Path, width: int) -> None:
    async with website(tmp_path) as site:
        site.event(CO_HIGH)
        site.event(O2_LOW)
        async with browser(site, locale="en-GB") as page:
            await page.set_viewport_size({"width": width, "height": 1000})
            await page.locator(".value").first.wait_for()
            small = await page.evaluate(
                """[...document.querySelectorAll("button, nav a")].filter(each => each.offsetParent !== null)
                .map(each => [each.textContent, each.getBoundingClientRect()]).filter(([, box]) => box.width < 48 || box.height < 48)
                .map(([text, box]) => `${text} ${box.width}x${box.height}`)"""
            )
            assert small == []
            cut = await page.evaluate(
                """[...document.querySelectorAll("main td, main button, header *")].filter(each => each.scrollWidth > each.clientWidth + 1
                && each.clientWidth > 1 && getComputedStyle(each).display !== "inline").map(each => each.textContent)"""
            )
            assert cut == []
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_a_journal_that_takes_nothing_is_said_on_the_page(tmp_path: Path) -> None:
    async with website(tmp_path) as site, browser(site) as page:
        banner = page.locator("#journal-banner")
        await expect(banner).not_to_be_visible()
        site.annunciator.trouble = "database or disk is full"
        await expect(banner).to_be_visible()
        await expect(banner).to_contain_text("pueden faltar alarmas")
        site.annunciator.trouble = ""
        await expect(banner).not_to_be_visible()
