"""One moment, as the engine is told it."""

from typing import NamedTuple

SECOND = 1_000_000_000  # ns


class Instant(NamedTuple):
    """One moment on both clocks. A Pi without a battery clock steps its wall clock by years when it finds a time server: delays and
    silence are measured on ``steady_ns``, which never steps; ``wall_ns`` (Unix, UTC, whole milliseconds) only stamps.
    """

    wall_ns: int
    steady_ns: int
