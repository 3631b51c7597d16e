"""How much ground vibration of a blast a building bears, by frequency. Pure; mm/s and Hz.

DIN 4150-3, values at the foundation (certainty: 20, 5 and 3 mm/s high, the upper ends medium). USBM RI 8507, appendix B, safe levels.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

MM_PER_INCH = 25.4

DIN_4150_3: dict[str, tuple[tuple[float, float], ...]] = {
    "industrial": ((1, 20), (10, 20), (50, 40), (100, 50)),
    "dwelling": ((1, 5), (10, 5), (50, 15), (100, 20)),
    "sensitive": ((1, 3), (10, 3), (50, 8), (100, 10)),
}
USBM_PLATEAU: dict[str, float] = {"plaster": 0.5, "drywall": 0.75}  # in/s


def din4150_limit(frequency_hz: float, building: str) -> float:
    """mm/s at the foundation; straight lines between the corners, and the ends beyond them."""
    return _between(frequency_hz, DIN_4150_3[building])


def usbm_limit(frequency_hz: float, wall: str) -> float:
    """mm/s: the smallest of 2 in/s, the velocity of 0.03 in displacement, and the plateau or 0.008 in, whichever is more."""
    omega = 2 * math.pi * frequency_hz
    return MM_PER_INCH * min(2.0, omega * 0.03, max(USBM_PLATEAU[wall], omega * 0.008))


def _between(at: float, corners: Sequence[tuple[float, float]]) -> float:
    for (left, low), (right, high) in pairwise(corners):
        if at <= right:
            return low + (high - low) * max(0.0, at - left) / (right - left)
    return corners[-1][1]
