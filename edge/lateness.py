"""Which readings are history: older than what their point has told already. Pure.

A device that buffers, or a network that reorders, delivers the past after the present. It is kept, and it decides nothing: an old value must
neither raise an alarm now nor end one. A clock that was set back is something else: there the older stamp is the present.
"""

from contract.values import Reading
from edge.clock import SECOND, Instant

PATIENCE = 5 * SECOND  # ns: when only older ones come for so long, the device's clock was set back


class Lateness:
    """Remembers the newest stamp of each point that told a value."""

    def __init__(self) -> None:
        self._newest: dict[str, tuple[int, int]] = {}  # Unix ns, and the steady ns of its arrival

    def late(self, reading: Reading, now: Instant) -> bool:
        """Whether it is older than what was told. A reading without a value tells of the present, whatever its stamp."""
        if reading.value is None:
            return False
        newest = self._newest.get(reading.point)
        if newest is not None and reading.time_ns < newest[0]:
            told_ns, arrived_ns = newest
            # A stamp ahead of the present was made before the node's clock was set back.
            if told_ns <= now.wall_ns and now.steady_ns - arrived_ns < PATIENCE:
                return True
        self._newest[reading.point] = reading.time_ns, now.steady_ns
        return False
