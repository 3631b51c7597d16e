"""The dead letters in the shell: what is there, and bringing it back into the store with the time put right."""

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import click

from gateway.config import GatewayConfig
from gateway.dead_letters import DeadLetters, Letter
from gateway.opening import check, open_parts
from gateway.store import StoreFrame, StoreRefused, TimeSeriesStore

MOST_AHEAD_NS = 300_000_000_000
EARLIEST_NS = 946_684_800_000_000_000
UNSURE = "uncertain:clock_unsure"
AT_ONCE = 1_000  # frames of one write


class Heap(NamedTuple):
    """Letters of one node for one reason. ``off_s``: how far the node's clock seems to be ahead, negative when it is behind."""

    node: str
    reason: str
    frames: int
    values: int
    first_ns: int
    last_ns: int
    off_s: float


def heaps(letters: Iterator[Letter]) -> list[Heap]:
    """A line for each node and reason, in order."""
    found: dict[tuple[str, str], list[Letter]] = {}
    for letter in letters:
        found.setdefault((letter.node, letter.reason), []).append(letter)
    return [
        Heap(
            node,
            reason,
            len(some),
            sum(len(one.values) for one in some),
            min(one.time_ns for one in some),
            max(one.time_ns for one in some),
            max(one.time_ns - one.received_ns for one in some) / 1e9,  # nothing arrives before it is sent: the largest is the nearest
        )
        for (node, reason), some in sorted(found.items())
    ]


def replay(dead: DeadLetters, store: TimeSeriesStore, node: str, shift_s: float, *, now_ns: int) -> tuple[int, int]:
    """Writes the node's letters with their times moved, marked as of an unsure clock. Returns how many frames went back, and how many stay.

    What is still impossible, or refused again, stays. Raises StoreUnavailable, and then everything stays; what was written is overwritten
    with the same when it is tried again.
    """
    shift_ns = round(shift_s * 1e9)
    back = 0
    with dead.taken(node) as letters:
        possible = [one for one in letters if EARLIEST_NS <= one.time_ns + shift_ns <= now_ns + MOST_AHEAD_NS]
        stay = [one for one in letters if one not in possible]
        for begin in range(0, len(possible), AT_ONCE):
            some = possible[begin : begin + AT_ONCE]
            try:
                store.write([_frame(one, shift_ns) for one in some])
            except StoreRefused as refused:
                lost = {(one.node, one.time_ns) for one in refused.frames}
                stay += [one for one in some if (one.node, one.time_ns + shift_ns) in lost]
        back = len(letters) - len(stay)
        letters[:] = stay
    return back, len(stay)


def _frame(letter: Letter, shift_ns: int) -> StoreFrame:
    frame = letter.frame(shift_ns)
    if not shift_ns:
        return frame
    flagged = {point: UNSURE for point in letter.values if not letter.quality.get(point, "").startswith("bad")}
    return frame._replace(quality={**letter.quality, **flagged})


def show_letters(file: Path, node: str | None) -> None:
    """Prints what is there. Raises DocumentError."""
    config = check(file)
    zone = ZoneInfo(config.time_zone)
    some = heaps(_dead(config).letters(node)) if config.data_dir.is_dir() else []
    for heap in some:
        clock = f", clock {abs(heap.off_s):.0f} s {'ahead' if heap.off_s > 0 else 'behind'}" if heap.reason.startswith("clock") else ""
        click.echo(
            f"{heap.node}: {heap.frames} frames, {heap.values} values, {_moment(heap.first_ns, zone)} to {_moment(heap.last_ns, zone)}: "
            f"{heap.reason}{clock}"
        )
    if not some:
        click.echo("no dead letters")
    elif any(heap.reason.startswith("clock") for heap in some):
        click.echo("bring them back: muki gateway dead-letters replay CONFIG NODE --shift SECONDS (negative for a clock that was ahead)")


def replay_letters(file: Path, node: str, shift_s: float) -> bool:
    """Prints what went back; True when nothing of the node stays. Raises DocumentError, CannotStart, StoreUnavailable."""
    config = check(file)
    engine, store = open_parts(config)
    try:
        back, stay = replay(_dead(config), store, node, shift_s, now_ns=time.time_ns())
    finally:
        store.close()
        engine.dispose()
    click.echo(f"{node}: {back} frames went back into the store, {stay} stay")
    return stay == 0


def _dead(config: GatewayConfig) -> DeadLetters:
    return DeadLetters(config.data_dir, config.dead_letters_mb << 20)


def _moment(time_ns: int, zone: ZoneInfo) -> str:
    try:
        return datetime.fromtimestamp(time_ns / 1e9, zone).isoformat(timespec="seconds")
    except (ValueError, OverflowError):
        return f"{time_ns / 1e9:.0f} s after 1970"
