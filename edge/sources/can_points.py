"""The points of a CAN bus: which frame feeds which, the newest value of each, and which have fallen silent. Pure; clocks are passed in."""

import logging
from collections.abc import Callable, Iterable
from typing import NamedTuple

from contract.values import GOOD, Reading, bad, uncertain
from edge.sources.can_dbc import DbcSignal
from edge.sources.can_j1939 import DM1, MALFORMED, TIRE_LOCATION, Decoded, Lamp, Spn, decode_dm1, decode_spn, identify
from edge.sources.can_settings import CanPoint, CanSettings, Fault
from edge.sources.can_transport import TP_CONTROL, TP_DATA, Reassembly

log = logging.getLogger("muki.edge.sources.can")

STALE = bad("stale")
_OUT_OF_RANGE = uncertain("out_of_range")
_OLD_METHOD = uncertain("conversion_method")

Decode = Callable[[bytes], Decoded | None]


class Frame(NamedTuple):
    """One data frame: ``time_ns`` is Unix time, UTC."""

    arbitration_id: int
    extended: bool
    data: bytes
    time_ns: int


class Tap:
    """What one point takes from the bus, and the newest of it."""

    def __init__(self, name: str, point: CanPoint, *, source: int | None, limit: float, decode: Decode, now: float) -> None:
        self.name = name
        self.range = point.range
        self.location = point.location
        self.source = source
        self.limit = limit
        self.decode = decode
        self.eager = False  # decode each frame: not every one carries the signal
        self.heard = now
        self.silent = False
        self.sender: int | None = None
        self.mixed = False
        self._newest: tuple[int, bytes] | None = None
        self._decoded: tuple[int, Decoded] | None = None

    def offer(self, source: int | None, data: bytes, time_ns: int, now: float) -> bool:
        """Whether the frame is one of this point; it then replaces the one before."""
        if self.source is not None and source is not None and source != self.source:
            return False
        if self.location is not None and (len(data) <= TIRE_LOCATION or data[TIRE_LOCATION] != self.location):
            return False
        if self.eager:
            decoded = self.decode(data)
            if decoded is None:
                return False
            self._decoded = time_ns, decoded
        else:
            self._newest = time_ns, data
        if self.sender not in (None, source) and not self.mixed:
            self.mixed = True
            log.warning(
                "point %s is sent by address %s and by %s: write source_address, or it is two things", self.name, self.sender, source
            )
        self.sender = source
        self.heard, self.silent = now, False
        return True

    def take(self) -> Reading | None:
        """The newest value since the last call, once."""
        if self._newest is not None:
            time_ns, data = self._newest
            decoded = self.decode(data)
            self._decoded = (time_ns, decoded) if decoded is not None else None
        taken, self._newest, self._decoded = self._decoded, None, None
        if taken is None:
            return None
        time_ns, (value, quality) = taken
        if value is not None and self.range is not None and not self.range[0] <= value <= self.range[1] and quality is GOOD:
            quality = _OUT_OF_RANGE
        return Reading(self.name, time_ns // 1_000_000 * 1_000_000, value, quality)


class PointTable:
    """Every point of the source. ``frames`` counts the frames that came, ``used`` those that a point took."""

    def __init__(self, settings: CanSettings, signals: dict[str, DbcSignal], now: float) -> None:
        self._taps: list[Tap] = []
        self._by_pgn: dict[int, list[Tap]] = {}
        self._by_id: dict[tuple[int, bool], list[Tap]] = {}
        self.transport = Reassembly()
        self.heard = False
        self.frames = 0
        self.used = 0
        for name, point in settings.points.items():
            self._add(name, point, settings, signals.get(name), now)

    def accept(self, frame: Frame, now: float) -> None:
        """One frame from the bus, in order; ``now`` is the monotonic clock in seconds."""
        self.frames += 1
        taps = self._by_id.get((frame.arbitration_id, frame.extended))
        if taps:
            self._offer(taps, None, frame.data, frame.time_ns, now)
        if not frame.extended or not self._by_pgn:
            return
        _, pgn, source, destination = identify(frame.arbitration_id)
        if pgn == TP_CONTROL:
            self.transport.control(source, destination, frame.data, frame.time_ns)
        elif pgn == TP_DATA:
            message = self.transport.data(source, destination, frame.data, frame.time_ns)
            if message is not None:
                self._offer(self._by_pgn.get(message.pgn, ()), message.source, message.data, frame.time_ns, now)
        elif pgn in self._by_pgn:
            self._offer(self._by_pgn[pgn], source, frame.data, frame.time_ns, now)

    def take(self) -> list[Reading]:
        """The newest reading of each point that spoke since the last call, in order of time."""
        readings = [reading for tap in self._taps if (reading := tap.take()) is not None]
        return sorted(readings, key=lambda reading: reading.time_ns)

    def fell_silent(self, now: float, time_ns: int) -> list[Reading]:
        """``bad:stale`` for each point whose silence has just become too long; once, until it has spoken again."""
        late = [tap for tap in self._taps if not tap.silent and now - tap.heard >= tap.limit]
        for tap in late:
            tap.silent = True
        return [Reading(tap.name, time_ns, None, STALE) for tap in late]

    @property
    def all_silent(self) -> bool:
        return all(tap.silent for tap in self._taps)

    def filters(self) -> list[tuple[int, int, bool]]:
        """(identifier, mask, extended) of every frame that a point can need: for the kernel, so that it wakes us for no other."""
        wanted = {(frame_id, 0x1FFFFFFF if extended else 0x7FF, extended) for frame_id, extended in self._by_id}
        for pgn, taps in self._by_pgn.items():
            sources = {tap.source for tap in taps}
            for source in (None,) if None in sources else sources:
                # Below PDU format 240 the low byte is a destination, and any will do. The reserved bit 25 must be 0, as in the PGN.
                mask = 0x3FF0000 if pgn >> 8 & 0xFF < 240 else 0x3FFFF00
                wanted.add((pgn << 8 | (source or 0), mask | (0xFF if source is not None else 0), True))
        if self._by_pgn:
            wanted |= {(TP_CONTROL << 8, 0x3FF0000, True), (TP_DATA << 8, 0x3FF0000, True)}
        return sorted(wanted)

    def _offer(self, taps: Iterable[Tap], source: int | None, data: bytes, time_ns: int, now: float) -> None:
        took = [tap.offer(source, data, time_ns, now) for tap in taps]
        if any(took):
            self.used += 1
            self.heard = True

    def _add(self, name: str, point: CanPoint, settings: CanSettings, signal: DbcSignal | None, now: float) -> None:
        address, limit = settings.address_of(point), settings.stale_limit(point)
        if signal is not None:
            source = signal.source if point.source_address is None else point.source_address
            if signal.pgn is not None and source is None:
                source = settings.source_address
            tap = Tap(name, point, source=source, limit=limit, decode=signal.decode, now=now)
            tap.eager = signal.multiplexed
            if signal.pgn is not None:
                self._by_pgn.setdefault(signal.pgn, []).append(tap)
            else:
                self._by_id.setdefault((signal.frame_id, signal.extended), []).append(tap)
        elif point.parameter is not None:
            tap = Tap(name, point, source=address, limit=limit, decode=_spn(point.parameter), now=now)
            self._by_pgn.setdefault(point.parameter.pgn, []).append(tap)
        elif point.dm1 is not None:
            tap = Tap(name, point, source=address, limit=limit, decode=_dm1(point.dm1), now=now)
            self._by_pgn.setdefault(DM1, []).append(tap)
        else:
            raise ValueError(f"point {name}: its signal was not looked up")
        self._taps.append(tap)


def _spn(spn: Spn) -> Decode:
    return lambda data: decode_spn(spn, data)


def _dm1(wanted: Lamp | str | Fault) -> Decode:
    """How many codes are active, whether one of them is, or whether a lamp is lit."""

    def decode(data: bytes) -> Decoded:
        active = decode_dm1(data)
        if active is None:
            return None, MALFORMED
        if isinstance(wanted, Fault):
            there = any((code.spn, code.fmi) == (wanted.spn, wanted.fmi) for code in active.codes)
            return float(there), _OLD_METHOD if any(code.old_method for code in active.codes) else GOOD
        if wanted == "count":
            return float(len(active.codes)), GOOD
        return active.lamp(wanted)  # type: ignore[arg-type] # the settings allow lamps only

    return decode
