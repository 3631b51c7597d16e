"""The front door: `muki demo`, as `make demo` starts it. What its scenario says must be on the page's API, and nothing else from the plant.

A second start keeps the history of the first. Ctrl-C ends everything: no process stays, no device link either.
"""

import json
import re
import signal
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest

from simulators.scenario import find, load
from tests.rig.processes import MUKI, Child, wait_for

WATCHED = 128.0  # seconds into the scenario: CO, the fan, the belt and the lens have come and gone by then


class Demo(Child):
    def __init__(self, folder: Path) -> None:
        super().__init__([*MUKI, "demo", "--dir", str(folder / "demo")], folder / "demo.log")
        self.folder = folder / "demo"

    def url(self) -> str:
        # The log is appended to: the last address is this start's.
        found = re.findall(r"http://[a-z0-9.]+:[0-9]+", self.tail(200))
        return found[-1] if found else ""

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url()}{path}", timeout=10) as answer:  # noqa: S310 - loopback
            text = answer.read().decode()
        return json.loads(text) if path.startswith("/api") else text


def family(pid: int) -> list[psutil.Process]:
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


@pytest.mark.long
@pytest.mark.timeout(420)
def test_the_demo_shows_what_its_scenario_says_and_keeps_it(tmp_path: Path) -> None:
    demo = Demo(tmp_path)
    began = time.monotonic()
    with demo:
        wait_for(demo.url, seconds=60, describe="the address", log=demo)
        wait_for(lambda: demo.get("/api/v1/alarms"), seconds=60, describe="an alarm", log=demo)
        assert time.monotonic() - began < 60, "something is alarming within a minute"
        assert "Muki" in demo.get("/")
        first = values(demo)
        wait_for(lambda: sum(values(demo)[key] != value for key, value in first.items()) >= 5, seconds=20, describe="values that move")
        charted = chart(demo)
        assert len(charted) >= 3, "a chart has something to draw"
        started = scenario_start(demo)
        time.sleep(max(0.0, started + WATCHED - time.time()))
        history = [entry for entry in demo.get("/api/v1/alarms/history?limit=500")["entries"] if entry["what"] in ("active", "normal")]
        members = family(demo.pid)
        assert len(members) >= 8
        assert demo.stop(with_signal=signal.SIGINT) == 0
        assert [member for member in members if member.is_running()] == [], "a process was left behind"
        assert list((demo.folder / "mine").glob("*.tty")) == []

        compare(history, started)

        demo.start()
        wait_for(lambda: demo.running and demo.get("/api/v1/alarms/history?limit=500")["entries"], seconds=60, describe="history", log=demo)
        again = demo.get("/api/v1/alarms/history?limit=500")["entries"]
        kept = {(entry["key"], entry["what"], entry["at"]) for entry in again}
        assert {(entry["key"], entry["what"], entry["at"]) for entry in history} <= kept, "the second start keeps the first's history"
        assert demo.stop(with_signal=signal.SIGINT) == 0


def values(demo: Demo) -> dict[str, float | None]:
    return {f"{point['node']}/{point['point']}": point["value"] for point in demo.get("/api/v1/points")}


def chart(demo: Demo) -> list[Any]:
    end = time.time() * 1000
    query = f"node=gas-1&point=heading-3/co&start={end - 600_000:.0f}&end={end:.0f}&buckets=200"
    return list(demo.get(f"/api/v1/readings?{query}")["buckets"])


def scenario_start(demo: Demo) -> float:
    """When the scenario began, Unix s, as the mine itself wrote it down."""
    lines = [json.loads(line) for line in (demo.folder / "mine" / "truth.jsonl").read_text().splitlines()]
    return [float(line["time_ns"]) / 1e9 for line in lines if line["what"] == "scenario_started"][-1]


def compare(history: list[dict[str, Any]], started: float) -> None:
    """Each expectation that was over by then is met within its window, and no alarm of the plant came that nobody expected."""
    scenario = load(find("first-shift"))
    expected = [truth for _, truth in scenario.expectations() if truth.raised[1] < WATCHED]
    events = [(entry["key"], entry["what"], entry["at"] / 1000 - started) for entry in history]
    for truth in expected:
        key = f"{truth.node}.{truth.alarm}"
        assert any(k == key and what == "active" and truth.raised[0] <= at <= truth.raised[1] for k, what, at in events), (truth, events)
        if truth.cleared is not None and truth.cleared[1] < WATCHED:
            assert any(k == key and what == "normal" and truth.cleared[0] <= at <= truth.cleared[1] for k, what, at in events), (
                truth,
                events,
            )
    foreseen = {f"{truth.node}.{truth.alarm}" for _, truth in scenario.expectations()} | {"pump-1.bearing-fault"}
    assert {key for key, _, _ in events} <= foreseen
