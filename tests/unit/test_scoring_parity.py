"""The recordings, replayed reading by reading through the processor of a configured node, give what the evaluation computes of the same rows."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from contract.values import GOOD, Reading, bad
from edge.config import load
from models import pump
from models.cards import ARTIFACTS, card_path, read_card
from models.evaluate.engine_life import OFFICIAL, rmse
from models.runtime import load as load_model
from models.train import bearing_life, engine_life, gas_sensor_co, hydraulic_cooler, pump_anomaly, seismic_hazard
from models.train.datasets import DataMissing, data_folder

SECOND = 1_000_000_000
START = 1_728_000_000 * SECOND  # a whole hour
_NODE = """
site: mine
node: replay
broker: {{host: localhost}}
sources:
  - name: lines
    type: serial-line
    tcp: localhost:9
    lines: [{{separator: ",", points: {{{points}}}}}]
processing:
  - {{name: m, type: scoring, model: {model}, inputs: {{{inputs}}}, output: m/score, together: 1}}
"""


def data(folder: str) -> Path:
    try:
        return data_folder(folder)
    except DataMissing as error:
        pytest.skip(f"THE REPLAY IS NOT TESTED: {error}")


def replayed(
    folder: Path, model: str, rows: np.ndarray, period: float, units: dict[str, str] | None = None
) -> list[dict[str, tuple[float | None, str]]]:
    """Of each row (n, signals) the outputs by name with their quality; NaN is a sensor that says nothing. ``units`` are those of the points."""
    feed = read_card(card_path(ARTIFACTS / f"{model}.onnx")).feed
    assert feed is not None
    points = [f"m/s{number}" for number in range(len(feed.signals))]
    told = [(units or {}).get(signal.unit, signal.unit) for signal in feed.signals]
    declared = ", ".join(
        f"{point}: {{column: {number}, unit: '{unit}'}}" for number, (point, unit) in enumerate(zip(points, told, strict=True), 1)
    )
    wired = ", ".join(f"'{signal.name}': {point}" for point, signal in zip(points, feed.signals, strict=True))
    file = folder / "node.yaml"
    file.write_text(_NODE.format(points=declared, inputs=wired, model=model), "utf-8")
    (entry,) = load(file, {}).processing
    entry.processor.start()
    found: dict[int, dict[str, tuple[float | None, str]]] = {}
    last = np.full((1, rows.shape[1]), np.nan)  # closes the row before it
    for number, row in enumerate(np.concatenate([rows, last] if feed.period_s else [rows])):
        time_ns = START + round(number * period * SECOND)
        for point, value in zip(points, row.tolist(), strict=True):
            reading = Reading(point, time_ns, None if np.isnan(value) else value, bad("missing") if np.isnan(value) else GOOD)
            for out in entry.processor.process(reading):
                found.setdefault((out.time_ns - START) // round(period * SECOND), {})[out.point[8:]] = out.value, str(out.quality)
    assert sorted(found) == list(range(len(rows)))
    return [found[number] for number in range(len(rows))]


def column(told: Iterable[dict[str, tuple[float | None, str]]], name: str) -> np.ndarray:
    return np.array([np.nan if one[name][0] is None else one[name][0] for one in told])


def test_the_cooler(tmp_path: Path) -> None:
    cycles = hydraulic_cooler.read(data(hydraulic_cooler.FOLDER))
    chosen = np.arange(0, 2205, 60)
    rows = np.concatenate([cycles.temperatures[cycle].T for cycle in chosen])
    told = replayed(tmp_path, "hydraulic_cooler", rows * 1.8 + 32, 1.0, {"degC": "degF"})[59::60]
    expected = hydraulic_cooler.fit(cycles).probabilities(cycles.temperatures[chosen])
    found = np.column_stack([column(told, name) for name in hydraulic_cooler.LABELS])
    np.testing.assert_allclose(found, expected, atol=2e-3)  # degrees Fahrenheit in single precision
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()


def test_carbon_monoxide(tmp_path: Path) -> None:
    import csv

    folder = data(gas_sensor_co.FOLDER)
    with (folder / gas_sensor_co.FILE).open(encoding="utf-8", newline="") as stream:
        table = list(csv.reader(stream))
    rows = np.array([[line[table[0].index(name)] for name in gas_sensor_co.CHANNELS] for line in table[1:]], float)
    rows[rows == gas_sensor_co.MISSING] = np.nan
    series = gas_sensor_co.read(folder)
    _, test = gas_sensor_co.halves(series)
    told = replayed(tmp_path, "gas_sensor_co", rows, 3600.0)
    expected = load_model("gas_sensor_co").run(gas_sensor_co.inputs(test.windows))["co"]
    found = np.column_stack([column(told, name) for name in gas_sensor_co.LABELS])[test.hour]
    scored = np.isfinite(found[:, 0])
    np.testing.assert_allclose(found[scored], expected[scored], atol=1e-3)  # float32 sums of many terms, in another order for many rows
    reasons = {told[hour]["estimate"][1] for hour in test.hour[~scored]}
    assert scored.mean() > 0.95
    assert reasons <= {"bad:gap"}
    card = read_card(card_path(ARTIFACTS / "gas_sensor_co.onnx"))
    mae = next(metric for metric in card.metrics if metric.name == "MAE in mg/m3")
    assert mae.interval_95[0] <= np.abs(found[scored, 1] - test.co[scored]).mean() <= mae.interval_95[1]


def test_pumps(tmp_path: Path) -> None:
    recordings = pump_anomaly.read(data(pump_anomaly.FOLDER))
    card = read_card(card_path(ARTIFACTS / "pump_anomaly.onnx"))
    assert card.feed is not None
    parameters = card.feed.parameters
    for recording in recordings[::12]:
        columns = [pump_anomaly.CHANNELS.index(signal.name) for signal in card.feed.signals]
        told = replayed(tmp_path, "pump_anomaly", recording.values[:, columns], 1.0)
        smoothing = pump.Smoothing(parameters["channels"], parameters["score"])
        subset = next(name for name, found in pump_anomaly.SUBSETS.items() if list(found) == columns)
        expected = pump_anomaly.scored(recording, subset, smoothing)
        found = column(told, "score")
        assert np.isnan(found[: pump_anomaly.REFERENCE]).all()
        np.testing.assert_allclose(found[pump_anomaly.REFERENCE :], expected, rtol=1e-3, atol=1e-4)
        alarms = found[pump_anomaly.REFERENCE :] > card.threshold.value
        assert (alarms == (expected > card.threshold.value)).mean() > 0.999


def test_engines(tmp_path: Path) -> None:
    _, test = engine_life.read(data(engine_life.FOLDER))
    told = [replayed(tmp_path, "engine_life", history, 86_400.0)[-1]["life"] for history in test.histories]
    card = read_card(card_path(ARTIFACTS / "engine_life.onnx"))
    error = np.array([value for value, _ in told], float) - np.minimum(test.left, engine_life.CAP)
    metric = next(metric for metric in card.metrics if metric.split == OFFICIAL and metric.name == "RMSE, cycles")
    assert rmse(error) == pytest.approx(metric.value, abs=0.002)


def test_bearings(tmp_path: Path) -> None:
    from models.bearing_life import history

    lives = bearing_life.read(data(bearing_life.FOLDER))
    for life in lives[::5]:
        told = replayed(tmp_path, "bearing_life", life.rms, 10.0)
        states = history(life.rms).state
        expected = load_model("bearing_life").run({"state": states})["remaining_s"]
        found = np.column_stack([column(told, name) for name in ("low", "median", "high")])
        assert np.isnan(found[:59]).all()
        np.testing.assert_allclose(found[59:], expected[59:], rtol=1e-4)


def test_shifts(tmp_path: Path) -> None:
    shifts = seismic_hazard.read(data(seismic_hazard.FOLDER))
    energy = shifts.attributes[:, seismic_hazard.ENERGY]
    found = column(replayed(tmp_path, "seismic_hazard", energy[:, None], 28_800.0), "hazard")
    np.testing.assert_allclose(found, seismic_hazard.fit(shifts).probability(energy), rtol=1e-4)
