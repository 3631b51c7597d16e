"""A belt conveyor: drive and tail drum, load, drift, pull-cord."""

from typing import NamedTuple

from simulators.plant import NOTHING, Effects, Wander


class ConveyorState(NamedTuple):
    """Speeds in m/s (belt at the drive, tail drum), load in t/h, current in A, drift in mm (positive: to the walkway)."""

    speed: float
    tail_speed: float
    load: float
    current: float
    drift: float
    running: bool
    pull_cord: bool


class Conveyor:
    """Effects: ``slip`` 0..1 (part of the drive's speed that the belt does not follow), ``drift`` (mm added), ``overload`` (t/h added),
    ``pull_cord`` 0..1 (pulled above 0.5; the belt has coasted down when it is 1).
    """

    EFFECTS = frozenset({"slip", "drift", "overload", "pull_cord"})
    SPEED, LOAD, CURRENT = 3.2, 950.0, 182.0

    def __init__(self, seed: int) -> None:
        self._wanders = [Wander(seed + index) for index in range(4)]

    def at(self, seconds: float, effects: Effects = NOTHING) -> ConveyorState:
        speed, tail, load, drift = (wander(seconds) for wander in self._wanders)
        cord = effects.get("pull_cord", 0.0)
        slip = min(effects.get("slip", 0.0), 1.0)
        moving = 1.0 - min(max(2 * cord - 1, 0.0), 1.0)
        drive = max(0.0, (self.SPEED + 0.015 * speed) * moving)
        carried = max(0.0, (self.LOAD + 45 * load + effects.get("overload", 0.0)) * moving * (1 - slip))
        running = cord <= 0.5
        return ConveyorState(
            speed=drive,
            tail_speed=max(0.0, drive * (1 - slip) * (1 + 0.006 * tail)),
            load=carried,
            current=(self.CURRENT * (0.4 + 0.6 * carried / self.LOAD) + 60 * slip) if running else 0.0,
            drift=9 * drift + effects.get("drift", 0.0),
            running=running,
            pull_cord=cord > 0.5,
        )
