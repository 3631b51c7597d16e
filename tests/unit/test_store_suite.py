"""One suite for every store: what TimeSeriesStore promises, held against a reference and against real files and servers."""

import os
import shutil
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import count
from math import inf, nan
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.values import Level, Quality
from gateway.store import Bucket, Retention, Sample, Series, StoreFrame, StoreRefused, TimeSeriesStore
from gateway.store.influx import InfluxStore
from gateway.store.opening import open_store
from gateway.store.rollup import Grid, grid
from tests.rig.servers import Influx

SECOND = 1_000_000_000
T0 = 1_763_870_400 * SECOND
CO = Series("node-1", "gas-2/co")
VIBRATION = Series("node-1", "pump-3/vibration/de/rms_velocity")
MINUTE = 60 * SECOND

Opener = Callable[[], TimeSeriesStore]
_numbers = count()


@pytest.fixture(scope="module")
def influx_url() -> Iterator[str]:
    """A server of our own, or the one that the environment names."""
    if url := os.environ.get("MUKI_TEST_INFLUX_URL"):
        yield url
        return
    folder = Path(tempfile.mkdtemp(prefix="muki-influx-"))
    with Influx(folder) as server:
        yield server.url
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["memory", "duckdb", "influx"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def opener(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Opener]:
    """Opens one and the same store each time it is called."""
    if kind == "memory":
        yield lambda: open_store("memory", {})
        return
    if kind == "duckdb":
        yield lambda: open_store("duckdb", {"path": tmp_path / "history.duckdb"})
        return
    url = request.getfixturevalue("influx_url")
    database = f"muki_test_{os.getpid()}_{next(_numbers)}"
    token = {"token_file": os.environ["MUKI_TEST_INFLUX_TOKEN_FILE"]} if "MUKI_TEST_INFLUX_TOKEN_FILE" in os.environ else {}
    yield lambda: open_store("influx", {"url": url, "database": database, **token})
    if "MUKI_TEST_INFLUX_URL" in os.environ:
        drop = urlencode({"q": f'DROP DATABASE "{database}"'}).encode()
        urllib.request.urlopen(f"{url}/query", data=drop, timeout=10).close()  # noqa: S310 - the server that the tester named


@pytest.fixture
def store(opener: Opener) -> Iterator[TimeSeriesStore]:
    with closing(opener()) as opened:
        yield opened


def one(series: Series, time_ns: int, value: float | None, quality: str = "good") -> StoreFrame:
    return StoreFrame(
        series.node,
        time_ns,
        {} if value is None else {series.point: value},
        {} if quality == "good" else {series.point: quality},
    )


def everything(store: TimeSeriesStore, series: Series) -> list[Sample]:
    return store.raw(series, T0 - 10**6 * SECOND, T0 + 10**6 * SECOND)


# --- writing and reading back


def test_it_is_a_store(store: TimeSeriesStore) -> None:
    assert isinstance(store, TimeSeriesStore)
    assert store.health().ok
    assert store.health().name


def test_values_come_back_exactly(store: TimeSeriesStore) -> None:
    values = [0.0, -0.1, 1 / 3, 1e21, -1e-9, 123456789.125, 5e-324, 1.7976931348623157e308, 42]
    store.write([one(CO, T0 + place * 1_000_000, value) for place, value in enumerate(values)])
    assert everything(store, CO) == [Sample(T0 + place * 1_000_000, value, "good") for place, value in enumerate(values)]


def test_an_empty_store_and_an_empty_batch_hold_nothing(store: TimeSeriesStore) -> None:
    store.write([])
    assert store.series() == []
    assert store.latest() == {}
    assert store.latest([CO]) == {}
    assert everything(store, CO) == []
    assert store.buckets(CO, T0, T0 + MINUTE, 10) == []


def test_a_wide_frame_is_told_apart_by_node_and_asset(store: TimeSeriesStore) -> None:
    values = {"gas-2/co": 12.5, "gas-3/co": 13.5, "pump-3/vibration/de/rms_velocity": 4.2, "pump-3/co": 1.0}
    store.write([StoreFrame("node-1", T0, values, {}), StoreFrame("node-2", T0, {"gas-2/co": 99.0}, {})])
    expected = {Series("node-1", point): Sample(T0, value, "good") for point, value in values.items()}
    expected[Series("node-2", "gas-2/co")] = Sample(T0, 99.0, "good")
    assert store.latest() == expected
    assert store.series() == sorted(expected)
    for series, sample in expected.items():
        assert everything(store, series) == [sample]


def test_signals_named_like_the_columns_of_a_store_are_signals(store: TimeSeriesStore) -> None:
    points = [
        "gas-2/time",
        "gas-2/node",
        "gas-2/asset",
        "gas-2/value",
        "gas-2/quality",
        "gas-2/co",
        "gas-2/co__q",
        "gas-2/0",
        "gas-2/select",
    ]
    store.write([StoreFrame("node-1", T0, {point: float(place) for place, point in enumerate(points)}, {"gas-2/co": "uncertain:stale"})])
    assert store.series() == sorted(Series("node-1", point) for point in points)
    for place, point in enumerate(points):
        expected = Sample(T0, float(place), "uncertain:stale" if point == "gas-2/co" else "good")
        assert everything(store, Series("node-1", point)) == [expected]
        assert store.latest()[Series("node-1", point)] == expected


def test_quality_travels_and_a_reading_without_value_is_none(store: TimeSeriesStore) -> None:
    samples = [
        Sample(T0, 1.0, "good"),
        Sample(T0 + SECOND, 2.0, "uncertain:clock_unsure"),
        Sample(T0 + 2 * SECOND, 400.0, "bad:out_of_range"),
        Sample(T0 + 3 * SECOND, None, "bad:wire_break"),
        Sample(T0 + 4 * SECOND, None, "uncertain:stale"),
        Sample(T0 + 5 * SECOND, 5.0, "uncertain"),
        Sample(T0 + 6 * SECOND, 6.0, "good"),
    ]
    store.write([one(CO, *sample) for sample in samples])
    assert everything(store, CO) == samples
    buckets = store.buckets(CO, T0, T0 + 10 * SECOND, 1)
    assert buckets == [Bucket(T0, 1.0, 6.0, 3.5, 4, 6.0, Level.BAD)], "a chart draws good and uncertain values only"


def test_a_series_that_never_had_a_value_is_a_series(store: TimeSeriesStore) -> None:
    store.write([one(CO, T0, None, "bad:wire_break")])
    assert store.series() == [CO]
    assert store.latest() == {CO: Sample(T0, None, "bad:wire_break")}
    assert store.buckets(CO, T0, T0 + MINUTE, 10) == []


def test_an_explicit_good_is_good(store: TimeSeriesStore) -> None:
    store.write([StoreFrame("node-1", T0, {"gas-2/co": 1.0}, {"gas-2/co": "good"})])
    assert everything(store, CO) == [Sample(T0, 1.0, "good")]


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_a_value_that_is_no_number_is_a_bad_reading_and_loses_nothing_else(store: TimeSeriesStore, value: float) -> None:
    store.write([StoreFrame("node-1", T0, {"gas-2/co": value, "gas-2/o2": 20.9}, {})])
    assert everything(store, CO) == [Sample(T0, None, "bad:not_finite")]
    assert everything(store, Series("node-1", "gas-2/o2")) == [Sample(T0, 20.9, "good")]


# --- overwriting, late and out of order


def test_writing_a_batch_twice_leaves_one_copy(store: TimeSeriesStore) -> None:
    batch = [StoreFrame("node-1", T0 + place * SECOND, {"gas-2/co": float(place)}, {"gas-2/no2": "bad:wire_break"}) for place in range(50)]
    store.write(batch)
    store.write(batch)
    assert everything(store, CO) == [Sample(T0 + place * SECOND, float(place), "good") for place in range(50)]
    assert len(everything(store, Series("node-1", "gas-2/no2"))) == 50
    assert sum(bucket.samples for bucket in store.buckets(CO, T0, T0 + MINUTE, 7)) == 50


READINGS = [(1.0, "good"), (2.0, "uncertain:stale"), (3.0, "bad:stuck"), (None, "bad:wire_break"), (None, "uncertain:stale"), (7.5, "good")]


@pytest.mark.parametrize("first", READINGS, ids=str)
@pytest.mark.parametrize("second", READINGS, ids=str)
def test_an_equal_series_and_time_overwrites_value_and_quality(
    store: TimeSeriesStore, first: tuple[float | None, str], second: tuple[float | None, str]
) -> None:
    neighbour = Series("node-1", "gas-2/o2")
    store.write([one(CO, T0, *first), one(neighbour, T0, 20.9), one(CO, T0 + SECOND, 9.0)])
    store.write([one(CO, T0, *second)])
    assert everything(store, CO) == [Sample(T0, *second), Sample(T0 + SECOND, 9.0, "good")]
    assert everything(store, neighbour) == [Sample(T0, 20.9, "good")]
    value, quality = second
    drawn = value is not None and not quality.startswith("bad")
    expected = [Bucket(T0, value, value, value, 1, value, Quality.parse(quality).level)] if drawn and value is not None else []
    assert store.buckets(CO, T0, T0 + SECOND, 1) == expected


@pytest.mark.parametrize("first", READINGS, ids=str)
@pytest.mark.parametrize("second", READINGS, ids=str)
def test_the_newest_sample_can_be_overwritten_too_and_across_a_restart(
    kind: str, opener: Opener, first: tuple[float | None, str], second: tuple[float | None, str]
) -> None:
    if kind == "memory":
        with closing(opener()) as store:
            store.write([one(CO, T0, *first)])
            store.write([one(CO, T0, *second)])
            assert store.latest() == {CO: Sample(T0, *second)}
        return
    with closing(opener()) as store:
        store.write([one(CO, T0, *first)])
    with closing(opener()) as store:
        store.write([one(CO, T0, *second)])
        assert store.latest() == {CO: Sample(T0, *second)}
        assert everything(store, CO) == [Sample(T0, *second)]


def test_a_chain_of_rewrites_ends_with_the_last(store: TimeSeriesStore) -> None:
    for reading in [*READINGS, *reversed(READINGS), *READINGS]:
        store.write([one(CO, T0, *reading)])
        assert everything(store, CO) == [Sample(T0, *reading)]


def test_within_a_batch_the_last_one_wins(store: TimeSeriesStore) -> None:
    store.write([one(CO, T0, 1.0, "bad:stuck"), one(VIBRATION, T0, 3.0), one(CO, T0, 2.0)])
    store.write([one(CO, T0 + SECOND, 5.0), one(CO, T0 + SECOND, None, "bad:stale")])
    assert everything(store, CO) == [Sample(T0, 2.0, "good"), Sample(T0 + SECOND, None, "bad:stale")]
    assert everything(store, VIBRATION) == [Sample(T0, 3.0, "good")]


def test_late_and_disordered_frames_are_read_in_order_and_do_not_change_the_latest(store: TimeSeriesStore) -> None:
    order = [5, 1, 9, 3, 0, 8, 2, 7, 4, 6]
    store.write([one(CO, T0 + place * SECOND, float(place)) for place in order[:5]])
    for place in order[5:]:
        store.write([one(CO, T0 + place * SECOND, float(place))])
    assert everything(store, CO) == [Sample(T0 + place * SECOND, float(place), "good") for place in range(10)]
    assert store.latest([CO]) == {CO: Sample(T0 + 9 * SECOND, 9.0, "good")}


def test_the_latest_is_per_series(store: TimeSeriesStore) -> None:
    store.write([one(CO, T0 + 5 * SECOND, 1.0), one(VIBRATION, T0, 2.0, "uncertain:stale")])
    store.write([one(CO, T0 + 2 * SECOND, 3.0), one(VIBRATION, T0 + SECOND, None, "bad:stuck")])
    expected = {CO: Sample(T0 + 5 * SECOND, 1.0, "good"), VIBRATION: Sample(T0 + SECOND, None, "bad:stuck")}
    assert store.latest() == expected
    assert store.latest([VIBRATION, Series("node-9", "gas-2/co")]) == {VIBRATION: expected[VIBRATION]}
    assert store.latest([]) == {}


# --- ranges and slots


def test_a_range_holds_its_start_and_not_its_end(store: TimeSeriesStore) -> None:
    store.write([one(CO, T0 + place * SECOND, float(place)) for place in range(10)])
    assert [sample.value for sample in store.raw(CO, T0 + 2 * SECOND, T0 + 5 * SECOND)] == [2.0, 3.0, 4.0]
    assert [sample.value for sample in store.raw(CO, T0 + 2 * SECOND, T0 + 9 * SECOND, limit=2)] == [2.0, 3.0]
    assert store.raw(CO, T0, T0) == []
    assert store.buckets(CO, T0, T0, 5) == []
    assert store.buckets(CO, T0 + 100 * SECOND, T0 + 200 * SECOND, 5) == []
    assert [bucket.start_ns for bucket in store.buckets(CO, T0, T0 + 10 * SECOND, 5)] == [T0 + place * 2 * SECOND for place in range(5)]
    assert store.raw(CO, 0, 2**63 - 1, limit=1) == [Sample(T0, 0.0, "good")]


@pytest.mark.parametrize(
    ("arguments", "right"),
    [((T0, T0 - 1, 10), "start_ns <= end_ns"), ((T0, T0 + 1, 0), "1 to 1000"), ((T0, T0 + 1, 1001), "1 to 1000")],
)
def test_a_bad_chart_is_refused_and_says_what_would_be_right(store: TimeSeriesStore, arguments: tuple[int, int, int], right: str) -> None:
    with pytest.raises(ValueError, match=right):
        store.buckets(CO, *arguments)


@pytest.mark.parametrize(("arguments", "right"), [((T0, T0 - 1), "start_ns <= end_ns"), ((T0, T0 + 1, 0), "1 to 1000000")])
def test_a_bad_range_is_refused_and_says_what_would_be_right(store: TimeSeriesStore, arguments: tuple[int, ...], right: str) -> None:
    with pytest.raises(ValueError, match=right):
        store.raw(CO, *arguments)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    samples=st.dictionaries(st.integers(0, 10_000), st.floats(-1e9, 1e9), min_size=1, max_size=60),
    start=st.integers(-100, 9_000),
    length=st.integers(1, 12_000),
    slots=st.integers(1, 1000),
)
def test_slots_agree_with_numpy(store: TimeSeriesStore, samples: dict[int, float], start: int, length: int, slots: int) -> None:
    series = Series("node-1", f"gas-2/example-{next(_numbers)}")
    store.write([one(series, T0 + at * 1_000_000, value) for at, value in samples.items()])
    start_ns, end_ns = T0 + start * 1_000_000, T0 + (start + length) * 1_000_000 + 7
    times = np.array(sorted(samples), np.int64) * 1_000_000 + T0
    values = np.array([samples[at] for at in sorted(samples)])
    inside = (times >= start_ns) & (times < end_ns)
    times, values = times[inside], values[inside]
    width = -(-(end_ns - start_ns) // slots)
    place = (times - start_ns) // width

    found = store.buckets(series, start_ns, end_ns, slots)

    assert len(found) <= slots
    assert [bucket.start_ns for bucket in found] == [int(start_ns + width * slot) for slot in np.unique(place)]
    for bucket, slot in zip(found, np.unique(place), strict=True):
        chosen = values[place == slot]
        assert (bucket.minimum, bucket.maximum, bucket.samples) == (chosen.min(), chosen.max(), len(chosen))
        assert bucket.mean == pytest.approx(chosen.mean(), rel=1e-9, abs=1e-6)


# --- refusing


@pytest.mark.parametrize(
    ("frame", "right"),
    [
        (StoreFrame("Node 1", T0, {"gas-2/co": 1.0}, {}), "a-z, 0-9"),
        (StoreFrame("node-1", T0, {"gas 2": 1.0}, {}), "asset/signal"),
        (StoreFrame("node-1", T0, {"gas-2/co\n": 1.0}, {}), "asset/signal"),
        (StoreFrame("node-1", T0, {"gas-2/co": 1.0}, {"gas-2/co": 'bad:"'}), "uncertain:reason"),
        (StoreFrame("node-1", -1, {"gas-2/co": 1.0}, {}), "Unix nanoseconds"),
        (StoreFrame("node-1", 2**63, {"gas-2/co": 1.0}, {}), "Unix nanoseconds"),
    ],
)
def test_what_can_never_be_stored_is_refused_and_the_rest_is_kept(store: TimeSeriesStore, frame: StoreFrame, right: str) -> None:
    with pytest.raises(StoreRefused, match=right) as refused:
        store.write([one(CO, T0, 1.0), frame, one(CO, T0 + SECOND, 2.0)])
    assert list(refused.value.frames) == [frame]
    assert [sample.value for sample in everything(store, CO)] == [1.0, 2.0]


# --- size, threads, life


def test_twenty_thousand_frames_are_one_batch(store: TimeSeriesStore) -> None:
    points = [f"pump-{place % 5}/signal-{place}" for place in range(10)]
    store.write([StoreFrame("node-1", T0 + at * SECOND, dict.fromkeys(points, at + 0.5), {}) for at in range(20_000)])
    assert len(store.series()) == 10
    assert store.latest([Series("node-1", points[3])])[Series("node-1", points[3])] == Sample(T0 + 19_999 * SECOND, 19_999.5, "good")
    assert len(store.raw(Series("node-1", points[9]), T0, T0 + 20_000 * SECOND, limit=30_000)) == 20_000
    assert sum(bucket.samples for bucket in store.buckets(Series("node-1", points[0]), T0, T0 + 20_000 * SECOND, 1000)) == 20_000


def test_readers_and_writers_do_not_disturb_each_other(store: TimeSeriesStore) -> None:
    done = threading.Event()
    failures: list[BaseException] = []

    def read() -> None:
        try:
            while not done.is_set():
                samples = everything(store, CO)
                assert [sample.time_ns for sample in samples] == sorted(sample.time_ns for sample in samples)
                assert all(sample.value == (sample.time_ns - T0) // SECOND for sample in samples)
                for series, sample in store.latest().items():
                    assert sample.value == (sample.time_ns - T0) // SECOND, series
                assert sum(bucket.samples for bucket in store.buckets(CO, T0, T0 + 10**4 * SECOND, 10)) >= len(samples)
                time.sleep(0.002)
        except BaseException as error:
            failures.append(error)

    def write(node: str) -> None:
        try:
            for start in range(0, 200, 10):
                # Each batch brings a quality that no store has seen.
                quality = f"uncertain:reason_{start}"
                store.write([one(Series(node, CO.point), T0 + at * SECOND, float(at), quality) for at in range(start, start + 10)])
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    writers = [threading.Thread(target=write, args=(node,)) for node in ("node-1", "node-2")]
    for thread in (*readers, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()
    assert not failures
    assert len(everything(store, CO)) == len(everything(store, Series("node-2", CO.point))) == 200


def test_what_was_written_is_there_after_opening_again(kind: str, opener: Opener) -> None:
    if kind == "memory":
        with closing(opener()) as store:
            store.write([one(CO, T0, 1.0)])
        with closing(opener()) as store:
            assert store.series() == []
        return
    with closing(opener()) as store:
        store.write([one(CO, T0, 1.0), one(CO, T0 + SECOND, None, "bad:wire_break"), one(VIBRATION, T0, 2.0, "uncertain:stale")])
    with closing(opener()) as store:
        assert everything(store, CO) == [Sample(T0, 1.0, "good"), Sample(T0 + SECOND, None, "bad:wire_break")]
        assert store.latest() == {CO: Sample(T0 + SECOND, None, "bad:wire_break"), VIBRATION: Sample(T0, 2.0, "uncertain:stale")}
        store.write([one(CO, T0, 9.0), one(CO, T0 + 2 * SECOND, 3.0)])
        assert [sample.value for sample in everything(store, CO)] == [9.0, None, 3.0]


def test_close_may_be_called_twice(opener: Opener) -> None:
    store = opener()
    store.write([one(CO, T0, 1.0)])
    store.close()
    store.close()


# --- rollups, retention, deleting, reading everything

KEEP_ALL = Retention()
HOUR = 60 * MINUTE
DAY = 24 * HOUR
TWO_HOURS = Retention(raw_ns=2 * HOUR)


def settle(store: TimeSeriesStore, now_ns: int, retention: Retention = KEEP_ALL) -> None:
    for _ in range(500):
        if not store.maintain(now_ns, retention):
            return
    raise AssertionError("the upkeep never ends")


def recomputed(samples: Iterable[Sample], start_ns: int, end_ns: int, slots: Grid) -> list[Bucket]:
    """What a chart must show, the slow way."""
    found: dict[int, list[Sample]] = {}
    for sample in sorted(samples):
        if start_ns <= sample.time_ns < end_ns:
            found.setdefault((sample.time_ns - slots.start_ns) // slots.width_ns, []).append(sample)
    buckets = []
    for slot, members in sorted(found.items()):
        values = [one.value for one in members if one.value is not None and not one.quality.startswith("bad")]
        if values:
            levels = {Quality.parse(one.quality).level for one in members}
            worst = next(level for level in (Level.BAD, Level.UNCERTAIN, Level.GOOD) if level in levels)
            mean = sum(values) / len(values)
            buckets.append(Bucket(slots.start_ns + slot * slots.width_ns, min(values), max(values), mean, len(values), values[-1], worst))
    return buckets


def assert_chart(  # noqa: PLR0917
    store: TimeSeriesStore, series: Series, samples: Iterable[Sample], start_ns: int, end_ns: int, count: int
) -> None:
    found = store.buckets(series, start_ns, end_ns, count)
    expected = recomputed(samples, start_ns, end_ns, grid(start_ns, end_ns, count, store.kept()))
    assert len(found) <= count
    assert [one._replace(mean=0.0) for one in found] == [one._replace(mean=0.0) for one in expected]
    assert [one.mean for one in found] == pytest.approx([one.mean for one in expected], rel=1e-9, abs=1e-9)


_SAMPLE = st.tuples(
    st.integers(0, 5 * 3600),
    st.one_of(st.none(), st.integers(-50, 50).map(float)),
    st.sampled_from(["good", "good", "uncertain:stale", "bad:stuck"]),
)
_STEP = st.one_of(
    st.tuples(st.just("write"), st.lists(_SAMPLE, min_size=1, max_size=12)),
    st.tuples(st.just("again"), st.integers(0, 30)),
    st.tuples(st.just("upkeep"), st.integers(0, 6 * 3600)),
    st.tuples(st.just("delete"), st.tuples(st.integers(0, 5 * 3600), st.integers(1, 2 * 3600))),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(_STEP, min_size=1, max_size=12),
    start=st.integers(-100, 5 * 3600),
    length=st.integers(1, 6 * 3600),
    count=st.integers(1, 400),
)
def test_rollups_agree_with_a_naive_recomputation_after_anything(  # noqa: PLR0917 - hypothesis
    store: TimeSeriesStore, kind: str, steps: list[tuple[str, Any]], start: int, length: int, count: int
) -> None:
    series = Series("node-1", f"gas-2/rolled-{next(_numbers)}")
    other = Series("node-1", f"gas-2/beside-{next(_numbers)}")
    stored: dict[int, Sample] = {}
    batches: list[list[StoreFrame]] = []
    now_ns = T0
    for what, how in steps:
        if what == "write" or (what == "again" and batches):
            if what == "write":
                rows = [(at, value, "bad:wire_break" if value is None and quality == "good" else quality) for at, value, quality in how]
                batches.append([one(series, T0 + at * SECOND, value, quality) for at, value, quality in rows])
            batch = batches[-1] if what == "write" else batches[how % len(batches)]
            store.write([*batch, *(one(other, frame.time_ns, 1.0) for frame in batch)])
            for frame in batch:
                stored[frame.time_ns] = Sample(frame.time_ns, frame.values.get(series.point), frame.quality.get(series.point, "good"))
        elif what == "upkeep":
            now_ns = max(now_ns, T0 + how * SECOND)
            store.maintain(now_ns, KEEP_ALL)
        elif what == "delete":
            low = T0 + how[0] * SECOND
            gone = [at for at in stored if low <= at < low + how[1] * SECOND]
            assert store.delete(series, low, low + how[1] * SECOND) == len(gone)
            for at in gone:
                del stored[at]
        for width in (count, 1, 5):
            assert_chart(store, series, stored.values(), T0 + start * SECOND, T0 + (start + length) * SECOND + 7, width)
    settle(store, T0 + DAY)
    assert_chart(store, series, stored.values(), T0 + start * SECOND, T0 + (start + length) * SECOND + 7, count)
    assert_chart(store, series, stored.values(), T0 - DAY, T0 + DAY, 48)
    latest = store.latest([series]).get(series)
    assert latest == (stored[max(stored)] if stored else None)


@pytest.mark.parametrize("kind", ["influx"], indirect=True)  # the others have no server that must answer in time
@pytest.mark.parametrize("shares", [2, 7, 64])
def test_a_site_too_large_for_one_answer_is_rolled_up_in_shares(store: TimeSeriesStore, kind: str, shares: int) -> None:
    assert isinstance(store, InfluxStore), kind
    store._rollups._shares, store._rollups._rolling_ns = shares, 20 * MINUTE  # as after answers that came too late
    many = [Series(f"node-{node}", f"gas-{asset}/shared-{shares}") for node in range(4) for asset in range(3)]
    samples = [Sample(T0 + at * 50 * SECOND, float(at % 31), "bad:stuck" if at % 40 == 0 else "good") for at in range(3 * 72)]
    for series in many:
        store.write([one(series, *sample) for sample in samples])
    asked = list(store._rollups._each_share(shares))
    assert len(asked) == min(shares, len(many) if shares > 4 else shares)
    settle(store, T0 + DAY)
    assert store.kept().rolled_to_ns > T0 + 3 * HOUR - 2 * MINUTE
    for series in many:
        assert_chart(store, series, samples, T0, T0 + 3 * HOUR, 3)
        assert_chart(store, series, samples, T0, T0 + 3 * HOUR, 90)
    (found,) = store._rollups._server.query(f'SELECT "count_shared-{shares}" FROM hour GROUP BY node, asset')  # noqa: S608 - ours
    assert len([row for one in found for row in one["values"] if row[1]]) >= 3 * len(many), "hours are there, and of every series"


def test_what_retention_drops_is_still_in_the_chart(store: TimeSeriesStore, kind: str) -> None:
    samples = [Sample(T0 + at * 20 * SECOND, float(at % 97), "uncertain:stale" if at % 50 == 0 else "good") for at in range(6 * 180)]
    store.write([one(CO, *sample) for sample in samples])
    now_ns = T0 + 6 * HOUR
    settle(store, now_ns, TWO_HOURS)
    raw_from = store.kept().raw_from_ns
    assert raw_from == now_ns - 2 * HOUR
    assert everything(store, CO) == [sample for sample in samples if sample.time_ns >= raw_from]
    assert store.latest([CO])[CO] == samples[-1]
    if kind == "memory":
        return
    assert_chart(store, CO, samples, T0, now_ns, 12)
    assert_chart(store, CO, samples, T0 + 7 * MINUTE, now_ns - 7 * MINUTE, 300)
    # Slots of seconds over what is left as minutes: each minute is one slot.
    assert sum(bucket.samples for bucket in store.buckets(CO, T0, T0 + 10 * MINUTE, 1000)) == 30
    settle(store, now_ns, Retention(raw_ns=2 * HOUR, minute_ns=3 * HOUR))
    assert store.kept().minute_from_ns == now_ns - 3 * HOUR
    assert_chart(store, CO, samples, T0, now_ns, 6)
    settle(store, now_ns, Retention(raw_ns=2 * HOUR, minute_ns=3 * HOUR, hour_ns=4 * HOUR))
    assert sum(bucket.samples for bucket in store.buckets(CO, T0, now_ns, 6)) == 4 * 180


def test_what_is_older_than_the_retention_is_refused_and_changes_no_chart(store: TimeSeriesStore, kind: str) -> None:
    store.write([one(CO, T0 + at * MINUTE, float(at)) for at in range(5 * 60)])
    settle(store, T0 + 5 * HOUR, TWO_HOURS)
    before = store.buckets(CO, T0, T0 + 5 * HOUR, 5)
    fresh = one(CO, T0 + 5 * HOUR, 1.0)
    with pytest.raises(StoreRefused, match="older than the retention") as refused:
        store.write([one(CO, T0 + HOUR, 99.0), fresh])
    assert refused.value.frames == [one(CO, T0 + HOUR, 99.0)]
    settle(store, T0 + 5 * HOUR, TWO_HOURS)
    assert store.buckets(CO, T0, T0 + 5 * HOUR, 5) == before
    assert store.latest([CO])[CO].time_ns == T0 + 5 * HOUR


def test_what_is_not_rolled_up_is_not_dropped(store: TimeSeriesStore, kind: str) -> None:
    if kind == "memory":
        return
    store.write([one(CO, T0 + at * MINUTE, float(at)) for at in range(5 * 60)])
    settle(store, T0 + 5 * HOUR)
    late = [one(CO, T0 + at * MINUTE + SECOND, 1000.0) for at in range(60)]
    store.write(late)
    store.maintain(T0 + 5 * HOUR, TWO_HOURS)
    settle(store, T0 + 5 * HOUR, TWO_HOURS)
    assert store.buckets(CO, T0, T0 + HOUR, 1)[0].samples == 120


def test_a_deleted_range_is_gone_from_readings_and_charts(store: TimeSeriesStore, kind: str) -> None:
    neighbour = Series("node-1", "gas-2/o2")
    samples = [Sample(T0 + at * MINUTE, float(at), "good") for at in range(4 * 60)]
    store.write([StoreFrame("node-1", sample.time_ns, {"gas-2/co": sample.value or 0.0, "gas-2/o2": 20.9}, {}) for sample in samples])
    settle(store, T0 + 5 * HOUR)
    low, high = T0 + 90 * MINUTE + 1, T0 + 200 * MINUTE
    assert store.delete(CO, low, high) == 109
    assert store.delete(CO, low, high) == 0
    left = [sample for sample in samples if not low <= sample.time_ns < high]
    assert everything(store, CO) == left
    assert len(everything(store, neighbour)) == len(samples)
    assert_chart(store, CO, left, T0, T0 + 4 * HOUR, 4)
    settle(store, T0 + 5 * HOUR)
    assert_chart(store, CO, left, T0, T0 + 4 * HOUR, 4)
    store.write([one(CO, T0 + 100 * MINUTE, 7.0)])
    assert Sample(T0 + 100 * MINUTE, 7.0, "good") in everything(store, CO)
    assert store.delete(CO, 0, T0 + DAY) == len(left) + 1
    assert store.latest([CO]) == {}
    assert store.series() == [neighbour]
    assert store.buckets(CO, T0, T0 + 4 * HOUR, 4) == []


def test_a_scan_gives_every_reading_once_in_order(store: TimeSeriesStore) -> None:
    rows = [
        (series, Sample(T0 + at * 7 * SECOND, None if at % 9 == 0 else float(at), "bad:wire_break" if at % 9 == 0 else "good"))
        for at in range(2000)
        for series in (CO, VIBRATION)
    ]
    rows.append((CO, Sample(T0 + 400 * DAY, 5.0, "uncertain:stale")))
    store.write([one(series, *sample) for series, sample in rows])
    found = [row for table in store.scan(0, 2**63 - 2) for row in table.to_pylist()]
    assert [(Series(row["node"], row["point"]), Sample(row["time"], row["value"], row["quality"])) for row in found] == sorted(
        rows, key=lambda row: (row[1].time_ns, row[0])
    )
    only = [
        row["time"] for table in store.scan(T0 + 70 * SECOND, T0 + 140 * SECOND, [CO, Series("node-7", "x/y")]) for row in table.to_pylist()
    ]
    assert only == [T0 + at * 7 * SECOND for at in range(10, 20)]
    assert list(store.scan(0, 2**62, [])) == []
