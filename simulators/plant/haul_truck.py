"""A mining haul truck: one haul cycle after another (loading, uphill loaded, dumping, downhill empty), and what its engine makes of it.

Figures are those of a 220 t class truck, from general knowledge: enough to be plausible, not a model of any maker's engine.
"""

import math
from typing import NamedTuple


class Phase(NamedTuple):
    """A part of the haul cycle: seconds, engine speed (rpm), engine load (0 to 1) and road speed (km/h) that it settles to."""

    name: str
    seconds: float
    rpm: float
    load: float
    speed: float


CYCLE = (
    Phase("loading", 180, 750, 0.08, 0),
    Phase("uphill", 600, 1850, 0.95, 12),
    Phase("dumping", 60, 1300, 0.35, 0),
    Phase("downhill", 400, 1500, 0.05, 35),
)


class HaulTruck:
    """The state of the truck; ``step`` moves it on. Temperatures in degC, pressures in kPa, fuel in l and l/h."""

    def __init__(self, *, ambient: float = 8.0, barometer: float = 60.0) -> None:
        self.ambient = ambient
        self.barometer = barometer  # about 4,100 m above the sea
        self.rpm = 700.0
        self.load = 0.1
        self.speed = 0.0
        self.coolant = 60.0
        self.oil = 65.0
        self.exhaust = 200.0
        self.intake = 30.0
        self.boost = 0.0
        self.oil_pressure = 250.0
        self.fuel_rate = 12.0
        self.fuel_used = 1_204_337.5
        self.hours = 8_766.25
        self.battery = 27.6
        self.tire_pressure = 690.0
        self.tire = 45.0
        self.filter_drop = 3.0
        self.blocked_radiator = False  # a fault: it runs hot
        self._clock = 0.0

    @property
    def phase(self) -> Phase:
        within = self._clock % sum(phase.seconds for phase in CYCLE)
        for phase in CYCLE:
            if within < phase.seconds:
                return phase
            within -= phase.seconds
        return CYCLE[-1]

    def step(self, seconds: float) -> None:
        """Moves on by ``seconds``, which may be long: every part approaches what it settles to by its own time constant."""
        self._clock += seconds
        phase = self.phase
        self.rpm = _towards(self.rpm, phase.rpm + 15 * math.sin(self._clock), 3, seconds)
        self.load = _towards(self.load, phase.load, 2, seconds)
        self.speed = _towards(self.speed, phase.speed, 8, seconds)
        self.boost = _towards(self.boost, 220 * self.load, 2, seconds)
        self.exhaust = _towards(self.exhaust, 180 + 400 * self.load, 20, seconds)
        self.intake = _towards(self.intake, self.ambient + 20 + 25 * self.load, 30, seconds)
        hot = 112.0 if self.blocked_radiator else 86.0
        self.coolant = _towards(self.coolant, hot + 6 * self.load, 120, seconds)
        self.oil = _towards(self.oil, self.coolant + 8 + 6 * self.load, 200, seconds)
        thin = 1 - 0.004 * (self.oil - 90)  # warm oil runs thin
        self.oil_pressure = max(0.0, min(500.0, 0.26 * self.rpm) * thin)
        self.fuel_rate = 0.012 * self.rpm + 290 * self.load * self.rpm / 1900
        self.fuel_used += self.fuel_rate * seconds / 3600
        self.hours += seconds / 3600
        self.tire = _towards(self.tire, 45 + 0.9 * self.speed, 1800, seconds)
        self.tire_pressure = 690 * (self.tire + 273) / (45 + 273)
        self.filter_drop = 1.5 + 4 * self.load


def _towards(value: float, target: float, time_constant: float, seconds: float) -> float:
    return target + (value - target) * math.exp(-seconds / time_constant)
