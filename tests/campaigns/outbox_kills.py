"""The outbox's process killed with SIGKILL at random moments: what it said is kept must be there afterwards, once, and nothing else be gone.

    python -m tests.campaigns.outbox_kills [--kills 100] [--seed 1] [--json]

The process does everything that an outbox does in a node: it puts readings and alarm events, is told of acknowledgements, thins when it is
over its limit in every third life, takes over messages from memory, and remembers what processors know. It says after each commit what it
committed. After each kill the file is read by plain SQLite and compared with what was said:

    no number is missing between the last one acknowledged and the highest one said; none is there twice;
    each value and each alarm event that was said is in the file once, or was acknowledged;
    nothing is in the file that was never put, and no thinning touched an alarm event.
"""

import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import click

from benchmarks.table import report
from tests.rig.processes import ROOT

LONGEST_LIFE = 0.25  # s from its first word to its death

# One line after each commit: first and last number of it, its values and events.
WRITER = """
import json, random, sys
from pathlib import Path
from contract.alarms import AlarmEvent, Transition
from contract.messages import ReadingFrame
from edge.memory_line import MemoryLine
from edge.outbox import Outbox
folder, value, thins = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "thins"
outbox = Outbox(folder, max_bytes=4_000 if thins else 1 << 30)
chance = random.Random(value)
memory = MemoryLine()
acknowledged = json.loads(sys.argv[4])
while True:
    data, events, values = [], [], []
    for _ in range(chance.randint(1, 6)):
        count = chance.randint(1, 5)
        data.append([ReadingFrame(value + index, {"a/b": float(value + index)}) for index in range(1, count + 1)])
        values += range(value + 1, value + count + 1)
        value += count
    if chance.random() < 0.5:
        transition = chance.choice([Transition.ACTIVE, Transition.NORMAL])
        events.append(AlarmEvent(f"E{value}", f"d{chance.randint(1, 3)}", "n", "a/b", 0, transition))
    rescued = []
    if chance.random() < 0.1:  # as after a disk that was full
        value += 1
        memory.put([[ReadingFrame(value, {"a/b": float(value)})]])
        values.append(value)
        rescued = memory.messages()
    stored = outbox.put(data, events, rescued=rescued)
    memory.clear()
    line = {"boot": outbox.boot, "first": stored[0].seq, "last": stored[-1].seq, "values": values, "events": [event.id for event in events]}
    print(json.dumps(line | {"value": value, "thinned": outbox.thinned}), flush=True)
    if chance.random() < 0.3 and stored[-1].seq > 60:
        # Written down before it is told: the gateway's word reaches the node after it is on the gateway's disk.
        acknowledged = stored[-1].seq - 60
        print(json.dumps({"acknowledged": acknowledged}), flush=True)
        outbox.done(outbox.boot, [(1, acknowledged)])
    if chance.random() < 0.1:
        outbox.remember({"vibration": "x" * 500})
"""


class Tally(NamedTuple):
    """What a campaign saw."""

    kills: int
    commits: int
    values: int
    events: int
    thinned: int
    problems: list[str]


class _Witness:
    """All that was said, over all lives."""

    def __init__(self) -> None:
        self.boots: set[str] = set()
        self.acknowledged = 0
        self.last = 0
        self.value = 0
        self.where: dict[int, int] = {}  # value -> number of its commit's last message
        self.events: dict[str, int] = {}  # event -> number of its commit's last message
        self.commits = self.thinned = 0

    @property
    def seen(self) -> tuple[int, int, int, int]:
        """Commits, values and events that were said, and commits by a process that had thinned."""
        return self.commits, len(self.where), len(self.events), self.thinned

    def hear(self, lines: list[str]) -> None:
        """A line without its end was cut off by the kill: nobody was told."""
        for line in (json.loads(text) for text in lines if text.endswith("\n")):
            if "acknowledged" in line:
                self.acknowledged = max(self.acknowledged, line["acknowledged"])
                continue
            self.boots.add(line["boot"])
            self.commits += 1
            self.last, self.value, self.thinned = line["last"], line["value"], self.thinned + (line["thinned"] > 0)
            self.where |= dict.fromkeys(line["values"], line["last"])
            self.events |= dict.fromkeys(line["events"], line["last"])

    def check(self, path: Path, *, whole: bool) -> list[str]:
        """What the file has lost, repeated or made up. ``whole``: it was never thinned."""
        with sqlite3.connect(path) as db:
            rows = db.execute("SELECT coalesce(boot_seq, id), kind, payload, boot FROM message ORDER BY id").fetchall()
            if (verdict := db.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
                return [f"the file is damaged: {verdict}"]
        db.close()
        found = []
        own = [seq for seq, _, _, boot in rows if boot is None]
        if own != list(range(own[0], own[0] + len(own))):
            found.append(f"numbers have a gap or are repeated: {own[:3]} … {own[-3:]}, {len(own)} of them")
        if own[0] > self.acknowledged + 1:
            found.append(f"the file begins with {own[0]}, and only {self.acknowledged} is acknowledged")
        if own[-1] < self.last:
            found.append(f"the file ends with {own[-1]}, and {self.last} was said to be kept")
        values = [int(frame["v"]["a/b"]) for _, kind, payload, _ in rows if kind == 0 for frame in json.loads(payload)]
        events = [json.loads(payload)["id"] for _, kind, payload, _ in rows if kind == 1]
        if len(values) != len(set(values)) or len(events) != len(set(events)):
            found.append("a value or an event is there twice")
        lost = [one for one, last in self.where.items() if last >= own[0] + 10 and one not in set(values)] if whole else []
        lost_events = [one for one, last in self.events.items() if last >= own[0] + 10 and one not in set(events)]
        if lost or lost_events:
            found.append(f"{len(lost)} values and {len(lost_events)} events are lost: {lost[:3]} {lost_events[:3]}")
        # The last commit may have been made with nobody left to be told.
        self.value = max([self.value, *values])
        self.last = own[-1]
        return found


def campaign(folder: Path, kills: int, seed: int) -> Tally:
    """Kills that often. A folder of its own each ten lives, since an outbox that was thinned once cannot be compared value by value."""
    chance = random.Random(seed)
    problems: list[str] = []
    totals = [0, 0, 0, 0]
    witness, place, whole = _Witness(), folder / "0", True
    for number in range(kills):
        if number % 10 == 0:
            witness, place, whole = _Witness(), folder / str(number), True
        thins = number % 10 > 6
        whole = whole and not thins
        before = witness.seen
        command = [sys.executable, "-c", WRITER, str(place), str(witness.value), "thins" if thins else "whole", str(witness.acknowledged)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as writer:
            assert writer.stdout is not None
            assert writer.stderr is not None
            first = writer.stdout.readline()
            time.sleep(chance.uniform(0.0, LONGEST_LIFE))
            writer.kill()
            lines = [first, *writer.stdout.readlines()]
            if said := writer.stderr.read():
                problems.append(f"kill {number}: the process ended by itself: {said[-500:]}")
        witness.hear(lines)
        problems += [f"kill {number}: {problem}" for problem in witness.check(place / "outbox.db", whole=whole)]
        if len(witness.boots) > 1:
            problems.append(f"kill {number}: another boot")
        totals = [total + now - then for total, now, then in zip(totals, witness.seen, before, strict=True)]
    commits, values, events, thinned = totals
    return Tally(kills, commits, values, events, thinned, problems)


@click.command()
@click.option("--kills", default=100, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(kills: int, seed: int, as_json: bool) -> None:
    """Exit status 1 when anything was lost, repeated or made up."""
    with tempfile.TemporaryDirectory() as folder:
        tally = campaign(Path(folder), kills, seed)
    row: dict[str, Any] = {
        "kills": tally.kills,
        "commits said": tally.commits,
        "values said": tally.values,
        "alarm events said": tally.events,
        "commits with thinning": tally.thinned,
        "problems": len(tally.problems),
    }
    report("outbox kills", [row], as_json=as_json, notes=tally.problems)
    sys.exit(1 if tally.problems else 0)


if __name__ == "__main__":
    main()
