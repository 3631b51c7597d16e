"""When the shift that an instant belongs to began and ends. Pure; local time is a fixed distance from UTC, or that of a named time zone."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel

SECOND = 1_000_000_000  # ns
HOUR = 3600 * SECOND
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def minutes_of(text: str) -> int:
    """Minutes after midnight of ``hh:mm``. Raises ValueError saying how to write it."""
    found = _CLOCK.fullmatch(text)
    if found is None:
        raise ValueError(f"time of day {text!r}: write hh:mm in quotes, for example '07:00'")
    return int(found[1]) * 60 + int(found[2])


def _check(text: str) -> str:
    minutes_of(text)
    return text


def zone_of(name: str) -> ZoneInfo:
    """The time zone of this name. Raises ValueError saying how to write it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"time_zone {name!r} is unknown: write a name of the IANA table, for example America/Santiago") from None


def _check_zone(name: str | None) -> str | None:
    if name is not None:
        zone_of(name)
    return name


def check_one_clock(settings: BaseModel) -> None:
    """Raises ValueError where settings say both how far local time is from UTC and whose time it is."""
    if {"utc_offset", "time_zone"} <= settings.model_fields_set:
        raise ValueError("write either time_zone or utc_offset, not both")


TimeOfDay = Annotated[str, AfterValidator(_check)]
ZoneName = Annotated[str | None, AfterValidator(_check_zone)]


class Shifts(NamedTuple):
    """Shifts that begin every day at these minutes after local midnight.

    Where a change of summer time leaves a beginning out, it is as much later as the clock jumped; of one that comes twice the first counts.
    """

    starts: tuple[int, ...]
    zone: tzinfo

    @staticmethod
    def of(starts: Sequence[str], utc_offset: float, time_zone: str | None = None) -> "Shifts":
        """``time_zone`` counts where it is said, ``utc_offset`` (hours) otherwise."""
        zone = zone_of(time_zone) if time_zone is not None else timezone(timedelta(hours=utc_offset))
        return Shifts(tuple(sorted(minutes_of(text) for text in starts)), zone)

    def began(self, time_ns: int) -> int:
        """The latest beginning at or before ``time_ns``, Unix ns."""
        return max(start for start in self._around(time_ns) if start <= time_ns)

    def ends(self, time_ns: int) -> int:
        """The first beginning after ``time_ns``, Unix ns: where its shift ends."""
        return min(start for start in self._around(time_ns) if start > time_ns)

    def _around(self, time_ns: int) -> list[int]:
        today = (_EPOCH + timedelta(seconds=time_ns // SECOND)).astimezone(self.zone).date()
        days = [today + timedelta(days=offset) for offset in (-1, 0, 1)]
        return [
            _ns(datetime(day.year, day.month, day.day, *divmod(minute, 60), tzinfo=self.zone)) for day in days for minute in self.starts
        ]

    def hours(self, start_ns: int, by_the_clock: float) -> float:
        """How long the shift is that began at ``start_ns`` and lasts so many hours by the clock on the wall: 11 or 13 when that is changed."""
        local = (_EPOCH + timedelta(seconds=start_ns // SECOND)).astimezone(self.zone)
        return (_ns(local + timedelta(hours=by_the_clock)) - start_ns) / HOUR


def _ns(moment: datetime) -> int:
    since = moment.astimezone(UTC) - _EPOCH
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds * 1000
