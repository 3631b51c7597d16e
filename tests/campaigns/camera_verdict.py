"""Alarms of a camera against what there was to see: found, missed, false; with exact intervals. Pure; seconds."""

from collections.abc import Sequence
from typing import NamedTuple

from scipy.stats import beta, chi2

DAY = 86_400.0
EARLY = 0.5  # s before an event: a label is good to a few pictures
LATE = 1.0  # s after an event within which an alarm that begins is still of it: confirming takes pictures


class Span(NamedTuple):
    first: float
    last: float

    def meets(self, other: "Span") -> bool:
        return self.first <= other.last and other.first <= self.last


class Verdict(NamedTuple):
    """``found`` and ``delays`` (s, from its beginning to the alarm; 0 where one stood already) of ``events``, and the alarms that are of none."""

    events: int
    found: int
    false: int
    seconds: float
    delays: tuple[float, ...] = ()

    @property
    def missed(self) -> int:
        return self.events - self.found

    def __add__(self, other: "Verdict") -> "Verdict":  # type: ignore[override] # a sum of verdicts, not of tuples
        return Verdict(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))  # type: ignore[operator]


NOTHING = Verdict(0, 0, 0, 0.0)


def verdict(alarms: Sequence[Span], events: Sequence[Span], unclear: Sequence[Span], seconds: float) -> Verdict:
    """An event is found when an alarm stands at any time of it; an alarm is false when it begins within no event and no unclear span."""
    found, delays = 0, []
    for event in events:
        standing = [alarm for alarm in alarms if alarm.meets(Span(event.first, event.last + LATE))]
        if standing:
            found += 1
            delays.append(max(0.0, min(alarm.first for alarm in standing) - event.first))
    true = [Span(span.first - EARLY, span.last + LATE) for span in (*events, *unclear)]
    false = sum(not any(span.first <= alarm.first <= span.last for span in true) for alarm in alarms)
    return Verdict(len(events), found, false, seconds, tuple(delays))


def a_day(count: float, seconds: float) -> tuple[float, float, float]:
    """Events a day and the exact 95 % interval of a Poisson rate (Garwood 1936)."""
    low = float(chi2.ppf(0.025, 2 * count)) / 2 if count else 0.0
    return tuple(value / seconds * DAY for value in (count, low, float(chi2.ppf(0.975, 2 * count + 2)) / 2))  # type: ignore[return-value]


def share(count: int, of: int) -> tuple[float, float, float]:
    """A share and its exact 95 % interval (Clopper and Pearson 1934); 0 to 1 where there is nothing."""
    if of == 0:
        return float("nan"), 0.0, 1.0
    low = float(beta.ppf(0.025, count, of - count + 1)) if count else 0.0
    high = float(beta.ppf(0.975, count + 1, of - count)) if count < of else 1.0
    return count / of, low, high
