"""A heading underground and the auxiliary fan that ventilates it."""

import math
from typing import NamedTuple

from simulators.plant import NOTHING, Effects, Wander


class Gas(NamedTuple):
    """CO and NO2 and CO2 in ppm, O2 and CH4 in %vol."""

    co: float
    no2: float
    o2: float
    co2: float
    ch4: float


class Air(NamedTuple):
    """Airflow in m3/min, motor current in A."""

    airflow: float
    current: float
    running: bool


class Fan:
    """Effects: ``fan_trip`` 0..1 (1: stopped), ``duct_leak`` 0..1 (part of the air that is lost before the heading)."""

    EFFECTS = frozenset({"fan_trip", "duct_leak"})
    AIRFLOW, CURRENT = 900.0, 142.0

    def __init__(self, seed: int) -> None:
        self._wander = Wander(seed)

    def at(self, seconds: float, effects: Effects = NOTHING) -> Air:
        """Flow follows the speed, current its cube plus the losses (fan laws); natural ventilation leaves some 8 % of the flow."""
        speed = 1.0 - min(effects.get("fan_trip", 0.0), 1.0)
        wander = self._wander(seconds)
        flow = self.AIRFLOW * (0.08 + 0.92 * speed) * (1 - min(effects.get("duct_leak", 0.0), 1.0)) + 14 * wander
        running = speed > 0.05
        current = (self.CURRENT * (0.15 * speed + 0.85 * speed**3) + 1.5 * wander) if running else 0.0
        return Air(flow, current, running)


class Heading:
    """Effects: ``co_release`` and ``no2_release`` (ppm added), ``methane`` (%vol added), ``oxygen_loss`` (%vol taken), ``diesel`` 0..1 (traffic),
    ``blast_fumes`` (ppm of CO; NO2 comes along at a tenth; a scenario lets them decay).

    Gas from diesels is diluted by the air that the fan brings: half the air, twice the gas, up to 2.5 times.
    """

    EFFECTS = frozenset({"co_release", "no2_release", "methane", "oxygen_loss", "diesel", "blast_fumes"})

    def __init__(self, seed: int) -> None:
        self._wanders = [Wander(seed + index) for index in range(5)]

    def at(self, seconds: float, air: Air, effects: Effects = NOTHING) -> Gas:
        co, no2, o2, co2, ch4 = (wander(seconds) for wander in self._wanders)
        dilution = min(Fan.AIRFLOW / max(air.airflow, 1.0), 2.5)
        traffic = 0.5 + 0.5 * math.sin(2 * math.pi * seconds / 420.0) + 2 * effects.get("diesel", 0.0)
        fumes = effects.get("blast_fumes", 0.0)
        return Gas(
            co=max(0.0, (2.5 + 1.5 * traffic) * dilution + 0.6 * co + effects.get("co_release", 0.0) + fumes),
            no2=max(0.0, (0.25 + 0.2 * traffic) * dilution + 0.06 * no2 + effects.get("no2_release", 0.0) + fumes / 10),
            o2=20.7 + 0.06 * o2 - 0.05 * (dilution - 1) - effects.get("oxygen_loss", 0.0),
            co2=(650 + 250 * traffic) * dilution + 30 * co2,
            ch4=max(0.0, 0.06 * dilution + 0.015 * ch4 + effects.get("methane", 0.0)),
        )
