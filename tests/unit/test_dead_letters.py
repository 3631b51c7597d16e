"""Readings that the store did not get: durable, bounded, shown, and brought back with the time put right."""

import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from contract.frames import to_ms
from gateway.assembly import Gateway
from gateway.cli import main
from gateway.config import BrokerConfig, GatewayConfig
from gateway.dead_letters import CURRENT, OLD, DeadLetters, Letter
from gateway.letter_commands import heaps, replay
from gateway.store import Series, StoreFrame, StoreRefused
from gateway.store.duckdb import DuckDBStore
from gateway.store.memory import MemoryStore
from tests.rig.device import SITE, device, until
from tests.rig.servers import Mosquitto

HOUR = 3_600_000_000_000
NOW = 1_763_870_400_000_000_000
SERIES = Series("pump-3", "gas-2/co")


def letter(place: int, *, node: str = "pump-3", value: float | None = None) -> Letter:
    return Letter("clock_ahead", node, NOW + HOUR + place, {"gas-2/co": float(place) if value is None else value}, {}, NOW)


def test_what_was_buried_is_there_after_a_cut_in_the_middle_of_a_line(tmp_path: Path) -> None:
    dead = DeadLetters(tmp_path, 1 << 20)
    dead.bury([letter(1), letter(2)])
    whole = (tmp_path / CURRENT).read_bytes()
    for cut in range(len(whole)):
        (tmp_path / CURRENT).write_bytes(whole[:cut])
        dead.bury([letter(3)])
        assert [one for one in dead.letters() if one == letter(3)] == [letter(3)]
        assert letter(1) in list(dead.letters()) or cut < whole.index(b"\n")


def test_the_oldest_make_room_and_are_counted(tmp_path: Path) -> None:
    dead = DeadLetters(tmp_path, 4096)
    lost = sum(dead.bury([letter(place)]) for place in range(200))
    left = [one.values["gas-2/co"] for one in dead.letters()]
    assert lost + len(left) == 200
    assert left == [float(place) for place in range(lost, 200)]
    assert sum((tmp_path / name).stat().st_size for name in (CURRENT, OLD)) < 4096 + 400


def test_they_go_back_with_the_time_put_right_and_what_is_refused_again_stays(tmp_path: Path) -> None:
    class Particular(MemoryStore):
        def write(self, frames):  # type: ignore[no-untyped-def]
            good = [frame for frame in frames if 13.0 not in frame.values.values()]
            super().write(good)
            if len(good) < len(frames):
                raise StoreRefused([frame for frame in frames if frame not in good], "13 is not stored here")

    dead, store = DeadLetters(tmp_path, 1 << 20), Particular()
    others = [letter(place, node="fan-1") for place in range(3)]
    absurd = Letter("clock_ahead", "pump-3", 2**63 - 1, {"gas-2/co": 99.0}, {}, NOW)
    dead.bury([*(letter(place) for place in range(10)), letter(13), absurd, *others])
    (fan, pump) = heaps(dead.letters())
    assert (fan.node, fan.frames, pump.node, pump.frames) == ("fan-1", 3, "pump-3", 12)
    assert replay(dead, store, "pump-3", -3600.0, now_ns=NOW) == (10, 2)
    stored = store.raw(SERIES, 0, 2**62)
    assert [(one.time_ns, one.value, one.quality) for one in stored] == [
        (NOW + place, float(place), "uncertain:clock_unsure") for place in range(10)
    ]
    assert {one.values["gas-2/co"] for one in dead.letters("pump-3")} == {13.0, 99.0}
    assert list(dead.letters("fan-1")) == others


def test_the_command_shows_and_replays(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("site: mine\nbroker: {host: 127.0.0.1}\ndata_dir: data\nstore: {type: duckdb}\n")
    (tmp_path / "data").mkdir()

    def said(*words: str, status: int = 0) -> str:
        answer = CliRunner().invoke(main, ["dead-letters", *words])
        assert answer.exit_code == status, answer.output
        return answer.output

    assert said("show", str(file)) == "no dead letters\n"
    dead = DeadLetters(tmp_path / "data", 1 << 20)
    dead.bury([letter(place) for place in range(5)])
    assert "pump-3: 5 frames, 5 values" in said("show", str(file))
    assert "clock_ahead, clock 3600 s ahead" in said("show", str(file))
    held = DuckDBStore(DuckDBStore.Settings(path=tmp_path / "data" / "history.duckdb"))
    try:
        held.write([StoreFrame("pump-3", NOW, {"gas-2/o2": 1.0}, {})])
    finally:
        held.close()
    assert said("replay", str(file), "pump-3", "--shift", "-3600") == "pump-3: 5 frames went back into the store, 0 stay\n"
    assert said("show", str(file)) == "no dead letters\n"
    store = DuckDBStore(DuckDBStore.Settings(path=tmp_path / "data" / "history.duckdb"))
    try:
        assert len(store.raw(SERIES, 0, 2**62)) == 5
    finally:
        store.close()


@pytest.mark.parametrize("ahead_s", [3600, -30 * 365 * 86_400], ids=["an hour ahead", "1995"])
async def test_a_node_with_a_wrong_clock_is_a_malfunction_and_loses_nothing(ahead_s: int, tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        settings = GatewayConfig(site=SITE, data_dir=tmp_path / "data", broker=BrokerConfig(port=broker.port), commit_every=0.05)
        store = MemoryStore()
        async with Gateway(settings, store=store) as gateway, device(broker.port) as one:
            await until(lambda: gateway.session.up)
            await one.birth({"gas-2/co": {"unit": "ppm", "range": [0, 500]}})
            wrong = to_ms(time.time_ns() + ahead_s * 1_000_000_000)
            for place in range(150):
                await one.data({"gas-2/co": float(place)}, t=wrong + place)
            await until(lambda: len(one.acked()) == 150)
            await until(lambda: one.retained_alarms().get("pump-3.clock", {}).get("active") is True)
            dead = DeadLetters(tmp_path / "data", 1 << 20)
            assert [letter.values["gas-2/co"] for letter in dead.letters()] == [float(place) for place in range(150)]
            assert store.raw(SERIES, 0, 2**62) == []
            assert replay(dead, store, "pump-3", -ahead_s, now_ns=time.time_ns()) == (150, 0)
            assert [one.value for one in store.raw(SERIES, 0, 2**62)] == [float(place) for place in range(150)]
            gateway.ingest.wrong_clocks["pump-3"] -= 60_000_000_000  # a minute later
            await until(lambda: one.retained_alarms().get("pump-3.clock", {}).get("active") is not True)
