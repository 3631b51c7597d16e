"""A slurry pump, 160 kW, four-pole motor."""

from typing import NamedTuple

from simulators.plant import NOTHING, Effects, Wander

BEARING_EFFECTS = {"bearing_outer_race": "outer", "bearing_inner_race": "inner", "bearing_ball": "ball"}


class PumpState(NamedTuple):
    """Flow in m3/h, discharge pressure in kPa, motor current in A, bearing temperature in degC, speed in rpm."""

    flow: float
    pressure: float
    current: float
    bearing_temperature: float
    speed: float
    running: bool


class Pump:
    """Effects: ``bearing_outer_race``, ``bearing_inner_race``, ``bearing_ball`` 0..1 (severity), ``blockage`` 0..1, ``pump_stop`` 0..1."""

    EFFECTS = frozenset({*BEARING_EFFECTS, "blockage", "pump_stop"})
    SPEED = 1480.0  # rpm

    def __init__(self, seed: int) -> None:
        self._wanders = [Wander(seed + index) for index in range(5)]

    def at(self, seconds: float, effects: Effects = NOTHING) -> PumpState:
        """Affinity laws: flow goes with the speed, pressure with its square, power with its cube."""
        flow, pressure, current, temperature, speed = (wander(seconds) for wander in self._wanders)
        turning = 1.0 - min(effects.get("pump_stop", 0.0), 1.0)
        if turning < 0.02:
            return PumpState(0.0, 95 + pressure, 0.0, 34 + temperature, 0.0, running=False)
        blocked = min(effects.get("blockage", 0.0), 1.0)
        severity = bearing_fault(effects)[1]
        return PumpState(
            flow=max(0.0, (420 + 9 * flow) * turning * (1 - 0.8 * blocked)),
            pressure=(620 + 8 * pressure + 160 * blocked) * turning**2,
            current=(148 + 2.5 * current - 45 * blocked + 6 * severity) * turning**3,
            bearing_temperature=56 + 1.2 * temperature + 24 * severity**1.5,
            speed=(self.SPEED + 2.5 * speed) * turning,
            running=True,
        )


def bearing_fault(effects: Effects) -> tuple[str, float]:
    """Which part of the bearing is worst (outer, inner, ball) and how badly, 0..1."""
    name, severity = max(((part, effects.get(effect, 0.0)) for effect, part in BEARING_EFFECTS.items()), key=lambda pair: pair[1])
    return name, min(severity, 1.0)
