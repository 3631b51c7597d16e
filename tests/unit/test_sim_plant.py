"""The plant stays plausible for hours, and what happens to it moves the right signals the right way."""

import math

import pytest

from simulators.plant import Wander
from simulators.plant.conveyor import Conveyor
from simulators.plant.pump import Pump, bearing_fault
from simulators.plant.ventilation import Fan, Heading

HOURS = range(0, 4 * 3600, 37)


def test_the_healthy_mine_raises_no_alarm_for_hours() -> None:
    """Limits of D.S. 024-2016-EM and of the simulated site: nothing may come near while nothing happens."""
    fan, heading, pump, conveyor = Fan(1), Heading(1), Pump(1), Conveyor(1)
    for second in HOURS:
        air = fan.at(second)
        gas = heading.at(second, air)
        assert 0 <= gas.co < 15
        assert 0 <= gas.no2 < 1.5
        assert 20.3 < gas.o2 < 21
        assert 400 < gas.co2 < 2000
        assert 0 <= gas.ch4 < 0.25
        assert 850 < air.airflow < 950
        assert 130 < air.current < 155
        state = pump.at(second)
        assert 400 < state.flow < 440
        assert 600 < state.pressure < 640
        assert 50 < state.bearing_temperature < 65
        assert 1475 < state.speed < 1485
        belt = conveyor.at(second)
        assert abs(belt.speed - belt.tail_speed) < 0.03 * belt.speed
        assert abs(belt.drift) < 15
        assert belt.running
        assert not belt.pull_cord


def test_values_move_and_repeat_with_the_seed() -> None:
    first, again, other = Heading(7), Heading(7), Heading(8)
    air = Fan(7).at(0)
    values = [first.at(second, air).co for second in range(60)]
    assert values == [again.at(second, air).co for second in range(60)]
    assert values != [other.at(second, air).co for second in range(60)]
    assert len({round(value, 1) for value in values}) > 5  # not stuck at the resolution of the register


def test_wander_stays_within_one() -> None:
    wander = Wander(3)
    assert max(abs(wander(second / 3)) for second in range(10_000)) <= 1


def test_a_fan_that_trips_starves_the_heading() -> None:
    fan, heading = Fan(1), Heading(1)
    normal, stopped = fan.at(100), fan.at(100, {"fan_trip": 1.0})
    assert not stopped.running
    assert stopped.current == 0
    assert stopped.airflow < 120
    half = fan.at(100, {"fan_trip": 0.5})
    assert normal.airflow > half.airflow > stopped.airflow
    assert half.current < normal.current / 2  # the cube of the speed
    assert heading.at(100, stopped).co > 1.5 * heading.at(100, normal).co
    assert heading.at(100, normal, {"co_release": 40}).co == pytest.approx(heading.at(100, normal).co + 40)
    fumes = heading.at(100, normal, {"blast_fumes": 80})
    assert fumes.no2 > 8


def test_pump_faults() -> None:
    pump = Pump(1)
    normal = pump.at(50)
    blocked = pump.at(50, {"blockage": 1.0})
    assert blocked.flow < 0.3 * normal.flow
    assert blocked.pressure > normal.pressure
    assert blocked.current < normal.current
    worn = pump.at(50, {"bearing_outer_race": 1.0})
    assert worn.bearing_temperature > normal.bearing_temperature + 20
    stopped = pump.at(50, {"pump_stop": 1.0})
    assert (stopped.running, stopped.speed, stopped.flow, stopped.current) == (False, 0, 0, 0)
    assert bearing_fault({"bearing_ball": 0.4, "bearing_outer_race": 0.1}) == ("ball", 0.4)
    assert bearing_fault({})[1] == 0


def test_conveyor_faults() -> None:
    conveyor = Conveyor(1)
    normal = conveyor.at(50)
    slipping = conveyor.at(50, {"slip": 0.18})
    assert slipping.tail_speed < 0.9 * slipping.speed
    assert slipping.load < normal.load
    pulled = conveyor.at(50, {"pull_cord": 1.0})
    assert pulled.pull_cord
    assert not pulled.running
    assert pulled.speed == pulled.tail_speed == pulled.load == 0
    assert 0 < conveyor.at(50, {"pull_cord": 0.75}).speed < normal.speed  # coasting down
    assert conveyor.at(50, {"drift": 80}).drift == pytest.approx(normal.drift + 80)
    assert not math.isclose(conveyor.at(50, {"overload": 300}).load, normal.load)
