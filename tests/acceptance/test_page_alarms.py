"""Living with many alarms in a real Chromium: filter, sound, flood, several at once, a thousand of them, and looking back."""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from contract.alarms import AlarmDefinition, AlarmEvent, Condition, ConditionKind, Priority, SignalClass, State, Transition, Trigger
from gateway.accounts.roles import Role
from gateway.alarms.journal import Arrived
from tests.acceptance.test_page import CHROMIUM, KEY, O2_KEY, browser
from tests.rig.webapp import CO_HIGH, NODE, O2_LOW, WebSite, website

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="THE PAGE IS NOT TESTED: no /usr/bin/chromium (apt-get install chromium)")
FAN = AlarmDefinition(
    id="fan-silent",
    point="fan-3/airflow",
    condition=Condition(ConditionKind.SILENCE, 30.0),
    priority=Priority.LOW,
    signal_class=SignalClass.MALFUNCTION,
    title={"es": "Ventilador 3 sin señal en la galería", "en": "Fan 3 without a signal in the drift"},
)
LISTEN = """const start = OscillatorNode.prototype.start;
OscillatorNode.prototype.start = function (at) {
  document.body.dataset.beeps = `${document.body.dataset.beeps ?? ""}${this.frequency.value} `;
  start.call(this, at);
};"""


def many(count: int, *, priority: Priority = Priority.MEDIUM, prefix: str = "many") -> list[AlarmDefinition]:
    return [
        AlarmDefinition(
            f"{prefix}-{n:04}", f"belt-{n}/speed", Condition(ConditionKind.BELOW, 1.0), priority, title={"es": f"Faja {prefix} {n}"}
        )
        for n in range(count)
    ]


async def shown(page: Page) -> list[str]:
    keys: list[str] = await page.locator("#alarm-rows tr").evaluate_all("rows => rows.map(row => row.dataset.key)")
    return keys


async def test_a_filter_stays_and_says_what_it_hides(tmp_path: Path) -> None:
    async with website(tmp_path, born=False) as site:
        site.born(alarms=[CO_HIGH, O2_LOW, FAN])
        for definition in (CO_HIGH, O2_LOW, FAN):
            site.event(definition)
        async with browser(site) as page:
            assert await shown(page) == [KEY, O2_KEY, f"{NODE}.fan-silent"]
            alarm = page.locator('#filter [data-name="alarm"]')
            await expect(alarm).to_have_text("Alarma 1")
            await alarm.focus()
            await page.keyboard.press("ArrowRight")
            await page.keyboard.press("ArrowLeft")
            await page.keyboard.press("Space")
            await expect(page.locator("#filter-hidden")).to_have_text("El filtro oculta 1; la mayor prioridad entre ellas: Crítica.")
            assert await shown(page) == [O2_KEY, f"{NODE}.fan-silent"]
            await page.locator("#filter-text").fill("GALERIA ventil")  # neither case nor accents
            await expect(page.locator("#alarm-rows tr")).to_have_count(1)
            await page.reload()
            await expect(page.locator("#connection")).to_have_attribute("data-state", "live")
            await expect(page.locator("#filter-text")).to_have_value("GALERIA ventil")
            await expect(page.locator("#filter-hidden")).to_contain_text("oculta 2")
            assert await shown(page) == [f"{NODE}.fan-silent"]
            await expect(page.locator("#count-standing")).to_have_text("3")
            await page.locator("#filter-none").click()
            assert len(await shown(page)) == 3
            await page.locator("#filter-open").click()
            site.annunciator.announce(site.journal.act(KEY, Trigger.ACKNOWLEDGE, who="Ana", note="", now_ns=time.time_ns()))
            await expect(page.locator(f'tr[data-key="{KEY}"]')).to_have_count(0)


async def test_what_is_on_the_page_is_acknowledged_at_once_but_nothing_that_came_again(tmp_path: Path) -> None:
    async with website(tmp_path, born=False) as site, browser(site) as page:
        site.born(alarms=[CO_HIGH, O2_LOW, FAN])
        for definition in (CO_HIGH, O2_LOW, FAN):
            site.event(definition)
        await expect(page.locator("#page-acknowledge")).to_have_text("Reconocer las 3 de esta página")
        await page.locator("#page-acknowledge").press("Enter")
        await expect(page.locator("#dialog-alarm")).to_have_text("3 alarmas de esta página; la mayor prioridad: Crítica")
        site.event(O2_LOW, active=False)
        site.event(O2_LOW)  # while the dialog is open: another event, which nobody has seen
        await page.locator("#dialog-who").fill("Ana Quispe")
        await page.locator("#dialog-submit").click()
        await expect(page.locator("#dialog-error")).to_contain_text("1 no se reconocieron: volvió a activarse")
        assert site.journal.get(KEY).now.acknowledged_by == "Ana Quispe"
        assert site.journal.get(O2_KEY).state is State.UNACKNOWLEDGED
        await page.keyboard.press("Escape")
        row = page.locator(f'tr[data-key="{O2_KEY}"]')
        await row.get_by_role("button").click()
        site.event(O2_LOW, active=False)
        site.event(O2_LOW)
        await page.locator("#dialog-submit").click()
        await expect(page.locator("#dialog-error")).to_contain_text("volvió a activarse mientras tanto")
        assert site.journal.get(O2_KEY).state is State.UNACKNOWLEDGED


@contextlib.asynccontextmanager
async def listening(site: WebSite) -> AsyncIterator[Page]:
    async with browser(site) as page:
        await page.add_init_script(LISTEN)
        await page.reload()
        await expect(page.locator("#connection")).to_have_attribute("data-state", "live")
        yield page


async def test_each_priority_sounds_its_own_way_and_one_key_silences_it(tmp_path: Path) -> None:
    async with website(tmp_path) as site, listening(site) as page:
        body = page.locator("body")
        site.event(O2_LOW)
        await page.keyboard.press("Tab")  # a browser is silent until somebody touches it
        await expect(body).to_have_attribute("data-sounding", "high")
        await expect(body).to_have_attribute("data-beeps", "784 784 784 ")
        await page.keyboard.press("F2")
        await expect(body).to_have_attribute("data-sounding", "")
        await page.evaluate("document.body.dataset.beeps = ''")
        await page.wait_for_timeout(4500)
        await expect(body).to_have_attribute("data-beeps", "")  # silenced, though nobody has acknowledged it
        assert site.journal.get(O2_KEY).state is State.UNACKNOWLEDGED
        site.event(CO_HIGH)  # a new one sounds again
        await expect(body).to_have_attribute("data-sounding", "critical")
        await expect(body).to_have_attribute("data-beeps", re.compile(r"^988 784 "))
        site.annunciator.announce(site.journal.act(KEY, Trigger.ACKNOWLEDGE, who="Ana", note="", now_ns=time.time_ns()))
        await expect(body).to_have_attribute("data-sounding", "")
        await page.locator("#sound").click()
        await expect(page.locator("#sound")).to_have_text("Sin sonido")
        await page.reload()
        await expect(page.locator("#sound")).to_have_text("Sin sonido")


async def test_a_flood_is_said(tmp_path: Path) -> None:
    async with website(tmp_path, born=False) as site, browser(site) as page:
        alarms = many(12)
        site.born(alarms=alarms)
        for definition in alarms[:10]:
            site.event(definition)
        await page.wait_for_timeout(2500)
        await expect(page.locator("#flood-banner")).not_to_be_visible()
        for definition in alarms[10:]:
            site.event(definition)
        await expect(page.locator("#flood-banner")).to_contain_text("12 en los últimos 10 minutos")


async def test_a_thousand_alarms_and_ten_a_second_leave_the_operator_where_they_are(tmp_path: Path) -> None:
    async with website(tmp_path, born=False) as site:
        standing, coming = many(1000), many(30, priority=Priority.CRITICAL, prefix="new")
        site.born(alarms=[*standing, *coming])
        _at_once(site, standing)
        async with browser(site) as page:
            await expect(page.locator("#page-where")).to_have_text("1 a 50 de 1000")
            key = (await shown(page))[7]
            button = page.locator(f'tr[data-key="{key}"] button')
            await button.focus()
            place = await button.evaluate("each => each.getBoundingClientRect().top")
            for definition in coming[:15]:
                site.event(definition)
                await asyncio.sleep(0.1)
            await expect(page.locator("#count-standing")).to_have_text("1015")
            focused = "document.activeElement.closest('tr')?.dataset.key"
            assert await page.evaluate(focused) == key
            assert abs(await button.evaluate("each => each.getBoundingClientRect().top") - place) < 2
            await page.locator("#page-on").press("Enter")
            await expect(page.locator("#page-where")).to_have_text("51 a 100 de 1015")
            before = await shown(page)
            for definition in coming[15:]:
                site.event(definition)
                await asyncio.sleep(0.1)
            await expect(page.locator("#count-standing")).to_have_text("1030")
            assert await shown(page) == before, "the page that somebody reads does not turn by itself"
            await expect(page.locator("#page-where")).to_have_text("66 a 115 de 1030")
            await expect(page.locator("#above-text")).to_have_text("65 sin reconocer más arriba; la mayor prioridad: Crítica")
            await page.locator("#page-top").click()
            assert (await shown(page))[0].startswith(f"{NODE}.new-")


def _at_once(site: WebSite, definitions: list[AlarmDefinition]) -> None:

    now = time.time_ns()
    events = [
        AlarmEvent(f"b{n:05}", one.id, NODE, one.point, now - 10**9 * (n + 60), Transition.ACTIVE, 0.5) for n, one in enumerate(definitions)
    ]
    site.journal.record_all([Arrived(event, now, late=False) for event in events])
    site.annunciator.load()


async def test_the_history_is_searched_without_case_and_accents(tmp_path: Path) -> None:
    async with website(tmp_path, born=False) as site, browser(site) as page:
        site.born(alarms=[CO_HIGH, O2_LOW, FAN])
        for definition in (CO_HIGH, O2_LOW, FAN):
            site.event(definition)
        site.annunciator.announce(
            site.journal.act(KEY, Trigger.ACKNOWLEDGE, who="Ana Quispe", note="Avisé a mecánica", now_ns=time.time_ns())
        )
        rows = page.locator("#history-rows tr")
        await expect(rows).to_have_count(4)
        await page.locator("#history-text").fill("avise MECANICA")
        await expect(rows).to_have_count(1)
        await expect(rows).to_contain_text("Avisé a mecánica")
        await page.locator("#history-text").fill("galeria")
        await expect(rows).to_have_count(3)
        await page.locator("#history-text").fill("locomotora")
        await expect(page.locator("#history-told")).to_have_text("Nada en el historial contiene estas palabras.")


async def test_an_alarm_has_a_story_and_people_say_whether_it_was_true(tmp_path: Path) -> None:
    async with website(tmp_path) as site:
        for ago in range(300, 0, -5):
            site.read({"gas-2/co": 40.0 if ago < 200 else 10.0}, ago=ago)
        site.event(CO_HIGH, value=41.5, ago=200)
        async with browser(site) as page:
            await page.locator(f'tr[data-key="{KEY}"] a').press("Enter")
            await expect(page.locator("#story-title")).to_have_text("CO alto en la galería norte")
            await expect(page.locator("#story-facts")).to_contain_text("límite > 25 ppm")
            await expect(page.locator("#chart canvas")).to_be_visible()
            await page.locator('[data-action="acknowledge"]').press("Enter")
            await page.locator("#dialog-who").fill("Ana Quispe")
            await page.locator("#dialog-submit").press("Enter")
            await expect(page.locator("#story-line li").first).to_contain_text("Ana Quispe")
            site.event(CO_HIGH, active=False, value=9.0)
            await expect(page.locator("#story-state")).to_have_text("Normal")
            await expect(page.locator("#story-line li")).to_have_count(3)
            await page.locator("#story-form button.main").click()
            await expect(page.locator("#error")).to_have_text("escriba su nombre")
            await page.locator("#story-who").fill("Luis Rojas")
            await page.locator("#story-form button.main").click()
            await expect(page.locator("#error")).to_contain_text("Elija si fue cierta")
            await page.locator('[data-verdict="nuisance"]').press("Enter")
            await page.locator("#story-order").fill("OT-4711")
            await page.locator("#story-form button.main").press("Enter")
            await expect(page.locator("#story-remarks li")).to_contain_text("Molesta · Orden de trabajo: OT-4711")
            async with page.expect_download() as download:
                await page.locator("#story-bundle").click()
            assert (await download.value).suggested_filename == f"{KEY}.zip"
            await page.reload()
            await expect(page.locator("#story-remarks li")).to_contain_text("Luis Rojas")
            await expect(page.locator('[data-verdict="nuisance"]')).to_have_attribute("aria-pressed", "true")


async def test_only_an_engineer_takes_an_alarm_out_of_service(tmp_path: Path) -> None:
    password = "cuatro palabras bien largas"
    async with website(tmp_path, access="changes") as site, browser(site) as page:
        site.services.users.add("Ana", Role.OPERATOR, password, now_ns=time.time_ns())
        site.services.users.add("Inés", Role.ENGINEER, password, now_ns=time.time_ns())
        site.event(CO_HIGH)
        for name, told in (("Ana", "su rol no lo permite"), ("Inés", "")):
            await page.goto(f"{site.url}/alarm/{KEY}")
            await page.locator('[data-action="remove"]').click()
            await page.locator("#login-name").fill(name)
            await page.locator("#login-password").fill(password)
            await page.keyboard.press("Enter")
            await page.locator("#dialog-note").fill("cambio del sensor")
            await page.locator("#dialog-submit").click()
            if told:
                await expect(page.locator("#dialog-error")).to_contain_text(told)
                assert site.journal.get(KEY).state is State.UNACKNOWLEDGED
                await page.keyboard.press("Escape")
                await page.locator("#account").click()
        await expect(page.locator("#story-state")).to_have_text("Fuera de servicio")
        await page.goto(site.url)
        row = page.locator(f'tr[data-key="{KEY}"]')
        await expect(row).to_contain_text("Fuera de servicio")
        await expect(row).to_contain_text("cambio del sensor")
        await row.get_by_role("button", name="Poner en servicio").click()
        await page.locator("#dialog-submit").click()
        await expect(row).to_contain_text("Sin reconocer")
