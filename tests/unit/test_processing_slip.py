"""Belt slip: the figure, and when there is none."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from contract.values import GOOD, Reading, bad, uncertain
from edge.processing import ProcessorContext
from edge.processing.slip import BeltSlipProcessor, BeltSlipSettings

SECOND = 1_000_000_000


def processor() -> BeltSlipProcessor:
    settings = BeltSlipSettings(name="slip", type="belt-slip", input="belt-1/speed", tail_point="belt-1/tail_speed")
    return BeltSlipProcessor(settings, ProcessorContext("node-1", Path()))


def feed(drive: Reading | None, tail: Reading) -> Reading:
    one = processor()
    if drive is not None:
        assert one.process(drive) == []
    (reading,) = one.process(tail)
    assert reading.point == "belt-1/slip"
    assert reading.time_ns == tail.time_ns
    return reading


@pytest.mark.parametrize(
    ("drive", "tail", "slip"), [(3.2, 3.2, 0.0), (3.2, 2.88, 10.0), (4.0, 2.0, 50.0), (2.0, 2.1, -5.0), (-3.2, -2.88, 10.0)]
)
def test_slip_in_percent_of_the_drive(drive: float, tail: float, slip: float) -> None:
    reading = feed(Reading("belt-1/speed", SECOND, drive), Reading("belt-1/tail_speed", SECOND + 5, tail))
    assert reading.value == pytest.approx(slip, abs=1e-3)
    assert reading.quality == GOOD


def test_a_doubtful_speed_makes_a_doubtful_slip() -> None:
    drive = Reading("belt-1/speed", SECOND, 3.0, uncertain("out_of_range"))
    assert feed(drive, Reading("belt-1/tail_speed", SECOND, 3.0)).quality == uncertain("out_of_range")


@pytest.mark.parametrize(
    ("drive", "tail", "reason"),
    [
        (None, Reading("belt-1/tail_speed", SECOND, 3.0), "no_speed"),
        (Reading("belt-1/speed", SECOND, None, bad("no_response")), Reading("belt-1/tail_speed", SECOND, 3.0), "no_speed"),
        (Reading("belt-1/speed", SECOND, 3.0), Reading("belt-1/tail_speed", 9 * SECOND, 3.0), "no_speed"),
        (Reading("belt-1/speed", SECOND, 0.1), Reading("belt-1/tail_speed", SECOND, 0.0), "not_running"),
    ],
)
def test_no_slip_without_two_fresh_speeds_of_a_running_belt(drive: Reading | None, tail: Reading, reason: str) -> None:
    reading = feed(drive, tail)
    assert reading.value is None
    assert reading.quality == bad(reason)


def test_a_wrong_point_is_refused() -> None:
    with pytest.raises(ValidationError, match="write asset/signal"):
        BeltSlipSettings(name="slip", type="belt-slip", input="belt-1/speed", tail_point="Tail")
