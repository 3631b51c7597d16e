"""A satellite receiver as a clock: how far the node's clock is off, and the samples that chrony gets of it."""

import asyncio
import contextlib
import os
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from contract.values import Reading
from edge.sources import SourceContext
from edge.sources.nmea import NmeaSettings, NmeaSource
from simulators.field.gnss_receiver import Fix, NmeaServer, Receiver
from tests.rig.processes import ROOT, Child
from tests.rig.standin import until

PATIENCE = 30.0  # s
UNPACKED = ROOT / ".venv/chrony"
BUSY = 2.0  # s that a busy machine may hold a sentence up


def receiver_at(server: NmeaServer, folder: Path, **more: Any) -> NmeaSource:
    keys = {"name": "gnss", "type": "nmea", "under": "truck-7/gnss", "tcp": server.address} | more
    return NmeaSource(NmeaSettings.model_validate(keys), SourceContext("node", folder))


@contextlib.asynccontextmanager
async def read(source: NmeaSource) -> AsyncGenerator[list[Reading], None]:
    """The readings of a source that runs meanwhile."""
    said: list[Reading] = []

    async def follow() -> None:
        items = source.items()
        assert isinstance(items, AsyncGenerator)
        async with aclosing(items):
            async for batch in items:
                said.extend(item for item in batch if isinstance(item, Reading))

    task = asyncio.create_task(follow())
    try:
        async with asyncio.timeout(PATIENCE):
            yield said
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Chrony:
    """The socket as chrony's SOCK driver opens it, and what arrives there: (seconds of this clock, offset in s)."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self.samples: list[tuple[float, float]] = []

    def take(self) -> list[tuple[float, float]]:
        with contextlib.suppress(BlockingIOError):
            while True:
                data = self._socket.recv(1000)
                seconds, micros, offset, pulse, leap, _, magic = struct.unpack("@lldiiii", data)
                assert (pulse, leap, magic) == (0, 0, 0x534F434B)
                self.samples.append((seconds + micros / 1e6, offset))
        return self.samples

    def close(self) -> None:
        self._socket.close()


@contextlib.contextmanager
def chrony(path: Path) -> Iterator[Chrony]:
    listening = Chrony(path)
    try:
        yield listening
    finally:
        listening.close()


@pytest.mark.parametrize("error", [-30.0, 3600.0])
async def test_chrony_gets_the_offset_of_a_skewed_clock_once_a_second(error: float, tmp_path: Path) -> None:
    async with NmeaServer(Receiver(clock_error=error)) as server:
        source = receiver_at(server, tmp_path, chrony="chrony.sock", outputs=["fix"])
        with chrony(tmp_path / "chrony.sock") as listening:
            began = time.time()
            async with read(source) as said:
                await until(lambda: len(listening.take()) >= 3)
            elapsed = time.time() - began
    for at, offset in listening.samples:
        assert error - BUSY <= offset <= error + 0.1
        assert began - 0.01 <= at <= time.time()
    assert len(listening.samples) <= elapsed + 2
    assert {reading.point for reading in said} == {"truck-7/gnss/fix"}, "the point need not be among the outputs"


async def test_the_point_and_the_sample_say_the_same_and_latency_corrects_both(tmp_path: Path) -> None:
    async with NmeaServer(Receiver(clock_error=5.0)) as server:
        source = receiver_at(server, tmp_path, chrony=str(tmp_path / "chrony.sock"), outputs=["clock_offset"], latency=2.0)
        with chrony(tmp_path / "chrony.sock") as listening:
            async with read(source) as said:
                await until(lambda: listening.take() and said)
    first = said[0]
    assert first.value is not None
    assert first.quality.good
    at, offset = listening.samples[0]
    assert at == pytest.approx(first.time_ns / 1e9, abs=1e-6)
    assert offset == pytest.approx(first.value / 1000, abs=1e-9)
    assert 7.0 - BUSY <= offset <= 7.1


@pytest.mark.parametrize("fix", [Fix.NONE, Fix.COLD, Fix.DEAD_RECKONING])
async def test_a_receiver_that_is_not_sure_of_its_time_tells_chrony_nothing(fix: Fix, tmp_path: Path) -> None:
    receiver = Receiver()
    receiver.fix = fix
    async with NmeaServer(receiver) as server:
        source = receiver_at(server, tmp_path, chrony="chrony.sock")
        with chrony(tmp_path / "chrony.sock") as listening:
            async with read(source) as said:
                await until(lambda: len(said) >= 60)
                assert listening.take() == []
                qualities = {str(reading.quality) for reading in said if reading.point.endswith("clock_offset")}
                assert qualities == {Fix.NONE: {"uncertain:no_fix"}, Fix.COLD: set(), Fix.DEAD_RECKONING: {"uncertain:estimated"}}[fix]
                receiver.fix = Fix.GOOD
                await until(listening.take)


async def test_chrony_may_come_later_and_the_readings_do_not_wait_for_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with NmeaServer(Receiver()) as server:
        source = receiver_at(server, tmp_path, chrony="chrony.sock")
        with caplog.at_level("INFO"):
            async with read(source) as said:
                await until(lambda: len([reading for reading in said if reading.point.endswith("clock_offset")]) >= 3)
                with chrony(tmp_path / "chrony.sock") as listening:
                    await until(listening.take)
    assert caplog.text.count("takes no time: No such file or directory; is there a line refclock SOCK") == 1
    assert caplog.text.count("takes the time") == 1


async def test_the_real_chronyd_accepts_the_samples_and_says_how_far_this_clock_is_off(tmp_path: Path) -> None:
    """``-x``: it governs nothing. scripts/setup unpacks chrony; CHRONYD and CHRONYC may say where else the programs are."""
    daemon, client = (
        os.environ.get(name.upper()) or shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:{UNPACKED}/usr/sbin:{UNPACKED}/usr/bin")
        for name in ("chronyd", "chronyc")
    )
    if daemon is None or client is None:
        pytest.skip("NOT TESTED with chrony: scripts/setup could not unpack it; set CHRONYD and CHRONYC to where it is")
    sock, command = tmp_path / "muki.sock", tmp_path / "run" / "chronyd.sock"
    command.parent.mkdir(mode=0o700)
    (tmp_path / "chrony.conf").write_text(
        f"refclock SOCK {sock} refid GNSS poll 0 filter 2 precision 1e-2 delay 0.1\n"
        f"bindcmdaddress {command}\npidfile {tmp_path}/pid\ncmdport 0\nport 0\nuser root\n"
    )
    async with NmeaServer(Receiver(clock_error=-30.0)) as server:
        with Child([daemon, "-x", "-d", "-f", str(tmp_path / "chrony.conf")], tmp_path / "chronyd.log") as running:
            source = receiver_at(server, tmp_path, chrony=str(sock))
            async with read(source):
                fields: list[str] = []
                while not fields or int(fields[5], 8) == 0 or float(fields[7]) == 0:
                    await asyncio.sleep(0.5)
                    asked = await asyncio.to_thread(
                        subprocess.run, [client, "-h", str(command), "-c", "sources"], capture_output=True, text=True, check=False
                    )
                    assert running.running, running.tail()
                    fields = asked.stdout.strip().split(",") if asked.stdout.count(",") >= 9 else []
    assert fields[2] == "GNSS"
    assert 30 - 0.1 <= float(fields[7]) <= 30 + BUSY  # chronyc counts a clock that is ahead of its source as positive
