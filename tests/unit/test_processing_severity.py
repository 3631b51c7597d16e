"""How loud a bearing is against its own machine: learnt once, told in decibels, kept over a restart, and doubted at another speed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.values import Reading
from edge.items import Waveform
from edge.processing import ProcessorContext, Remembering
from edge.processing.severity import Baseline
from edge.processing.vibration import VibrationProcessor, VibrationSettings

SECOND = 1_000_000_000
POINT = "pump-1/vibration/de"
RATE = 12_800.0


def processor(**more: Any) -> VibrationProcessor:
    given = {"name": "v", "type": "vibration", "input": POINT, "rpm_point": "pump-1/speed", "rpm_max_age": 100, "baseline": 5} | more
    return VibrationProcessor(VibrationSettings.model_validate(given), ProcessorContext("node", Path()))


def measured(
    made: VibrationProcessor, at: int, *, gain: float = 1.0, rpm: float = 1480.0, **more: Any
) -> dict[str, tuple[float | None, str]]:
    """One second of a 3 kHz resonance struck a hundred times a second."""
    time = np.arange(round(RATE)) / RATE
    ring = np.exp(-(time % 0.01) * 500) * np.sin(2 * np.pi * 3000 * time)
    noise = np.random.default_rng(at).normal(0, 0.01, len(time))
    made.process(Reading("pump-1/speed", at * SECOND, rpm))
    readings = made.process(Waveform(POINT, at * SECOND, RATE, (gain * (ring + noise)).astype(np.float32), **more))
    return {one.point.removeprefix(f"{POINT}/"): (one.value, str(one.quality)) for one in readings}


def test_it_is_told_in_decibels_over_the_machines_own_beginning() -> None:
    made = processor()
    assert isinstance(made, Remembering)
    learning = [measured(made, at)["envelope_rise"] for at in range(5)]
    assert learning[:4] == [(None, "bad:gathering")] * 4
    assert learning[4][0] == pytest.approx(0, abs=0.2)
    assert measured(made, 6, gain=2)["envelope_rise"][0] == pytest.approx(6.02, abs=0.2)
    loud, quality = measured(made, 7, gain=100)["envelope_rise"]
    assert loud == pytest.approx(40, abs=0.2)
    assert quality == "good"
    assert measured(made, 8)["envelope_rise"][0] == pytest.approx(0, abs=0.2), "what came after the baseline did not move it"
    assert measured(made, 9, rpm=2000)["envelope_rise"][1] == "uncertain:other_speed"
    again = processor()
    again.restore(made.state())
    assert measured(again, 10, gain=10)["envelope_rise"][0] == pytest.approx(20, abs=0.2)
    anew = processor(baseline_name="new bearing")
    anew.restore(made.state())
    assert measured(anew, 11)["envelope_rise"] == (None, "bad:gathering")


def test_nothing_is_learnt_of_what_is_doubtful_or_at_rest() -> None:
    made = processor()
    for at in range(6):
        assert measured(made, at, dropped=3)["envelope_rise"][0] is None
        assert measured(made, at + 10, rpm=0)["envelope_rise"] == (None, "bad:not_running")
    for at in range(20, 25):
        assert measured(made, at, gain=3)["envelope_rise"][1] in ("bad:gathering", "good")
    assert measured(made, 30, gain=3)["envelope_rise"][0] == pytest.approx(0, abs=0.2)


def test_the_points_are_declared_with_a_baseline_only() -> None:
    without = processor(baseline=None)
    assert not [point for point in without.points() if "envelope" in point]
    without.restore(without.state())
    made = processor()
    assert {f"{POINT}/{name}" for name in measured(made, 0)} == set(made.points())


@pytest.mark.parametrize("text", ["{}", "[]", "[1", '["", 5, [0, -1], []]', '["", 5, ["x"], []]', '["", 5, [1,1,1,1,1,1], []]'])
def test_a_damaged_baseline_is_refused_whole(text: str) -> None:
    baseline = Baseline(5, "")
    with pytest.raises((ValueError, TypeError, KeyError)):
        baseline.restore(text)
    assert baseline.state() == Baseline(5, "").state()
