"""How each model of readings is fed, for its card: ``python -m models.train.feeds`` writes it into the cards that are there.

The artifact stays as it is, and with it the commit that trained it. Feature ranges are of training rows only.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from models.bearing_life import STATE, history
from models.cards import ARTIFACTS, card_path, read_card, write_card
from models.engine_life import LEVELS, SENSORS
from models.feed import AlarmSide, FeatureRange, Feed, Reported, Signal
from models.pump import learn
from models.train import bearing_life, engine_life, gas_sensor_co, hydraulic_cooler, pump_anomaly, seismic_hazard
from models.train.datasets import data_folder

Array = np.ndarray[Any, np.dtype[Any]]

QUANTILES = (0.005, 0.995)
_ENGINE_UNITS = {7: "psi", 8: "rpm", 9: "rpm", 11: "psi", 13: "rpm", 14: "rpm"}  # the others have units that no point has: raw


def ranges(names: Sequence[str], rows: Array) -> tuple[FeatureRange, ...]:
    """The quantiles of each column of (n, features), to six digits."""
    low, high = np.quantile(rows, QUANTILES, axis=0)
    return tuple(
        FeatureRange(name=name, low=float(f"{a:.6g}"), high=float(f"{b:.6g}")) for name, a, b in zip(names, low, high, strict=True)
    )


def engine_life_feed(train: engine_life.Fleet) -> Feed:
    names = [f"s{sensor}" for sensor in SENSORS]
    return Feed(
        preparation="life_summary",
        period_s=None,
        rows=1,
        signals=tuple(Signal(name=f"s{sensor}", unit=_ENGINE_UNITS.get(sensor, "1")) for sensor in SENSORS),
        outputs=(Reported(name="life", unit="1", es="Vida restante (ciclos, a lo más 125)", en="Remaining life (cycles, at most 125)"),),
        alarm=AlarmSide(output="life", side="below"),
        features=ranges(names, engine_life.rows(train).summary[:, LEVELS[0]]),
        features_of="mean of the last 10 cycles of each sensor, every second cycle of the training engines",
    )


def gas_sensor_co_feed(train: gas_sensor_co.Series) -> Feed:
    units = {"T": "degC", "RH": "%"}
    ends = {"lower": "extremo inferior|lower end", "estimate": "estimación|estimate", "upper": "extremo superior|upper end"}
    return Feed(
        preparation="window",
        period_s=3600.0,
        rows=gas_sensor_co.HOURS,
        signals=tuple(Signal(name=name, unit=units.get(name, "1")) for name in gas_sensor_co.CHANNELS),
        outputs=tuple(
            Reported(name=name, unit="mg/m3", es=f"CO, media de la hora: {es}", en=f"CO, mean of the hour: {en}")
            for name, (es, en) in ((name, text.split("|")) for name, text in ends.items())
        ),
        alarm=AlarmSide(output="upper", side="above"),
        features=ranges(gas_sensor_co.CHANNELS, train.windows[:, -1]),
        features_of="hourly means of the first half of the record",
    )


def hydraulic_cooler_feed(cycles: hydraulic_cooler.Cycles) -> Feed:
    names = [f"TS{number}" for number in range(1, hydraulic_cooler.SENSORS + 1)]
    words = {"close_to_failure": "casi sin efecto|close to failure", "reduced": "reducido|reduced", "full": "pleno|full"}
    return Feed(
        preparation="window",
        period_s=1.0,
        rows=hydraulic_cooler.SAMPLES,
        signals=tuple(Signal(name=name, unit="degC") for name in names),
        outputs=tuple(
            Reported(name=name, unit="1", es=f"Enfriador: {es} (probabilidad)", en=f"Cooler: {en} (probability)")
            for name, (es, en) in ((name, text.split("|")) for name, text in words.items())
        ),
        alarm=AlarmSide(output="full", side="below"),
        features=ranges(names, cycles.temperatures.transpose(0, 2, 1).reshape(-1, hydraulic_cooler.SENSORS)),
        features_of="each second of all 2205 cycles",
    )


def pump_anomaly_feed(recordings: list[pump_anomaly.Recording], setting: pump_anomaly.Setting) -> Feed:
    columns = pump_anomaly.SUBSETS[setting.subset]
    units = {"Accelerometer1RMS": "g", "Accelerometer2RMS": "g", "Current": "A", "Volume Flow RateRMS": "l/min"}
    rows = []
    for recording in recordings:
        reference = recording.values[: pump_anomaly.REFERENCE, list(columns)]
        normal = learn(reference, setting.smoothing)
        rows.append((reference - normal.centre) @ normal.whitening)
    return Feed(
        preparation="pump_normal",
        period_s=1.0,
        rows=setting.smoothing.rows,
        signals=tuple(Signal(name=name, unit=units[name]) for name in (pump_anomaly.CHANNELS[column] for column in columns)),
        outputs=(Reported(name="score", unit="1", es="Distancia a lo normal (límites)", en="Distance from normal (limits)"),),
        alarm=AlarmSide(output="score", side="above"),
        features=ranges([f"direction_{number}" for number in range(1, len(columns) + 1)], np.concatenate(rows)),
        features_of=f"the first {pump_anomaly.REFERENCE} rows of each recording, each whitened by its own normal",
        parameters={"channels": setting.smoothing.channels, "score": setting.smoothing.score, "reference": pump_anomaly.REFERENCE},
    )


def bearing_life_feed(lives: list[bearing_life.Life]) -> Feed:
    learning = [history(life.rms).state for life in lives if life.bearing in bearing_life.LEARNING]
    words = {"low": "extremo inferior|lower end", "median": "medio|middle", "high": "extremo superior|upper end"}
    return Feed(
        preparation="rise",
        period_s=10.0,
        rows=1,
        signals=(Signal(name="horizontal", unit="g"), Signal(name="vertical", unit="g")),
        outputs=tuple(
            Reported(name=name, unit="s", es=f"Vida restante del banco de ensayo: {es}", en=f"Remaining life on the test rig: {en}")
            for name, (es, en) in ((name, text.split("|")) for name, text in words.items())
        ),
        alarm=None,
        features=ranges(STATE, np.concatenate(learning)),
        features_of="every snapshot of the six learning bearings",
    )


def seismic_hazard_feed(shifts: seismic_hazard.Shifts) -> Feed:
    return Feed(
        preparation="window",
        period_s=None,
        rows=1,
        signals=(Signal(name="energy", unit="J"),),
        outputs=(Reported(name="hazard", unit="1", es="Peligro sísmico del turno que sigue", en="Seismic hazard of the shift to come"),),
        alarm=AlarmSide(output="hazard", side="above"),
        features=ranges(["energy"], shifts.attributes[:, [seismic_hazard.ENERGY]]),
        features_of="all 2584 shifts",
    )


def _pump() -> Feed:
    recordings = pump_anomaly.read(data_folder(pump_anomaly.FOLDER))
    return pump_anomaly_feed(recordings, pump_anomaly.fit(pump_anomaly.table(recordings)))


FEEDS: dict[str, Callable[[], Feed]] = {
    engine_life.NAME: lambda: engine_life_feed(engine_life.read(data_folder(engine_life.FOLDER))[0]),
    gas_sensor_co.NAME: lambda: gas_sensor_co_feed(gas_sensor_co.halves(gas_sensor_co.read(data_folder(gas_sensor_co.FOLDER)))[0]),
    hydraulic_cooler.NAME: lambda: hydraulic_cooler_feed(hydraulic_cooler.read(data_folder(hydraulic_cooler.FOLDER))),
    pump_anomaly.NAME: _pump,
    seismic_hazard.NAME: lambda: seismic_hazard_feed(seismic_hazard.read(data_folder(seismic_hazard.FOLDER))),
    bearing_life.NAME: lambda: bearing_life_feed(bearing_life.read(data_folder(bearing_life.FOLDER))),
}
"""What makes the feed of each model from its data set."""


if __name__ == "__main__":
    for name, make in FEEDS.items():
        path = card_path(ARTIFACTS / f"{name}.onnx")
        write_card(read_card(path).model_copy(update={"feed": make()}), path)
