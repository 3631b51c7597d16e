"""Readings and their quality: the values that every package speaks of."""

import re
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import msgspec

IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
POINT = re.compile(r"[a-z0-9][a-z0-9-]{0,31}(/[a-z0-9][a-z0-9_-]{0,31}){1,5}")


def whole(pattern: str) -> str:
    """The pattern for a whole text, in what JSON Schema (ECMA 262) and Python have in common.

    Python's ``$`` also stands before a last newline; the lookahead takes that back, and says nothing new in ECMA 262.
    """
    return rf"^{pattern}$(?!\n)"


class Level(StrEnum):
    """How far a value can be trusted."""

    GOOD = "good"
    UNCERTAIN = "uncertain"
    BAD = "bad"


class Quality(NamedTuple):
    """A level and, unless it is good, the reason: ``bad:wire_break`` on the wire."""

    level: Level
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.level}:{self.reason}" if self.reason else str(self.level)

    @property
    def good(self) -> bool:
        return self.level is Level.GOOD

    @staticmethod
    @lru_cache(maxsize=1024)
    def parse(text: str) -> "Quality":
        """The quality written as ``level`` or ``level:reason``. Raises ValueError naming what would be right."""
        level, colon, reason = text.partition(":")
        if level not in _LEVELS or (colon and (level == Level.GOOD or not _REASON.fullmatch(reason))):
            raise ValueError(f"{text!r} is not a quality: write good, uncertain:reason or bad:reason")
        return Quality(Level(level), reason)


_LEVELS = frozenset(Level)
_REASON = re.compile(r"[a-z][a-z0-9_]{0,31}")

GOOD = Quality(Level.GOOD)


def bad(reason: str) -> Quality:
    """A value that could not be read, or must not be used."""
    return Quality(Level.BAD, reason)


def uncertain(reason: str) -> Quality:
    """A value that was read but is not to be relied on."""
    return Quality(Level.UNCERTAIN, reason)


def worst(first: Quality, second: Quality) -> Quality:
    """The less trustworthy of two qualities; the first where they are equal."""
    return second if _RANK[second.level] > _RANK[first.level] else first


_RANK = {Level.GOOD: 0, Level.UNCERTAIN: 1, Level.BAD: 2}


class Reading(msgspec.Struct, frozen=True, gc=False):
    """One value of one point at one instant (``time_ns``: Unix nanoseconds, UTC).

    ``value`` is in the unit that the node's birth declares for the point, and None when nothing could be read: then the quality is bad.
    """

    point: str
    time_ns: int
    value: float | None
    quality: Quality = GOOD


def check_identifier(text: str, what: str) -> str:
    """The text if it may stand in a topic. Raises ValueError naming ``what`` and the rule."""
    if not IDENTIFIER.fullmatch(text):
        raise ValueError(f"{what} {text!r}: write 1 to 32 of a-z, 0-9 and '-', beginning with a letter or digit")
    return text


def check_point(text: str) -> str:
    """The text if it names a point. Raises ValueError naming the rule."""
    if not POINT.fullmatch(text):
        raise ValueError(
            f"point {text!r}: write asset/signal, for example pump-3/vibration/de/rms_velocity (a-z, 0-9, '-', '_'; 2 to 6 parts)"
        )
    return text
