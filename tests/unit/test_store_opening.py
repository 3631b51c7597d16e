"""Opening a store by its name, and the arithmetic that all stores share."""

import sys
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.store import REGISTRY, StoreFrame, StoreRefused
from gateway.store.intake import Checker
from gateway.store.memory import MAX_SAMPLES_A_SERIES, MemoryStore
from gateway.store.opening import open_store, store_class
from gateway.store.slots import slot_width
from tests.rig.processes import ROOT


def test_every_registered_store_has_settings() -> None:
    for name in REGISTRY:
        assert "extra" in store_class(name).Settings.model_config


def test_the_documentation_names_every_store_and_setting() -> None:
    text = (ROOT / "docs" / "stores.md").read_text("utf-8")
    for name in REGISTRY:
        assert f"`{name}`" in text
        for setting in store_class(name).Settings.model_fields:
            assert f"`{setting}`" in text, f"{name}.{setting}"


def test_a_wrong_name_is_told_with_what_would_be_right() -> None:
    with pytest.raises(ValueError, match="did you mean 'duckdb'"):
        open_store("duckdbb", {})
    with pytest.raises(ValueError, match="write one of duckdb, influx, memory"):
        open_store("oracle", {})


def test_wrong_settings_are_told() -> None:
    with pytest.raises(ValidationError, match="path"):
        open_store("duckdb", {})
    with pytest.raises(ValidationError, match="colour"):
        open_store("memory", {"colour": "red"})


def test_settings_may_be_a_model_already(tmp_path: Path) -> None:
    chosen = store_class("duckdb")
    with closing(open_store("duckdb", chosen.Settings(path=tmp_path / "history.duckdb"))) as store:
        assert store.health().ok


def test_the_registry_loads_nothing_heavy() -> None:
    import subprocess

    program = (
        "import sys, gateway.store.opening, gateway.store.memory;"
        "print([name for name in ('duckdb', 'pyarrow', 'influxdb_client', 'urllib3', 'numpy') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_the_memory_of_one_series_is_bounded() -> None:
    store = MemoryStore()
    store.write([StoreFrame("node-1", at, {"gas-2/co": float(at)}, {}) for at in range(MAX_SAMPLES_A_SERIES + 10)])
    (series,) = store.series()
    samples = store.raw(series, 0, 10**9, limit=1_000_000)
    assert len(samples) <= MAX_SAMPLES_A_SERIES
    assert samples[-1].value == MAX_SAMPLES_A_SERIES + 9


@given(start=st.integers(0, 2**62), length=st.integers(0, 2**62), count=st.integers(1, 1000))
def test_slots_cover_the_range_and_are_never_too_many(start: int, length: int, count: int) -> None:
    width = slot_width(start, start + length, count)
    assert width >= 1
    assert width * count >= length
    if length:
        assert (length - 1) // width < count


def test_one_instant_of_one_node_becomes_one_frame_and_a_refusal_carries_the_original() -> None:
    wrong = StoreFrame("node-1", 7, {"co": 1.0}, {})
    intake = Checker().accept(
        [
            StoreFrame("node-1", 7, {"gas-2/co": 1.0, "gas-2/o2": 20.0}, {"gas-2/co": "bad:stuck"}),
            wrong,
            StoreFrame("node-2", 7, {"gas-2/co": 5.0}, {}),
            StoreFrame("node-1", 7, {"gas-2/co": 2.0}, {"gas-2/o2": "bad:stale"}),
        ]
    )
    assert intake.frames == [
        StoreFrame("node-1", 7, {"gas-2/co": 2.0}, {"gas-2/o2": "bad:stale"}),
        StoreFrame("node-2", 7, {"gas-2/co": 5.0}, {}),
    ]
    with pytest.raises(StoreRefused, match="asset/signal") as refused:
        intake.raise_refused()
    assert refused.value.frames == [wrong]
