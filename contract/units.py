"""The units of a mine: which exist, what they measure, and how one becomes another. Nothing is converted unasked.

A unit belongs to a dimension, and only units of one dimension convert by a factor. What a factor cannot do has a function of its own
that asks for what it needs: `ppm_from_mg_m3` for the gas, the temperature and the pressure, `vol_from_lel` for the explosive limit.
"""

import math
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final, NamedTuple


class Unit(NamedTuple):
    """A unit and its dimension; a value in the reference unit of the dimension is ``value * scale + offset``."""

    symbol: str
    dimension: str
    scale: float = 1.0
    offset: float = 0.0


# The reference unit of a dimension comes first. Percent by volume is a dimension apart from plain percent, and percent of the explosive
# limit apart from both: "1000 ppm (1 %vol)" stood in a real mine's display, ten times wrong.
_DIMENSIONS: dict[str, dict[str, float]] = {
    "gas fraction": {"ppm": 1.0, "ppb": 1e-3, "%vol": 10_000.0},
    "explosive limit": {"%LEL": 1.0},
    "mass concentration": {"mg/m3": 1.0, "ug/m3": 1e-3, "g/m3": 1e3, "mg/l": 1e3},
    "velocity": {"m/s": 1.0, "mm/s": 1e-3, "m/min": 1 / 60, "km/h": 1 / 3.6, "mm/h": 1e-3 / 3600, "in/s": 0.0254},
    "acceleration": {"m/s2": 1.0, "g": 9.80665, "mm/s2": 1e-3},
    "pressure": {"Pa": 1.0, "hPa": 1e2, "kPa": 1e3, "MPa": 1e6, "mbar": 1e2, "bar": 1e5, "mmHg": 133.322387415, "psi": 6894.757293168},
    "current": {"A": 1.0, "mA": 1e-3, "kA": 1e3},
    "voltage": {"V": 1.0, "mV": 1e-3, "kV": 1e3},
    "power": {"W": 1.0, "kW": 1e3, "MW": 1e6},
    "energy": {"J": 1.0, "kWh": 3.6e6, "MWh": 3.6e9},
    "specific energy": {"J/kg": 1.0, "kWh/t": 3600.0, "MJ/t": 1e3},
    "frequency": {"Hz": 1.0, "1/s": 1.0, "kHz": 1e3, "rpm": 1 / 60},
    "volume flow": {"m3/s": 1.0, "m3/h": 1 / 3600, "m3/min": 1 / 60, "l/s": 1e-3, "l/min": 1e-3 / 60, "l/h": 1e-3 / 3600},
    "volume": {"m3": 1.0, "l": 1e-3},
    "mass flow": {"kg/s": 1.0, "t/h": 1e3 / 3600, "kg/h": 1 / 3600},
    "mass": {"kg": 1.0, "t": 1e3},
    "density": {"kg/m3": 1.0, "t/m3": 1e3},
    "force": {"N": 1.0, "kN": 1e3},
    "torque": {"Nm": 1.0, "kNm": 1e3},
    "length": {"m": 1.0, "mm": 1e-3, "um": 1e-6, "cm": 1e-2, "km": 1e3},
    "angle": {"deg": 1.0, "rad": 180 / math.pi},
    "time": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "min": 60.0, "h": 3600.0, "d": 86400.0},
    "ratio": {"1": 1.0, "%": 0.01},
    "data": {"B": 1.0, "kB": 1e3, "MB": 1e6},
    "sound level": {"dB": 1.0},
    "sound level, A-weighted": {"dBA": 1.0},
    "illuminance": {"lux": 1.0},
    "acidity": {"pH": 1.0},
    "turbidity": {"NTU": 1.0},
    "conductivity": {"uS/cm": 1.0, "mS/cm": 1e3},
    "irradiance": {"W/m2": 1.0},
    "state": {"bool": 1.0},
}


def _table() -> dict[str, Unit]:
    units = {symbol: Unit(symbol, dimension, scale) for dimension, symbols in _DIMENSIONS.items() for symbol, scale in symbols.items()}
    units["K"] = Unit("K", "temperature")
    units["degC"] = Unit("degC", "temperature", 1.0, 273.15)
    units["degF"] = Unit("degF", "temperature", 5 / 9, 459.67 * 5 / 9)
    return units


UNITS: Final = MappingProxyType(_table())

# How people write them, for the "did you mean" only: a wire name is written in one way.
_USUAL = {
    "°c": "degC", "c": "degC", "celsius": "degC", "°f": "degF", "%v/v": "%vol", "vol%": "%vol", "% vol": "%vol", "vol": "%vol",
    "%lie": "%LEL", "lel": "%LEL", "% lel": "%LEL", "m³/h": "m3/h", "m³/s": "m3/s", "m³/min": "m3/min", "m^3/h": "m3/h", "m³": "m3",
    "mg/m³": "mg/m3", "µg/m³": "ug/m3", "μg/m³": "ug/m3", "m/s²": "m/s2", "m/s^2": "m/s2", "percent": "%", "amp": "A", "volt": "V",
    "lx": "lux", "db(a)": "dBA", "µs/cm": "uS/cm", "μs/cm": "uS/cm", "boolean": "bool", "sec": "s", "hour": "h", "": "1", "-": "1",
    "none": "1", "count": "1", "tph": "t/h", "ton": "t", "lps": "l/s", "rev/min": "rpm",
}  # fmt: skip


def unit(symbol: str) -> Unit:
    """The unit with this symbol. Raises ValueError with the nearest one that exists."""
    found = UNITS.get(symbol)
    if found is None:
        raise ValueError(f"unit {symbol!r}: {_nearest(symbol)}")
    return found


def check_unit(symbol: str) -> str:
    """The symbol if it is a unit of ours. Raises ValueError with the nearest one that exists."""
    return unit(symbol).symbol


def _nearest(symbol: str) -> str:
    usual = _USUAL.get(symbol.strip().lower())
    folded = {known.lower(): known for known in UNITS}
    close = usual or folded.get(symbol.strip().lower())
    if close is None:
        matches = get_close_matches(symbol.lower(), folded, 1, 0.5)
        close = folded[matches[0]] if matches else None
    return f"did you mean {close!r}?" if close else f"write one of {', '.join(UNITS)}"


def convert(value: float, source: str, target: str) -> float:
    """``value`` in ``source`` as ``target``. Raises ValueError for an unknown unit or for two dimensions, saying what to use instead."""
    start, end = unit(source), unit(target)
    if start.dimension != end.dimension:
        raise ValueError(f"{source} ({start.dimension}) cannot become {target} ({end.dimension}){_instead(start, end)}")
    if start == end:
        return value
    if start.offset == end.offset:
        return value * start.scale / end.scale
    return (value * start.scale + start.offset - end.offset) / end.scale


def _instead(start: Unit, end: Unit) -> str:
    between = {start.dimension, end.dimension}
    if between == {"gas fraction", "mass concentration"}:
        return ": use ppm_from_mg_m3 or mg_m3_from_ppm, with the gas, the temperature and the pressure"
    if between == {"gas fraction", "explosive limit"}:
        return ": use vol_from_lel or lel_from_vol, with the lower explosive limit of the gas"
    if between == {"gas fraction", "ratio"}:
        return ": write %vol for a gas"
    return ""


# g/mol, from the standard atomic weights (IUPAC 2021, abridged).
MOLAR_MASS: Final = MappingProxyType(
    {
        "CO": 28.010,
        "CO2": 44.009,
        "CH4": 16.043,
        "NO": 30.006,
        "NO2": 46.005,
        "SO2": 64.058,
        "H2S": 34.076,
        "NH3": 17.031,
        "HCN": 27.026,
        "O2": 31.998,
        "H2": 2.016,
    }
)
MOLAR_VOLUME = 22.414  # l/mol of an ideal gas at 0 degC and 101.325 kPa
STANDARD_PRESSURE_KPA = 101.325
METHANE_LEL_VOL = 5.0  # %vol; IEC 60079-20-1 gives 4.4 and the instruments of mines are scaled to 5.0: a site says which


def litres_per_mole(temperature_c: float, pressure_kpa: float) -> float:
    """The molar volume of an ideal gas, l/mol. Raises ValueError for what is no temperature or pressure of air that people breathe."""
    if not -60 <= temperature_c <= 100:
        raise ValueError(f"{temperature_c} degC: write the temperature of the air in degC, -60 to 100")
    if not 30 <= pressure_kpa <= 130:
        raise ValueError(f"{pressure_kpa} kPa: write the absolute pressure in kPa, 30 to 130 (sea level 101.3, 4,500 m 57.7)")
    return MOLAR_VOLUME * (temperature_c + 273.15) / 273.15 * STANDARD_PRESSURE_KPA / pressure_kpa


def ppm_from_mg_m3(mg_m3: float, *, gas: str, temperature_c: float, pressure_kpa: float) -> float:
    """ppm = mg/m3 · (22.414/M) · (T/273.15) · (101.325/P), with T in kelvin and P in kPa where the sample was taken.

    A limit in ppm is a mole fraction and stays what it is at any altitude; never raise a limit by altitude. Raises ValueError for a gas
    whose molar mass is not in MOLAR_MASS.
    """
    return mg_m3 * litres_per_mole(temperature_c, pressure_kpa) / _molar_mass(gas)


def mg_m3_from_ppm(ppm: float, *, gas: str, temperature_c: float, pressure_kpa: float) -> float:
    """The inverse of `ppm_from_mg_m3`."""
    return ppm * _molar_mass(gas) / litres_per_mole(temperature_c, pressure_kpa)


def _molar_mass(gas: str) -> float:
    if gas not in MOLAR_MASS:
        raise ValueError(f"gas {gas!r}: write one of {', '.join(MOLAR_MASS)}")
    return MOLAR_MASS[gas]


def vol_from_lel(percent_lel: float, *, lel_vol: float = METHANE_LEL_VOL) -> float:
    """%vol of a reading in %LEL; ``lel_vol`` is the lower explosive limit in %vol that the instrument is scaled to (10 %LEL CH4: 0.5 %vol)."""
    return percent_lel * _lel(lel_vol) / 100


def lel_from_vol(percent_vol: float, *, lel_vol: float = METHANE_LEL_VOL) -> float:
    """%LEL of a reading in %vol; the inverse of `vol_from_lel`."""
    return percent_vol * 100 / _lel(lel_vol)


def _lel(lel_vol: float) -> float:
    if not 0.1 <= lel_vol <= 20:
        raise ValueError(f"lower explosive limit {lel_vol} %vol: write it in %vol, for example 5.0 for methane")
    return lel_vol


def standard_pressure_kpa(altitude_m: float) -> float:
    """The pressure of the standard atmosphere (ISO 2533), kPa: 101.325·(1 − 2.25577e-5·h)^5.25588. Prefer a barometer on site.

    Raises ValueError outside −1,000 to 11,000 m, where the formula ends.
    """
    if not -1_000 <= altitude_m <= 11_000:
        raise ValueError(f"altitude {altitude_m} m: write metres above sea level, -1000 to 11000")
    return float(STANDARD_PRESSURE_KPA * (1 - 2.25577e-5 * altitude_m) ** 5.25588)
