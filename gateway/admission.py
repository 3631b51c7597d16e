"""Admission: which readings of a message are stored, with which time and quality. Pure; the clocks are passed in.

The rules are those of the wire contract: skew is the windowed minimum of receive − send; beyond 2 s a reading is flagged, more than 5 minutes
ahead it is quarantined, before the year 2000 it is refused.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from contract.frames import to_ns
from contract.messages import ReadingFrame
from contract.values import POINT, Level, Quality, uncertain
from gateway.store import StoreFrame

SECOND = 1_000_000_000
SKEW_LIMIT_NS = 2 * SECOND
AHEAD_LIMIT_NS = 300 * SECOND
EARLIEST_NS = 946_684_800 * SECOND  # 2000-01-01T00:00:00Z: no device that could send this existed before
CENTURY_NS = 36_525 * 86_400 * SECOND
WINDOW_NS = 60 * SECOND
SAMPLES_TO_BELIEVE = 3  # a busy machine delays one message, and a queue of them for a while: only a row of them says that a clock is behind
SPAN_TO_BELIEVE_NS = 5 * SECOND
BIRTH_DELAY_NS = 60 * SECOND  # longer than any birth travels

CLOCK_UNSURE = str(uncertain("clock_unsure"))
OUT_OF_RANGE = str(uncertain("out_of_range"))
UNDECLARED = str(uncertain("undeclared"))

Limits = tuple[float, float]
_UNLIMITED: Limits = (-math.inf, math.inf)
_UNKNOWN: Limits = (math.inf, -math.inf)  # no value lies in it: one comparison finds unknown points and values out of range


class Skew:
    """One node's clock error: the smallest receive − send of the last minute, positive when the node's clock is behind.

    The minimum, because a message can only take longer than the shortest way. A message that arrives before it was sent proves a clock
    that is ahead at once; one that took long proves nothing until others agree over some seconds, or a birth does, which nobody stores.
    """

    def __init__(self) -> None:
        self._window: deque[tuple[int, int]] = deque()  # (received, difference), differences ascending: the first is the minimum
        self._first_ns = self._last_ns = self._born_ns = 0  # when heard without a pause since, when heard last, when the last birth came
        self._samples = 0
        self._applied_ns = 0

    def add(self, *, sent_ns: int, received_ns: int, birth: bool = False) -> None:
        if received_ns > self._last_ns + WINDOW_NS:
            self._first_ns, self._samples = received_ns, 0
        self._last_ns = received_ns
        self._samples += 1
        difference = received_ns - sent_ns
        while self._window and self._window[-1][1] >= difference:
            self._window.pop()
        self._window.append((received_ns, difference))
        if birth:
            self._born_ns = received_ns

    def smallest(self, now_ns: int) -> int | None:
        """The windowed minimum in nanoseconds, at most a century; None without a sample in the window."""
        while self._window and self._window[0][0] < now_ns - WINDOW_NS:
            self._window.popleft()
        return max(-CENTURY_NS, min(CENTURY_NS, self._window[0][1])) if self._window else None

    def at(self, now_ns: int) -> int:
        """Nanoseconds to add to the node's times; 0 while nothing is known."""
        smallest = self.smallest(now_ns)
        if smallest is None:
            return 0
        by_many = self._samples >= SAMPLES_TO_BELIEVE and now_ns - self._first_ns >= SPAN_TO_BELIEVE_NS
        by_birth = self._born_ns > now_ns - WINDOW_NS and smallest > BIRTH_DELAY_NS
        return smallest if smallest < 0 or by_many or by_birth else 0

    def shift(self, now_ns: int) -> int:
        """The correction to apply where the skew is beyond its limit, held still while it moves less than half a second.

        Readings that are sent again must get the time that they got before: the store knows them by it.
        """
        skew = self.at(now_ns)
        skew = skew if abs(skew) > SKEW_LIMIT_NS else 0
        if abs(skew - self._applied_ns) > SECOND // 2:
            self._applied_ns = skew
        return self._applied_ns


class Refusal(NamedTuple):
    """A part that is not stored: ``where`` is its place in the payload."""

    reason: str
    where: str
    detail: str


class Judged(NamedTuple):
    """What of a frame may be stored, if its time is possible: it depends on what the node declared, and on no clock."""

    values: dict[str, float]
    quality: dict[str, str]


class Admitted(NamedTuple):
    """What goes to the store, with the number of values. ``quarantined``: the frames whose time is impossible, by their place in the message."""

    frames: list[StoreFrame]
    refusals: list[Refusal]
    values: int
    quarantined: list[int]


def admit(node: str, frames: Sequence[ReadingFrame], judged: Sequence[Judged], *, now_ns: int, skew_ns: int, shift_ns: int) -> Admitted:
    """What of a data message goes to the store, given what `judge` says of each of its frames.

    ``skew_ns`` is the node's clock error and decides the flag; ``shift_ns`` is what is added to the times (0 unless the node itself says
    that its clock is not synchronised).
    """
    flag = CLOCK_UNSURE if abs(skew_ns) > SKEW_LIMIT_NS else None
    latest_ns = now_ns + AHEAD_LIMIT_NS
    kept: list[StoreFrame] = []
    refusals: list[Refusal] = []
    quarantined: list[int] = []
    count = 0
    for index, (values, quality) in enumerate(judged):
        time_ns = to_ns(frames[index].t) + shift_ns
        if not EARLIEST_NS <= time_ns <= latest_ns:
            refusals.append(_time_refusal(time_ns, now_ns, index))
            quarantined.append(index)
            continue
        if flag is not None:
            for point in values:
                if not quality.get(point, "").startswith("bad"):
                    quality[point] = flag
        if values or quality:
            kept.append(StoreFrame(node, time_ns, values, quality))
            count += len(values)
    return Admitted(kept, refusals, count, quarantined)


def _time_refusal(time_ns: int, now_ns: int, index: int) -> Refusal:
    where = f"$.frames[{index}].t"
    if time_ns < EARLIEST_NS:
        return Refusal("clock_behind", where, "before the year 2000: t is Unix time in milliseconds; set the node's clock")
    ahead, limit = (time_ns - now_ns) / SECOND, AHEAD_LIMIT_NS // SECOND
    return Refusal("clock_ahead", where, f"{ahead:.0f} s ahead of the gateway's clock: at most {limit} s; set the node's clock")


def judge(frame: ReadingFrame, limits: Mapping[str, Limits] | None, index: int, refusals: list[Refusal]) -> Judged:
    """The values and qualities of the frame at ``index`` that are declared, marked where they are out of range; what is refused is appended.

    ``limits`` are the declared points, None for a node without a birth.
    """
    values: dict[str, float] = {}
    quality: dict[str, str] = {}
    barred: set[str] = set()
    for point, text in frame.q.items():
        refusal = _quality_refusal(point, text, frame, index) or _point_refusal(point, limits, f"$.frames[{index}].q")
        if refusal is not None:
            refusals.append(refusal)
            barred.add(point)
        elif text != "good":
            quality[point] = text
    for point, value in frame.v.items():
        if point in barred:
            continue
        low, high = (limits.get(point) or _UNKNOWN) if limits is not None else _UNLIMITED
        if not low <= value <= high:
            if low > high and (refusal := _point_refusal(point, limits, f"$.frames[{index}].v")):
                refusals.append(refusal)
                continue
            quality.setdefault(point, OUT_OF_RANGE)
        if limits is None:
            if refusal := _point_refusal(point, None, f"$.frames[{index}].v"):
                refusals.append(refusal)
                continue
            quality.setdefault(point, UNDECLARED)
        values[point] = value
    return Judged(values, quality)


def _quality_refusal(point: str, text: str, frame: ReadingFrame, index: int) -> Refusal | None:
    where = f"$.frames[{index}].q[{point!r}]"
    try:
        quality = Quality.parse(text)
    except ValueError as error:
        return Refusal("wrong_shape", where, str(error))
    if point not in frame.v and quality.level is not Level.BAD:
        return Refusal("wrong_shape", where, f"{text!r} without a value: a point only in q was not read, write bad:reason")
    return None


def _point_refusal(point: str, limits: Mapping[str, Limits] | None, where: str) -> Refusal | None:
    if limits is None:
        if POINT.fullmatch(point):
            return None
        return Refusal("wrong_shape", where, f"point {point!r}: write asset/signal, for example pump-3/process/flow")
    return None if point in limits else _unknown(point, where)


def _unknown(point: str, where: str) -> Refusal:
    return Refusal("unknown_point", f"{where}[{point!r}]", f"the node's birth declares no point {point!r}; declare it there first")


class EventTime(NamedTuple):
    """When an alarm event happened by the gateway's clock, with what quality, and whether that is history already."""

    time_ns: int
    quality: Quality
    late: bool


def time_event(time_ns: int, quality: Quality, *, now_ns: int, skew_ns: int, late_after: float) -> EventTime:
    """Alarm events are never refused for a wrong clock: they are moved by the skew and flagged, and never lie in the future."""
    if abs(skew_ns) > SKEW_LIMIT_NS:
        time_ns += skew_ns
        quality = _unsure(quality)
    if time_ns > now_ns + SKEW_LIMIT_NS or time_ns < EARLIEST_NS:
        time_ns, quality = now_ns, _unsure(quality)
    return EventTime(time_ns, quality, now_ns - time_ns > late_after * SECOND)


def _unsure(quality: Quality) -> Quality:
    return quality if quality.level is Level.BAD else uncertain("clock_unsure")
