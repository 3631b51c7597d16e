"""`muki gateway run` as a process: it starts, says why when it cannot, and stops quickly with everything committed."""

import asyncio
import socket
import subprocess
import time
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from gateway.database import open_database
from gateway.ledger import Ledger
from gateway.store import Series
from gateway.store.opening import open_store
from tests.rig.device import device, until
from tests.rig.processes import MUKI, ROOT
from tests.rig.servers import Influx, Mosquitto
from tests.rig.site import Gateway


async def test_it_stops_within_three_seconds_and_what_it_held_is_committed(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        # An hour between commits: what is sent is still in the queue when the gateway is told to stop.
        with Gateway(tmp_path / "gateway", broker.port, {"type": "duckdb"}, commit_every=3600) as gateway:
            await asyncio.to_thread(gateway.wait_ready)
            live = await asyncio.to_thread(urllib.request.urlopen, f"{gateway.url}/api/v1/events", timeout=10)
            with closing(live):
                async with device(broker.port) as one:
                    await one.birth({"gas-2/co": {"unit": "ppm"}})
                    sent = {await one.data({"gas-2/co": float(value)}) for value in range(50)}
                    await asyncio.sleep(0.5)
                    assert one.acked() == set()
                    begun = time.monotonic()
                    assert await asyncio.to_thread(gateway.stop) == 0
                    assert time.monotonic() - begun < 3.0
                    await until(lambda: one.acked() == sent)
        store = open_store("duckdb", {"path": tmp_path / "gateway" / "history.duckdb"})
        engine = open_database(f"sqlite:///{tmp_path / 'gateway' / 'journal.db'}")
        with closing(store):
            assert [sample.value for sample in store.raw(Series("pump-3", "gas-2/co"), 0, 2**62)][-1] == 49.0
        assert Ledger(engine).ranges("pump-3", "b1") == [(1, 50)]
        engine.dispose()


async def test_it_stops_as_quickly_without_a_broker(tmp_path: Path) -> None:
    with socket.socket() as deaf:  # takes connections and never answers
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        with Gateway(tmp_path / "gateway", deaf.getsockname()[1], {"type": "memory"}) as gateway:
            await until(lambda: gateway.log.exists() and "startup complete" in gateway.log.read_text(), seconds=30)
            begun = time.monotonic()
            assert await asyncio.to_thread(gateway.stop) == 0
            assert time.monotonic() - begun < 3.5


async def test_a_store_that_hangs_does_not_hold_the_gateway(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, Influx(tmp_path / "influx") as influx:
        gateway = Gateway(tmp_path / "gateway", broker.port, {"type": "influx", "url": influx.url, "database": "muki"})
        with gateway:
            await asyncio.to_thread(gateway.wait_ready)
            async with device(broker.port) as one:
                await one.birth({"gas-2/co": {"unit": "ppm"}})
                first = await one.data({"gas-2/co": 1.0})
                await until(lambda: first in one.acked())
                influx.pause()
                await one.data({"gas-2/co": 2.0})
                await asyncio.sleep(0.5)
                begun = time.monotonic()
                assert await asyncio.to_thread(gateway.stop) == 0
                assert time.monotonic() - begun < 3.5
                assert one.acked() == {first}
                influx.resume()


def gateway_says(*arguments: str) -> tuple[int, str]:
    done = subprocess.run([*MUKI, "gateway", *arguments], capture_output=True, text=True, timeout=30, cwd=ROOT, check=False)
    return done.returncode, done.stderr + done.stdout


@pytest.mark.parametrize(
    ("text", "status", "says"),
    [
        ("site: test\ndata_dir: .\nstor: 1\n", 2, "gateway.yaml:3: stor: unknown key; did you mean 'store'?"),
        ("site: test\ndata_dir: gateway.yaml/x\n", 1, "database sqlite:///"),
        ("site: test\ndata_dir: .\nstore: {type: duckdb, path: gateway.yaml}\n", 1, "store duckdb: "),
    ],
)
def test_it_says_why_it_cannot_start(text: str, status: int, says: str, tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(text)
    code, output = gateway_says("run", str(file))
    assert code == status
    assert says in output
    assert "Traceback" not in output


def test_a_taken_http_port_is_said(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        file = tmp_path / "gateway.yaml"
        file.write_text(f"site: test\ndata_dir: .\nstore: {{type: memory}}\nhttp: {{port: {port}}}\n")
        code, output = gateway_says("run", str(file))
    assert code == 1
    assert f"http 127.0.0.1:{port}: Address already in use; choose another http.port" in output
    assert "Traceback" not in output


def test_check_starts_nothing(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("site: test\ndata_dir: data\n")
    code, output = gateway_says("check", str(file))
    assert code == 0
    assert "correct" in output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gateway.yaml"]
