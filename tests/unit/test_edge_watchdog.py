"""sd_notify on a real datagram socket, as systemd would listen."""

import asyncio
import socket
from pathlib import Path

import pytest

from edge.watchdog import Watchdog


@pytest.mark.parametrize("abstract", [False, True])
async def test_ready_then_a_sign_of_life_each_half_of_the_limit(tmp_path: Path, abstract: bool) -> None:
    name = f"@muki-{tmp_path.name}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0{name[1:]}" if abstract else name)
        systemd.settimeout(2)
        watchdog = Watchdog({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "200000"})
        assert watchdog.every == 0.1
        task = asyncio.create_task(watchdog.run())
        await asyncio.sleep(0.25)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        watchdog.tell("STOPPING=1")
        assert [systemd.recv(100) for _ in range(5)] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1", b"WATCHDOG=1", b"STOPPING=1"]


async def test_without_systemd_or_with_a_deaf_one_nothing_happens(tmp_path: Path) -> None:
    await asyncio.wait_for(Watchdog({}).run(), 1)
    deaf = Watchdog({"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": "nonsense"})
    assert deaf.every is None
    await asyncio.wait_for(deaf.run(), 1)
