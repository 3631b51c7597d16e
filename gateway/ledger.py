"""The ledger: which sequence numbers of each node and boot are committed. What is in it was stored; what is missing in it is a visible gap."""

import threading
import time
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import BigInteger, Column, Engine, Integer, String, Table, and_, bindparam, delete, insert, select
from sqlalchemy.engine import Connection

from gateway.database import METADATA, reading

Range = tuple[int, int]  # both ends included
KEPT_BOOTS = 100  # of one node; a message of an older boot is taken as new, which the store and the journal survive

_RANGES = Table(
    "ledger_ranges",
    METADATA,
    Column("node", String(32), primary_key=True),
    Column("boot", String(64), primary_key=True),
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
)
_BOOTS = Table(
    "ledger_boots",
    METADATA,
    Column("node", String(32), primary_key=True),
    Column("boot", String(64), primary_key=True),
    Column("begun_ns", BigInteger, nullable=False),
)
# From `seq` on, the gateway moved this boot's times by `shift_ns`: raw time = stored time - shift_ns.
_SHIFTS = Table(
    "ledger_shifts",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("node", String(32), nullable=False),
    Column("boot", String(64), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("shift_ns", BigInteger, nullable=False),
)

_GONE = delete(_RANGES).where(
    _RANGES.c.node == bindparam("of_node"), _RANGES.c.boot == bindparam("of_boot"), _RANGES.c.first == bindparam("of_first")
)


class Entry(NamedTuple):
    """One message that is stored; ``shift_ns`` is what was added to its times because the node's clock was wrong."""

    node: str
    boot: str
    seq: int
    shift_ns: int = 0


class Gap(NamedTuple):
    """Sequence numbers, both ends included, that never arrived although later ones of that boot did."""

    boot: str
    first: int
    last: int


class BootReport(NamedTuple):
    """One line of the report: ``committed + missing == last``."""

    node: str
    boot: str
    begun_ns: int
    committed: int
    last: int
    missing: int


def add(ranges: Sequence[Range], seqs: Iterable[int]) -> list[Range]:
    """The sorted, disjoint, non-adjacent ranges that cover the old ranges and the new numbers."""
    merged: list[Range] = []
    for first, last in sorted([*ranges, *((seq, seq) for seq in seqs)]):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


def contains(ranges: Sequence[Range], seq: int) -> bool:
    """Whether one of the sorted ranges holds the number."""
    index = bisect_right(ranges, seq, key=lambda entry: entry[0])
    return index > 0 and seq <= ranges[index - 1][1]


def missing(ranges: Sequence[Range]) -> list[Range]:
    """What lies between 1 and the highest number and is in no range."""
    holes: list[Range] = []
    expected = 1
    for first, last in ranges:
        if first > expected:
            holes.append((expected, first - 1))
        expected = last + 1
    return holes


class Ledger:
    """The ranges in memory and in SQL, for one gateway process a database. Every method is thread-safe; ``commit`` blocks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()  # guards the dictionaries
        self._committing = threading.Lock()  # one writer at a time: a range is read, merged and replaced
        self._ranges: dict[str, dict[str, list[Range]]] = {}
        self._begun: dict[tuple[str, str], int] = {}
        self._shifts: dict[tuple[str, str], int] = {}
        with engine.connect() as connection:
            for node, boot, begun_ns in connection.execute(select(_BOOTS).order_by(_BOOTS.c.begun_ns)):
                self._ranges.setdefault(node, {})[boot] = []
                self._begun[node, boot] = begun_ns
            for node, boot, first, last in connection.execute(select(_RANGES).order_by(_RANGES.c.first)):
                self._ranges.setdefault(node, {}).setdefault(boot, []).append((first, last))
            for _, node, boot, _, shift_ns in connection.execute(select(_SHIFTS).order_by(_SHIFTS.c.id)):
                self._shifts[node, boot] = shift_ns

    def known(self, node: str, boot: str, seq: int) -> bool:
        """Whether this message is committed. Does not block."""
        with self._lock:
            return contains(self._ranges.get(node, {}).get(boot, ()), seq)

    def commit(self, entries: Iterable[Entry]) -> None:
        """Durable when it returns; entries that are known already change nothing. Raises SQLAlchemyError, and then nothing is committed."""
        grouped: dict[tuple[str, str], list[Entry]] = {}
        for entry in entries:
            grouped.setdefault((entry.node, entry.boot), []).append(entry)
        if not grouped:
            return
        with self._committing:
            self._commit(grouped)

    def _commit(self, grouped: dict[tuple[str, str], list[Entry]]) -> None:
        after: dict[tuple[str, str], list[Range]] = {}
        begun: dict[tuple[str, str], int] = {}
        shifts: dict[tuple[str, str], int] = {}
        gone: list[dict[str, object]] = []
        added: list[dict[str, object]] = []
        with self._engine.begin() as connection:
            for key, entries in grouped.items():
                with self._lock:
                    before = list(self._ranges.get(key[0], {}).get(key[1], ()))
                    if key not in self._begun:
                        begun[key] = time.time_ns()
                if key in begun:
                    connection.execute(insert(_BOOTS).values(node=key[0], boot=key[1], begun_ns=begun[key]))
                after[key] = add(before, (entry.seq for entry in entries))
                old, new = set(before), set(after[key])
                gone += [{"of_node": key[0], "of_boot": key[1], "of_first": first} for first, _ in old - new]
                added += [{"node": key[0], "boot": key[1], "first": first, "last": last} for first, last in new - old]
                shifts[key] = self._note_shifts(connection, key, entries)
            if gone:
                connection.execute(_GONE, gone)
            if added:
                connection.execute(insert(_RANGES), added)
        with self._lock:
            self._begun.update(begun)
            self._shifts.update(shifts)
            for (node, boot), ranges in after.items():
                self._ranges.setdefault(node, {})[boot] = ranges
        for node in {node for node, _ in begun}:
            self._forget_old_boots(node)

    def _note_shifts(self, connection: Connection, key: tuple[str, str], entries: list[Entry]) -> int:
        current = self._shifts.get(key, 0)
        for entry in sorted(entries, key=lambda entry: entry.seq):
            if entry.shift_ns != current:
                current = entry.shift_ns
                connection.execute(insert(_SHIFTS).values(node=key[0], boot=key[1], seq=entry.seq, shift_ns=current))
        return current

    def _forget_old_boots(self, node: str) -> None:
        with self._lock:
            boots = sorted(self._ranges[node], key=lambda boot: self._begun.get((node, boot), 0))[:-KEPT_BOOTS]
            for boot in boots:
                del self._ranges[node][boot]
                self._begun.pop((node, boot), None)
                self._shifts.pop((node, boot), None)
        if boots:
            with self._engine.begin() as connection:
                for table in (_RANGES, _BOOTS, _SHIFTS):
                    connection.execute(delete(table).where(and_(table.c.node == node, table.c.boot.in_(boots))))

    def ranges(self, node: str, boot: str) -> list[Range]:
        """What is committed of one boot."""
        with self._lock:
            return list(self._ranges.get(node, {}).get(boot, ()))

    def gaps(self, node: str) -> list[Gap]:
        """What is missing of one node, oldest boot first. A gap may still close: nodes resend what was not acknowledged."""
        with self._lock:
            boots = {boot: list(ranges) for boot, ranges in self._ranges.get(node, {}).items()}
        return [Gap(boot, first, last) for boot, ranges in boots.items() for first, last in missing(ranges)]

    def shifts(self, node: str) -> list[tuple[str, int, int]]:
        """(boot, seq, shift_ns): from this message on, ``shift_ns`` was added to the boot's times. Blocks."""
        query = select(_SHIFTS.c.boot, _SHIFTS.c.seq, _SHIFTS.c.shift_ns).where(_SHIFTS.c.node == node).order_by(_SHIFTS.c.id)
        with reading(self._engine) as connection:
            return [(row.boot, row.seq, row.shift_ns) for row in connection.execute(query)]

    def report(self) -> list[BootReport]:
        """Every node and boot, sorted by node, oldest boot first."""
        with self._lock:
            known = [(node, boot, list(ranges)) for node, boots in self._ranges.items() for boot, ranges in boots.items()]
            begun = dict(self._begun)
        lines = []
        for node, boot, ranges in known:
            committed = sum(last - first + 1 for first, last in ranges)
            last = ranges[-1][1] if ranges else 0
            lines.append(BootReport(node, boot, begun.get((node, boot), 0), committed, last, last - committed))
        return sorted(lines, key=lambda line: (line.node, line.begun_ns, line.boot))
