"""A siren at the gateway, by a real program: on while somebody is waited for, right at the start, a malfunction when it cannot be switched."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from contract.alarms import AlarmDefinition, Priority, SignalClass, State, Trigger
from contract.documents import DocumentError
from gateway.alarms.view import AlarmView
from gateway.config import load
from gateway.notify.settings import SirenSettings
from gateway.notify.siren import Siren
from tests.rig.device import until
from tests.rig.webapp import CO_HIGH, NODE, O2_LOW, website
from tests.unit.test_notify import view


def settings(folder: Path, **more: Any) -> SirenSettings:
    """Its program writes down each word that it is called with, and fails while a file `broken` is there."""
    program = folder / "siren"
    if not program.exists():
        program.write_text(f'#!/bin/sh\n[ -e {folder}/broken ] && exit 3\necho "$1" >> {folder}/said\n')
        program.chmod(0o755)
    return SirenSettings.model_validate({"name": "room", "start": [str(program), "on"], "stop": [str(program), "off"], **more})


@asynccontextmanager
async def running(siren: Siren) -> AsyncIterator[None]:
    task = asyncio.create_task(siren.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_it_sounds_until_each_alarm_has_somebody(tmp_path: Path) -> None:
    said = tmp_path / "said"
    async with website(tmp_path) as site:
        siren = Siren(settings(tmp_path, priorities=["critical", "high"]), site.annunciator.standing, lambda *_: None, every=0.02)
        async with running(siren):
            await until(lambda: said.exists() and said.read_text() == "off\n")
            site.event(CO_HIGH)
            await until(lambda: said.read_text() == "off\non\n")
            site.event(O2_LOW)
            for definition in (CO_HIGH, O2_LOW):
                assert siren.wanted()
                seen = site.journal.act(f"{NODE}.{definition.id}", Trigger.ACKNOWLEDGE, who="Ana", note="", now_ns=time.time_ns())
                site.annunciator.announce(seen)
            await until(lambda: said.read_text() == "off\non\noff\n")
            site.event(CO_HIGH, active=False)
            site.event(CO_HIGH)
            await until(lambda: said.read_text() == "off\non\noff\non\n")
        anew = Siren(settings(tmp_path), site.annunciator.standing, lambda *_: None)  # the gateway was killed meanwhile
        async with running(anew):
            await until(lambda: said.read_text().endswith("on\non\n"))


def test_it_is_for_what_its_settings_say(tmp_path: Path) -> None:
    def wanted(one: AlarmView, **more: Any) -> bool:
        return Siren(settings(tmp_path, **more), lambda: [one], lambda *_: None).wanted()

    critical = view(priority=Priority.CRITICAL)
    assert wanted(critical)
    assert not wanted(view(priority=Priority.HIGH))
    assert wanted(view(priority=Priority.HIGH), priorities=["high"])
    assert not wanted(critical, nodes=["pump-*"])
    assert not wanted(critical, classes=[str(SignalClass.MALFUNCTION)])
    assert not wanted(view(priority=Priority.CRITICAL, state=State.ACKNOWLEDGED))
    assert not wanted(view(priority=Priority.CRITICAL, unseen=True)), "history calls nobody"


async def test_one_that_cannot_be_switched_is_a_malfunction_until_it_can(tmp_path: Path) -> None:
    told: list[tuple[str, bool]] = []

    def told_of(one: AlarmDefinition, active: bool) -> None:
        told.append((one.id, active))

    (tmp_path / "broken").touch()
    siren = Siren(settings(tmp_path), lambda: [view(priority=Priority.CRITICAL)], told_of, every=0.02, backoff=(0.02, 0.05))
    async with running(siren):
        await until(lambda: ("siren-room", True) in told)
        (tmp_path / "broken").unlink()
        await until(lambda: told[-1] == ("siren-room", False))
    assert (tmp_path / "said").read_text() == "on\n"


def test_a_program_that_is_not_there_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("site: m\ndata_dir: d\nnotify:\n  sirens:\n    - {name: room, start: [/no/siren, x], stop: [logger, x]}\n", "utf-8")
    with pytest.raises(DocumentError, match=r"gateway.yaml:5: notify.sirens\[0\].start: there is no program '/no/siren' that may be run"):
        load(file)
