"""When the shift that an instant belongs to began. Pure; local time is a fixed distance from UTC (Peru: −5 h, no summer time)."""

import re
from collections.abc import Sequence
from typing import Annotated, NamedTuple

from pydantic import AfterValidator

HOUR = 3_600_000_000_000  # ns
DAY = 24 * HOUR
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


def minutes_of(text: str) -> int:
    """Minutes after midnight of ``hh:mm``. Raises ValueError saying how to write it."""
    found = _CLOCK.fullmatch(text)
    if found is None:
        raise ValueError(f"time of day {text!r}: write hh:mm in quotes, for example '07:00'")
    return int(found[1]) * 60 + int(found[2])


def _check(text: str) -> str:
    minutes_of(text)
    return text


TimeOfDay = Annotated[str, AfterValidator(_check)]


class Shifts(NamedTuple):
    """Shifts that begin every day at these minutes after local midnight; ``utc_offset`` in hours."""

    starts: tuple[int, ...]
    utc_offset: float

    @staticmethod
    def of(starts: Sequence[str], utc_offset: float) -> "Shifts":
        return Shifts(tuple(sorted(minutes_of(text) for text in starts)), utc_offset)

    def began(self, time_ns: int) -> int:
        """The latest beginning at or before ``time_ns``, Unix ns."""
        shift = round(self.utc_offset * HOUR)
        local = time_ns + shift
        midnight = local - local % DAY
        starts = [midnight + day * DAY + minute * HOUR // 60 for day in (-1, 0) for minute in self.starts]
        return max(start for start in starts if start <= local) - shift
