"""A disk that takes nothing, for real: an agent on a small file system that somebody else fills, or on a root that cannot be written.

The alarm must reach the gateway, whatever the disk says; what was read meanwhile arrives, in order, and a start comes up on it all the same.
"""

import asyncio
import itertools
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contract.messages import ReadingFrame
from edge.outbox import Outbox
from tests.rig.edge_node import write_config
from tests.rig.processes import Child
from tests.rig.servers import Mosquitto
from tests.rig.small_disk import MIB, SmallDisk, small_disk, why_not
from tests.rig.standin import StandIn, stand_in, until

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(bool(why_not()), reason=f"NOT TESTED: full disks and a read-only root: {why_not()}"),
]

HORN = """outputs:
  - {name: horn, type: log, role: horn}
alarms:
  - id: gone
    point: test/a
    condition: {kind: bad_quality}
    priority: high
    title: {es: Se fue, en: Gone}
"""


@contextmanager
def agent(configuration: Path, *before: str) -> Iterator[Child]:
    command = [*before, sys.executable, "-m", "tests.rig.edge_node", "run", str(configuration)]
    with Child(command, configuration.with_suffix(".log")) as child:
        yield child


def node(folder: Path, port: int, *, min_free: int) -> Path:
    path = write_config(folder, port, extra=HORN, every=0.02)
    path.write_text(path.read_text().replace("flush_every: 0.05", f"flush_every: 0.05, min_free: {min_free}"))
    return path


def events(gateway: StandIn) -> list[tuple[str, str]]:
    found = {content["event"]["id"]: (content["event"]["definition"], content["event"]["transition"]) for content in gateway.of("alarm")}
    return list(found.values())


def counted(gateway: StandIn) -> list[int]:
    """What the counter said, in the order in which each number first arrived."""
    found = [int(frame["v"]["test/a"]) for content in gateway.of("data") for frame in content["frames"] if "test/a" in frame.get("v", {})]
    return list(dict.fromkeys(found))


async def test_an_alarm_reaches_the_gateway_from_a_disk_that_filled_up_and_everything_is_written_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "data", 8 * MIB) as disk, Mosquitto(tmp_path / "broker") as broker:
        async with stand_in(broker.port) as gateway:
            with agent(node(tmp_path, broker.port, min_free=0)) as child:
                await until(lambda: len(counted(gateway)) > 10, seconds=40, describe=child.tail())
                disk.fill()
                await until(lambda: ("disk-refuses", "active") in events(gateway), seconds=60, describe=f"to be told; {child.tail()}")
                (tmp_path / "fail").touch()
                await until(lambda: ("gone", "active") in events(gateway), seconds=30, describe=f"the alarm; {child.tail()}")
                assert "output=horn energised" in child.tail(1000), "the horn sounds"
                (tmp_path / "fail").unlink()
                await until(lambda: ("gone", "normal") in events(gateway), seconds=40)
                gateway.acknowledging = False  # from here on only the disk can keep it
                seen = len(counted(gateway))
                await until(lambda: len(counted(gateway)) > seen + 50, seconds=30)
                disk.clear()
                await until(lambda: "written again" in child.tail(1000), seconds=60, describe="room again")
                assert unwritten(disk) == 0
                child.kill()
                gateway.acknowledging = True
                child.start()
                await until(lambda: ("disk-refuses", "normal") in events(gateway), seconds=60, describe=child.tail())
                boots = {content["boot"] for content in gateway.numbered()}
                assert len(boots) == 2, "the file's line of numbers, and that of the memory"
                for boot in boots:
                    numbers = set(gateway.seqs(boot))
                    assert numbers == set(range(1, max(numbers) + 1)), "a number is missing"
                assert "Traceback" not in child.tail(10_000)


def unwritten(disk: SmallDisk) -> int:
    """Messages of the memory's boot that have a later number than the file shows: none, once it was written down."""
    with sqlite3.connect(f"file:{disk.folder / 'outbox.db'}?mode=ro", uri=True) as db:
        rows = db.execute("SELECT boot_seq FROM message WHERE boot IS NOT NULL ORDER BY id").fetchall()
    numbers = [row[0] for row in rows]
    assert numbers, "what was sent from memory and not acknowledged is in the file"
    return sum(later != earlier + 1 for earlier, later in itertools.pairwise(numbers))


async def test_a_start_on_a_full_disk_watches_reports_and_writes_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "data", 4 * MIB) as disk, Mosquitto(tmp_path / "broker") as broker:
        async with stand_in(broker.port) as gateway:
            configuration = node(tmp_path, broker.port, min_free=MIB)
            with agent(configuration) as child:
                await until(lambda: len(counted(gateway)) > 5, seconds=40, describe=child.tail())
                assert child.stop() == 0
                own = gateway.of("birth")[-1]["boot"]
                disk.fill()
                (tmp_path / "fail").touch()
                child.start()
                wanted = {("disk-refuses", "active"), ("disk", "active"), ("gone", "active")}
                await until(lambda: wanted <= set(events(gateway)), seconds=60, describe=f"{events(gateway)} {child.tail()}")
                assert gateway.of("birth")[-1]["boot"] != own
                assert "starts without its outbox" in child.tail(1000)
                assert child.tail(1000).count("output=horn energised") >= 1, "the horn sounds"
                disk.clear()
                (tmp_path / "fail").unlink()
                await until(lambda: gateway.of("birth")[-1]["boot"] == own, seconds=60, describe=f"its own line again; {child.tail()}")
                await until(lambda: ("gone", "normal") in events(gateway), seconds=40)
                await until(lambda: ("disk", "normal") in events(gateway), seconds=40)
                assert child.stop() == 0, child.tail()
            assert set(gateway.seqs(own)) == set(range(1, max(gateway.seqs(own)) + 1)), "the file's line goes on where it was"


async def test_a_disk_that_fills_while_the_link_is_down_gives_everything_in_order_when_both_are_back(tmp_path: Path) -> None:
    with small_disk(tmp_path / "data", 8 * MIB) as disk, Mosquitto(tmp_path / "broker") as broker:
        async with stand_in(broker.port) as gateway:
            with agent(node(tmp_path, broker.port, min_free=0)) as child:
                await until(lambda: len(counted(gateway)) > 10, seconds=40, describe=child.tail())
                broker.kill()
                await asyncio.sleep(1)
                disk.fill()
                await until(lambda: "the disk is full" in child.tail(1000), seconds=60, describe=child.tail())
                (tmp_path / "fail").touch()
                await until(lambda: "alarm=gone active" in child.tail(1000), seconds=40)
                (tmp_path / "fail").unlink()
                await until(lambda: "alarm=gone normal" in child.tail(1000), seconds=40)
                disk.clear()
                await until(lambda: "written again" in child.tail(1000), seconds=60)
                with Mosquitto(tmp_path / "broker", port=broker.port):
                    await until(lambda: ("gone", "normal") in events(gateway), seconds=60, describe=child.tail())
                    await until(lambda: _whole(gateway), seconds=60, describe=f"all numbers; {len(counted(gateway))}")
                    told = [content["event"]["transition"] for content in gateway.of("alarm") if content["event"]["definition"] == "gone"]
                    assert list(dict.fromkeys(told)) == ["active", "normal"], "in the order in which it happened"


def _whole(gateway: StandIn) -> bool:
    boots = {content["boot"] for content in gateway.numbered()}
    return len(boots) == 2 and all(set(gateway.seqs(boot)) == set(range(1, max(gateway.seqs(boot)) + 1)) for boot in boots)


def test_below_min_free_the_file_grows_no_further_and_loses_resolution_instead(tmp_path: Path) -> None:
    with small_disk(tmp_path / "data", 24 * MIB) as disk:
        outbox = Outbox(disk.folder, min_free=12 * MIB)
        try:
            frames = [ReadingFrame(1_764_000_000_000 + index, {f"a/v{number}": 1.5 for number in range(40)}) for index in range(50)]
            for _ in range(1500):
                outbox.put([frames])
            assert outbox.thinned > 0
            level = outbox.level()
            assert level.free is not None
            assert level.free > 6 * MIB, "most of what others were promised is there: the rest is SQLite's journal and its last pages"
            disk.fill(leave=3 * MIB)
            size = (disk.folder / "outbox.db").stat().st_size
            for _ in range(300):
                outbox.put([frames])
            assert (disk.folder / "outbox.db").stat().st_size <= size + MIB
        finally:
            outbox.close()


async def test_only_the_nodes_folder_needs_to_be_writable(tmp_path: Path) -> None:
    """Everything but ``data_dir`` is read-only, /tmp and the home too, as on a node whose root is an image."""
    (tmp_path / "data").mkdir()
    with Mosquitto(tmp_path / "broker") as broker:
        async with stand_in(broker.port) as gateway:
            configuration = node(tmp_path, broker.port, min_free=0)
            script = (
                'mount --make-rprivate / && mount --bind "$1" "$1" && mount -o remount,bind,ro / &&'
                ' ! touch /tmp/it-is-not-read-only 2>/dev/null && shift && exec "$@"'
            )
            with agent(configuration, "unshare", "-m", "sh", "-c", script, "sh", str(tmp_path / "data")) as child:
                await until(lambda: len(counted(gateway)) > 10, seconds=40, describe=f"readings; {child.tail()}")
                (tmp_path / "fail").touch()
                await until(lambda: ("gone", "active") in events(gateway), seconds=40, describe=child.tail())
                child.kill()
                child.start()
                await until(lambda: len(gateway.of("birth")) > 1, seconds=40, describe=f"a second start; {child.tail()}")
                assert len({birth["boot"] for birth in gateway.of("birth")}) == 1
                assert child.stop() == 0, child.tail(12)
                assert "Traceback" not in child.tail(10_000)


async def test_a_folder_that_was_made_read_only_is_no_reason_not_to_watch(tmp_path: Path) -> None:
    """What a dying memory card does: the kernel makes its file system read-only."""
    with small_disk(tmp_path / "data", 8 * MIB) as disk, Mosquitto(tmp_path / "broker") as broker:
        async with stand_in(broker.port) as gateway:
            with agent(node(tmp_path, broker.port, min_free=0)) as child:
                await until(lambda: len(counted(gateway)) > 5, seconds=40, describe=child.tail())
                child.kill()
                disk.make_read_only()
                (tmp_path / "fail").touch()
                child.start()
                wanted = {("disk-refuses", "active"), ("gone", "active")}
                await until(lambda: wanted <= set(events(gateway)), seconds=60, describe=f"{events(gateway)} {child.tail()}")
