"""Units: the whitelist, what converts, what never does unasked, and the figures that a mine would notice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.units import (
    MOLAR_MASS,
    UNITS,
    check_unit,
    convert,
    lel_from_vol,
    litres_per_mole,
    mg_m3_from_ppm,
    ppm_from_mg_m3,
    standard_pressure_kpa,
    unit,
    vol_from_lel,
)

symbols = st.sampled_from(sorted(UNITS))
values = st.floats(-1e9, 1e9)


def test_every_unit_a_mine_was_promised_is_there() -> None:
    promised = (
        "ppm %vol %LEL mg/m3 ug/m3 mm/s m/s m/s2 g degC kPa Pa bar A mA V kW rpm Hz m3/h m3/min l/s t/h t % s ms h 1 bool mm m dB lux pH NTU "
        "uS/cm"
    )
    for symbol in promised.split():
        assert check_unit(symbol) == symbol


@given(symbols, symbols, values)
def test_a_conversion_goes_back_or_is_refused_both_ways(source: str, target: str, value: float) -> None:
    if unit(source).dimension == unit(target).dimension:
        assert convert(convert(value, source, target), target, source) == pytest.approx(value, rel=1e-9, abs=1e-6)
    else:
        with pytest.raises(ValueError, match="cannot become"):
            convert(value, source, target)


@given(symbols, values)
def test_a_unit_into_itself_changes_nothing(symbol: str, value: float) -> None:
    assert convert(value, symbol, symbol) == value


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        (1, "%vol", "ppm", 10_000),
        (5_000, "ppm", "%vol", 0.5),
        (0.1, "%vol", "ppm", 1_000),  # and not 10,000: "1000 ppm (1 %vol)" is the mistake
        (1, "mg/m3", "ug/m3", 1_000),
        (4.5, "mm/s", "m/s", 0.0045),
        (20, "m/min", "m/s", 1 / 3),
        (1, "in/s", "mm/s", 25.4),
        (1, "g", "m/s2", 9.80665),
        (1_500, "rpm", "Hz", 25),
        (1, "bar", "kPa", 100),
        (760, "mmHg", "kPa", 101.3250144),
        (1, "mmHg", "Pa", 133.322387415),
        (20.5, "mA", "A", 0.0205),
        (1, "m3/min", "m3/h", 60),
        (1, "l/s", "m3/h", 3.6),
        (1, "t/h", "kg/s", 1 / 3.6),
        (8, "h", "s", 28_800),
        (50, "%", "1", 0.5),
        (25, "degC", "K", 298.15),
        (100, "degC", "degF", 212),
        (-40, "degF", "degC", -40),
        (1, "mS/cm", "uS/cm", 1_000),
    ],
)
def test_figures(value: float, source: str, target: str, expected: float) -> None:
    assert convert(value, source, target) == pytest.approx(expected, rel=1e-9)


def test_percent_by_volume_is_exact() -> None:
    for hundredths in range(10_001):
        assert convert(hundredths / 100, "%vol", "ppm") == pytest.approx(hundredths * 100, rel=1e-15)
    assert convert(1, "%vol", "ppm") == 10_000


@pytest.mark.parametrize(
    ("source", "target", "says"),
    [
        ("ppm", "mg/m3", "use ppm_from_mg_m3 or mg_m3_from_ppm, with the gas, the temperature and the pressure"),
        ("mg/m3", "%vol", "use ppm_from_mg_m3 or mg_m3_from_ppm"),
        ("%LEL", "%vol", "use vol_from_lel or lel_from_vol, with the lower explosive limit of the gas"),
        ("%", "%vol", "write %vol for a gas"),
        ("%", "ppm", "write %vol for a gas"),
        ("mm/s", "g", r"mm/s \(velocity\) cannot become g \(acceleration\)"),
        ("bool", "1", "cannot become"),
        ("dB", "dBA", "cannot become"),
    ],
)
def test_nothing_is_converted_silently(source: str, target: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        convert(1, source, target)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("°C", "degC"),
        ("PPM", "ppm"),
        ("mm/sec", "mm/s"),
        ("m³/h", "m3/h"),
        ("kpa", "kPa"),
        ("% vol", "%vol"),
        ("µg/m³", "ug/m3"),
        ("", "1"),
    ],
)
def test_an_unknown_unit_names_the_nearest(written: str, meant: str) -> None:
    with pytest.raises(ValueError, match="did you mean") as caught:
        unit(written)
    assert str(caught.value) == f"unit {written!r}: did you mean {meant!r}?"


def test_a_unit_like_no_other_gets_the_list() -> None:
    with pytest.raises(ValueError, match="unit 'furlong': write one of ppm, ppb, %vol"):
        unit("furlong")


# gases


def test_co_of_the_peruvian_note_at_altitude() -> None:
    """29 mg/m3 at 10 degC and 466 mmHg is 39.2 ppm; a published note says 28.41, which forgets the pressure."""
    pressure = convert(466, "mmHg", "kPa")
    assert ppm_from_mg_m3(29, gas="CO", temperature_c=10, pressure_kpa=pressure) == pytest.approx(39.2, abs=0.05)


@pytest.mark.parametrize(
    ("gas", "ppm", "mg_m3"),
    [("CO", 25, 28.6), ("NO2", 3, 5.64), ("H2S", 10, 13.9), ("SO2", 2, 5.24), ("CO2", 5_000, 9_000), ("NO", 25, 30.7)],
)
def test_limits_as_the_tables_give_them_at_25_degrees_and_sea_level(gas: str, ppm: float, mg_m3: float) -> None:
    assert mg_m3_from_ppm(ppm, gas=gas, temperature_c=25, pressure_kpa=101.325) == pytest.approx(mg_m3, rel=3e-3)


@given(st.sampled_from(sorted(MOLAR_MASS)), st.floats(0, 1e5), st.floats(-60, 100), st.floats(30, 130))
def test_ppm_and_mass_go_back(gas: str, ppm: float, temperature: float, pressure: float) -> None:
    mass = mg_m3_from_ppm(ppm, gas=gas, temperature_c=temperature, pressure_kpa=pressure)
    assert ppm_from_mg_m3(mass, gas=gas, temperature_c=temperature, pressure_kpa=pressure) == pytest.approx(ppm, rel=1e-12)


def test_the_molar_volume() -> None:
    assert litres_per_mole(0, 101.325) == 22.414
    assert litres_per_mole(25, 101.325) == pytest.approx(24.465, abs=0.001)


@pytest.mark.parametrize(
    ("temperature", "pressure", "says"),
    [
        (283.15, 100, "write the temperature of the air in degC"),
        (10, 466, "absolute pressure in kPa"),
        (10, 1.0, "absolute pressure in kPa"),
    ],
)
def test_kelvin_and_mmhg_are_noticed(temperature: float, pressure: float, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ppm_from_mg_m3(29, gas="CO", temperature_c=temperature, pressure_kpa=pressure)


def test_a_gas_without_a_molar_mass() -> None:
    with pytest.raises(ValueError, match="gas 'co': write one of CO, CO2"):
        ppm_from_mg_m3(1, gas="co", temperature_c=10, pressure_kpa=100)


def test_methane_in_percent_of_the_explosive_limit() -> None:
    assert vol_from_lel(10) == 0.5
    assert vol_from_lel(100) == 5.0
    assert lel_from_vol(0.5) == 10
    assert vol_from_lel(10, lel_vol=4.4) == pytest.approx(0.44)
    with pytest.raises(ValueError, match="write it in %vol"):
        vol_from_lel(10, lel_vol=50_000)


@pytest.mark.parametrize(
    ("altitude", "kpa", "mmhg"), [(0, 101.325, 760), (3_000, 70.1, 526), (4_000, 61.6, 462), (4_500, 57.7, 433), (5_000, 54.0, 405)]
)
def test_the_standard_atmosphere(altitude: float, kpa: float, mmhg: float) -> None:
    assert standard_pressure_kpa(altitude) == pytest.approx(kpa, abs=0.05)
    assert convert(standard_pressure_kpa(altitude), "kPa", "mmHg") == pytest.approx(mmhg, abs=0.6)


def test_an_altitude_in_the_wrong_unit() -> None:
    with pytest.raises(ValueError, match="write metres above sea level"):
        standard_pressure_kpa(14_764)
