"""The mine's assets as physics: values as pure functions of the time and of what happens to the asset, with a seed.

`Effects` maps what happens (`co_release`, `slip`, ...) to how strongly it does now; each asset names the effects that it knows and their
units. Ranges follow the assets' usual figures: they are plausible, not those of one machine.
"""

import math
import random
from collections.abc import Mapping

Effects = Mapping[str, float]
NOTHING: Effects = {}


class Wander:
    """A smooth value that wanders about 0 within +-1: sines of periods that share no multiple. The same seed and time give the same value."""

    def __init__(self, seed: int, periods: tuple[float, ...] = (2.7, 11.3, 47.0, 311.0)) -> None:
        source = random.Random(seed)
        self._waves = [(2 * math.pi / period, source.uniform(0, 2 * math.pi)) for period in periods]

    def __call__(self, seconds: float) -> float:
        return sum(math.sin(rate * seconds + phase) for rate, phase in self._waves) / len(self._waves)
