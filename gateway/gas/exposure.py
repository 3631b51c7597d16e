"""What somebody who stays at a place breathes: the moment, 15 minutes, and the shift with what it will come to. Pure.

29 CFR 1910.1000(d): TWA = sum of concentration times hours, divided by 8, also for a longer shift; STEL = mean of 15 minutes. Minutes without a
measurement are not zero: the mean of those that were measured stands for them, and the coverage says how many there were.
"""

from collections.abc import Sequence
from typing import NamedTuple

from gateway.store import Bucket

HOUR_NS = 3_600_000_000_000
STEL_NS = HOUR_NS // 4
WHOLE = 0.75  # coverage from which an average counts as one


class Average(NamedTuple):
    """Mean over the measured part, and which share of the time that is, 0 to 1. None without any."""

    mean: float | None
    coverage: float


class Dose(NamedTuple):
    """In the gas's unit; ``projected`` holds the newest value until the shift ends, None while nothing is measured."""

    stel: Average
    twa: float | None
    coverage: float
    projected: float | None


def average(slots: Sequence[Bucket], width_ns: int, start_ns: int, end_ns: int) -> Average:
    """Over the slots that lie in the range; each counts for its whole width."""
    if end_ns <= start_ns:
        return Average(None, 0.0)
    told = [(slot.mean, min(end_ns, slot.start_ns + width_ns) - max(start_ns, slot.start_ns)) for slot in slots if slot.samples]
    told = [(mean, lasted) for mean, lasted in told if lasted > 0]
    measured = sum(lasted for _, lasted in told)
    if measured == 0:
        return Average(None, 0.0)
    return Average(sum(mean * lasted for mean, lasted in told) / measured, min(1.0, measured / (end_ns - start_ns)))


def dose(stel: Average, shift: Average, newest: float | None, *, passed_ns: int, length_ns: int) -> Dose:
    """``newest`` is the value now, None while it is bad or old."""
    if shift.mean is None:
        return Dose(stel, None, shift.coverage, None)
    so_far = shift.mean * passed_ns / HOUR_NS / 8
    rest = max(0, length_ns - passed_ns) / HOUR_NS / 8
    return Dose(stel, so_far, shift.coverage, None if newest is None else so_far + newest * rest)
