"""The node's clocks: wall time in whole milliseconds for stamps, a steady one for decisions, and whether the wall clock can be trusted."""

import ctypes
import time
from pathlib import Path
from typing import NamedTuple

from rules.moment import SECOND, Instant

__all__ = ["MS", "SECOND", "Instant", "Synchronisation", "now", "synchronisation", "whole_ms"]

MS = 1_000_000  # ns

_TIMESYNCD = Path("/run/systemd/timesync/synchronized")
_STA_UNSYNC = 0x0040  # <sys/timex.h>
_STA_NANO = 0x2000
_TIME_ERROR = 5


def now() -> Instant:
    return Instant(whole_ms(time.time_ns()), time.monotonic_ns())


def whole_ms(time_ns: int) -> int:
    """The instant cut down to whole milliseconds, still in ns: the resolution of the wire and of every store."""
    return time_ns - time_ns % MS


class Synchronisation(NamedTuple):
    """What the kernel says of the wall clock: ``synchronised`` and ``offset_ms`` are None where it does not tell."""

    synchronised: bool | None
    offset_ms: float | None


class _Timex(ctypes.Structure):
    """struct timex of <sys/timex.h>; the reserved tail is longer than any kernel's."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("reserved", ctypes.c_char * 256),
    ]


def synchronisation() -> Synchronisation:
    """Asks adjtimex(2), read only; systemd-timesyncd's own mark counts too, because it disciplines without clearing STA_UNSYNC at once."""
    marked = _TIMESYNCD.exists()
    try:
        timex = _Timex()
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        return Synchronisation(marked or None, None)
    if state < 0:
        return Synchronisation(marked or None, None)
    synchronised = marked or (state != _TIME_ERROR and not timex.status & _STA_UNSYNC)
    per_ms = 1e6 if timex.status & _STA_NANO else 1e3
    return Synchronisation(synchronised, timex.offset / per_ms if synchronised else None)
