"""The time that a device writes beside its value, and when it is not believed. Pure."""

from contract.values import GOOD, Quality, uncertain
from edge.clock import SECOND, whole_ms

AHEAD = 300 * SECOND  # ns; what the gateway's admission takes for a wrong clock, too
EARLIEST = (
    1_262_304_000 * SECOND
)  # 2010-01-01: a device that says less has lost its clock (1601, 1970, 1984, 2000 are what they begin with)
CLOCK_UNSURE = uncertain("clock_unsure")


def stamp(device_ns: int | None, received_ns: int) -> tuple[int, Quality]:
    """The time of a reading (Unix ns, whole milliseconds) and what is thought of it.

    The device's own time if it has one; the time of receipt, ``uncertain:clock_unsure``, where that is more than 5 minutes ahead or
    before 2010. A time of the past is kept: the value may have waited.
    """
    if device_ns is None:
        return whole_ms(received_ns), GOOD
    if not EARLIEST <= device_ns <= received_ns + AHEAD:
        return whole_ms(received_ns), CLOCK_UNSURE
    return whole_ms(device_ns), GOOD
