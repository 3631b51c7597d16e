"""A history moves from one store to another, is taken up where it was cut off, and what is missing is said."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.migration import Progress, copy, counted, frames, read_progress
from gateway.store import Series, StoreFrame, StoreRefused
from gateway.store.duckdb import DuckDBStore
from gateway.store.memory import MemoryStore
from tests.rig.servers import Influx

T0 = 1_763_870_400_000_000_000
SECOND = 1_000_000_000


def duckdb(path: Path) -> DuckDBStore:
    return DuckDBStore(DuckDBStore.Settings(path=path))


def some(count: int) -> list[StoreFrame]:
    told = []
    for place in range(count):
        quality = {"a/y": "bad:wire_break"} if place % 7 == 0 else {"a/x": "uncertain:stale"} if place % 5 == 0 else {}
        values = {"a/x": float(place), "b/z": 0.5}
        if place % 14 == 0:
            values["a/y"] = -1.0
        told.append(StoreFrame(f"node-{place % 3}", T0 + place * SECOND + place, values, quality))
    return told


def everything(store: object) -> list[tuple[object, ...]]:
    return sorted(tuple(row.values()) for table in store.scan(0, 2**62) for row in table.to_pylist())  # type: ignore[attr-defined]


def config(folder: Path, name: str, store: str) -> Path:
    file = folder / f"{name}.yaml"
    file.write_text(f"site: mine\nbroker: {{host: 127.0.0.1}}\ndata_dir: {name}\nstore: {store}\n")
    (folder / name).mkdir(exist_ok=True)
    return file


def test_there_and_back_through_influx_is_the_same(tmp_path: Path) -> None:
    with Influx(tmp_path / "server") as server:
        first = config(tmp_path, "first", "{type: duckdb}")
        between = config(tmp_path, "between", f"{{type: influx, url: '{server.url}', database: moved}}")
        last = config(tmp_path, "last", "{type: duckdb}")
        store = duckdb(tmp_path / "first" / "history.duckdb")
        store.write(some(2_000))
        before = everything(store)
        store.close()
        for old, new in ((first, between), (between, last)):
            answer = CliRunner().invoke(main, ["migrate", str(old), str(new)])
            assert answer.exit_code == 0, answer.output
            assert f"complete: {len(before):,} readings of 9 points are in both" in answer.output
        store = duckdb(tmp_path / "last" / "history.duckdb")
        assert everything(store) == before
        store.close()
        assert list((tmp_path / "last").glob("migration-*")) == []


def test_frames_are_put_together_again() -> None:
    store = MemoryStore()
    told = some(100)
    store.write(told)
    again = [frame for table in store.scan(0, 2**62) for frame in frames(table)]
    other = MemoryStore()
    other.write(again)
    assert everything(other) == everything(store)
    assert counted(other) == counted(store)


def test_what_the_new_store_refuses_is_counted_and_a_copy_goes_on(tmp_path: Path) -> None:
    class Particular(MemoryStore):
        def write(self, told):  # type: ignore[no-untyped-def]
            good = [frame for frame in told if frame.node != "node-2"]
            super().write(good)
            if len(good) < len(told):
                raise StoreRefused([frame for frame in told if frame.node == "node-2"], "not here")

    source, target, file = MemoryStore(), Particular(), tmp_path / "progress.json"
    source.write(some(30))
    done = copy(source, target, file, lambda progress: None)
    assert done.refused == sum(count for (node, _), count in counted(source).items() if node == "node-2")
    source.write([StoreFrame("node-0", T0 + 3_600 * SECOND, {"a/x": 1.0}, {})])
    assert copy(source, target, file, lambda progress: None).readings == done.readings + 1
    file.write_text("{}")
    with pytest.raises(ValueError, match="delete it to begin anew"):
        read_progress(file)


def test_a_copy_that_is_killed_goes_on(tmp_path: Path) -> None:
    old = config(tmp_path, "old", "{type: duckdb}")
    new = config(tmp_path, "new", "{type: duckdb}")
    store = duckdb(tmp_path / "old" / "history.duckdb")
    for begin in range(0, 200_000, 20_000):
        store.write(
            [StoreFrame("n", T0 + place * 600 * SECOND, {"a/x": float(place), "a/y": 1.0}, {}) for place in range(begin, begin + 20_000)]
        )
    store.close()
    command = [sys.executable, "-m", "muki", "gateway", "migrate", str(old), str(new)]
    killed = 0
    for _ in range(3):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        before = _reached(tmp_path)
        while process.poll() is None and _reached(tmp_path) == before and time.monotonic() < deadline:
            time.sleep(0.01)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
    assert killed > 0
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "goes on behind" in done.stdout
    assert "complete: 400,000 readings of 2 points" in done.stdout


def _reached(folder: Path) -> int:
    for file in (folder / "new").glob("migration-*.json"):
        return Progress(**json.loads(file.read_text())).reached_ns
    return 0


def test_what_cannot_be_migrated_is_said(tmp_path: Path) -> None:
    one = config(tmp_path, "one", "{type: duckdb}")
    answer = CliRunner().invoke(main, ["migrate", str(one), str(one)])
    assert (answer.exit_code, "name the same store" in answer.output) == (1, True)
    away = config(tmp_path, "away", "{type: influx, url: 'http://127.0.0.1:9'}")
    duckdb(tmp_path / "one" / "history.duckdb").close()
    answer = CliRunner().invoke(main, ["migrate", str(away), str(one)])
    assert answer.exit_code == 1
    assert "127.0.0.1:9" in answer.output
    assert Series("n", "a/x") not in duckdb(tmp_path / "one" / "history.duckdb").latest()
