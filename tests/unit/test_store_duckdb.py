"""The DuckDB file: power cuts, other processes, damage, a full disk, and a log that does not grow."""

import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.store import Retention, Sample, Series, StoreFrame, StoreUnavailable
from gateway.store.duckdb import DuckDBStore
from tests.rig.processes import ROOT

SECOND = 1_000_000_000
T0 = 1_763_870_400 * SECOND
CO = Series("node-1", "gas-2/co")

WRITER = """
import sys
from gateway.store import StoreFrame
from gateway.store.duckdb import DuckDBStore
store = DuckDBStore(DuckDBStore.Settings(path=sys.argv[1]))
points = [f"pump-{n}/rms" for n in range(20)]
for batch in range(100_000):
    at = [batch * 10 + n for n in range(10)]
    store.write([StoreFrame("node-1", (1_763_870_400 + t) * 10**9, dict.fromkeys(points, float(t)), {}) for t in at])
    if batch % 3 == 0:
        store.write([StoreFrame("node-1", (1_763_870_400 + at[0]) * 10**9, {}, {"pump-0/rms": "bad:stuck"})])
    print(batch, flush=True)
"""

HOLDER = """
import sys
from gateway.store.duckdb import DuckDBStore
store = DuckDBStore(DuckDBStore.Settings(path=sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
store.close()
"""

FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from gateway.store import StoreFrame, Series, StoreUnavailable
from gateway.store.duckdb import DuckDBStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
store = DuckDBStore(DuckDBStore.Settings(path=path))
frames = lambda first: [StoreFrame("node-1", (first + n) * 10**9, {f"pump-{k}/rms": n / (k + 7) for k in range(50)}, {}) for n in range(200)]
store.write(frames(0))
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (max(path.stat().st_size, Path(f"{path}.wal").stat().st_size) + 20_000, hard))
try:
    for first in range(1000, 20_000, 1000):
        store.write(frames(first))
        written = first
except StoreUnavailable as error:
    print("unavailable", error)
else:
    print("wrote everything")
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
store.write(frames(50_000))
print(len(store.raw(Series("node-1", "pump-3/rms"), 0, 10**18)), store.latest()[Series("node-1", "pump-3/rms")].time_ns)
store.close()
"""


def opened(path: Path, **settings_: object) -> DuckDBStore:
    return DuckDBStore(DuckDBStore.Settings.model_validate({"path": path, **settings_}))


def frame(at: int, value: float | None = 1.0, quality: str = "good", series: Series = CO) -> StoreFrame:
    return StoreFrame(series.node, at, {} if value is None else {series.point: value}, {} if quality == "good" else {series.point: quality})


def python(program: str, path: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def test_everything_acknowledged_survives_sigkill(tmp_path: Path) -> None:
    path = tmp_path / "history.duckdb"
    with python(WRITER, path) as writer:
        assert writer.stdout is not None
        acknowledged = -1
        deadline = time.monotonic() + 30
        while acknowledged < 40 and time.monotonic() < deadline:
            acknowledged = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        acknowledged = max([acknowledged, *map(int, writer.stdout.read().split())])
    assert acknowledged >= 40
    with closing(opened(path)) as store:
        for number in (0, 7, 19):
            samples = store.raw(Series("node-1", f"pump-{number}/rms"), T0, T0 + 10**6 * SECOND, limit=100_000)
            assert len(samples) >= (acknowledged + 1) * 10
            for at, sample in enumerate(samples[: (acknowledged + 1) * 10]):
                stuck = number == 0 and at % 30 == 0
                assert sample == Sample(T0 + at * SECOND, None if stuck else float(at), "bad:stuck" if stuck else "good")
            assert store.latest()[Series("node-1", f"pump-{number}/rms")] == samples[-1]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(
        st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4000), st.one_of(st.none(), st.integers(-9, 9))), min_size=1, max_size=8),
        min_size=1,
        max_size=8,
    )
)
def test_the_newest_sample_is_exact_after_any_crash(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[int, int, int | None]]]
) -> None:
    folder = tmp_path_factory.mktemp("crash")
    expected: dict[Series, dict[int, Sample]] = {}
    with closing(opened(folder / "history.duckdb")) as store:
        for step, batch in enumerate(batches):
            frames = [
                frame(T0 + at * SECOND, value, "good" if value is not None else "bad:stale", Series("node-1", f"gas-{number}/co"))
                for number, at, value in batch
            ]
            store.write(frames)
            for number, at, value in batch:
                sample = Sample(T0 + at * SECOND, value, "good" if value is not None else "bad:stale")
                expected.setdefault(Series("node-1", f"gas-{number}/co"), {})[sample.time_ns] = sample
            image = folder / f"image-{step}"
            image.mkdir()
            for part in folder.glob("history.duckdb*"):
                shutil.copy(part, image / part.name)
    # What the disk held after the last acknowledgement, without a close: half of the steps are enough.
    for image in sorted(folder.glob("image-*"))[-2:]:
        with closing(opened(image / "history.duckdb")) as after:
            found = after.latest()
            if image.name == f"image-{len(batches) - 1}":
                assert found == {series: samples[max(samples)] for series, samples in expected.items()}
            for series, sample in found.items():
                assert after.raw(series, T0, T0 + 10**5 * SECOND)[-1] == sample


def test_another_process_is_named(tmp_path: Path) -> None:
    path = tmp_path / "history.duckdb"
    with python(HOLDER, path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(StoreUnavailable, match=rf"open in another process, .*PID {holder.pid}\).*stop that one"):
            opened(path)
        holder.communicate("")
    opened(path).close()


def test_a_damaged_file_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "history.duckdb"
    path.write_bytes(b"this was a history once" * 1000)
    with pytest.raises(StoreUnavailable, match="damaged or no DuckDB file; it was left as it is"):
        opened(path)
    assert path.read_bytes() == b"this was a history once" * 1000


def test_a_file_with_damage_inside_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "history.duckdb"
    with closing(opened(path)) as store:
        store.write([frame(T0 + at * SECOND, float(at)) for at in range(10_000)])
    content = bytearray(path.read_bytes())
    content[4096:12288] = b"\xff" * 8192
    path.write_bytes(content)
    with pytest.raises(StoreUnavailable, match=str(path)):
        opened(path)
    assert path.read_bytes() == bytes(content)


def test_a_place_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="folder cannot be made"):
        opened(tmp_path / "file" / "history.duckdb")
    with pytest.raises(StoreUnavailable, match=r"is a folder; write the path of a file"):
        opened(tmp_path)


def test_a_foreign_file_and_a_later_format_are_not_touched(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "foreign.duckdb")) as foreign:
        foreign.execute("CREATE TABLE invoices (id INTEGER)")
    with pytest.raises(StoreUnavailable, match=r"something else .tables invoices"):
        opened(tmp_path / "foreign.duckdb")
    opened(tmp_path / "later.duckdb").close()
    with duckdb.connect(str(tmp_path / "later.duckdb")) as later:
        later.execute("UPDATE muki_format SET version = 3")
    with pytest.raises(StoreUnavailable, match="has format 3, this gateway writes format 2"):
        opened(tmp_path / "later.duckdb")


def test_the_log_is_folded_in_and_a_restart_is_fast(tmp_path: Path) -> None:
    path = tmp_path / "history.duckdb"
    points = [f"pump-{number}/rms" for number in range(100)]
    largest = 0
    with closing(opened(path, checkpoint_at="1MB")) as store:
        for batch in range(60):
            store.write(
                [StoreFrame("node-1", T0 + (batch * 10 + at) * SECOND, dict.fromkeys(points, at * batch / 7), {}) for at in range(10)]
            )
            largest = max(largest, (tmp_path / "history.duckdb.wal").stat().st_size if (tmp_path / "history.duckdb.wal").exists() else 0)
        assert 0 < largest < 3_000_000
    assert not (tmp_path / "history.duckdb.wal").exists(), "a clean stop leaves one file"
    begun = time.monotonic()
    opened(path).close()
    assert time.monotonic() - begun < 5


def test_a_full_disk_is_unavailable_and_passes(tmp_path: Path) -> None:
    with python(FULL_DISK, tmp_path / "history.duckdb") as child:
        out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    lines = out.splitlines()
    assert lines[0].startswith("unavailable"), out
    count, newest = map(int, lines[-1].split())
    assert count % 200 == 0
    assert count >= 400
    assert newest == 50_199 * 10**9


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = opened(tmp_path / "history.duckdb")
    store.write([frame(T0)])
    store.close()
    with pytest.raises(StoreUnavailable, match="is closed"):
        store.write([frame(T0)])
    with pytest.raises(StoreUnavailable, match="is closed"):
        store.raw(CO, T0, T0 + SECOND)
    assert not store.health().ok


@pytest.mark.parametrize("wrong", [{"memory_limit": "much"}, {"threads": 0}, {"checkpoint_at": "1"}, {"colour": "red"}])
def test_settings_are_strict(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DuckDBStore.Settings.model_validate({"path": tmp_path / "x", **wrong})


def test_the_view_reads_like_a_table_of_readings(tmp_path: Path) -> None:
    path = tmp_path / "history.duckdb"
    with closing(opened(path)) as store:
        store.write([frame(T0, 12.5), frame(T0 + SECOND, None, "bad:wire_break")])
    with duckdb.connect(str(path), read_only=True) as reader:
        rows = reader.execute("SELECT node, point, epoch_ns(time), value, quality FROM reading ORDER BY time").fetchall()
    assert rows == [("node-1", "gas-2/co", T0, 12.5, "good"), ("node-1", "gas-2/co", T0 + SECOND, None, "bad:wire_break")]


def test_a_file_that_was_cut_off_says_so(tmp_path: Path) -> None:
    path = tmp_path / "history.duckdb"
    with closing(opened(path)) as store:
        for batch in range(5):
            store.write([frame(T0 + (batch * 10_000 + at) * SECOND, float(at)) for at in range(10_000)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(StoreUnavailable, match="damaged or no DuckDB file; it was left as it is"):
        opened(path)


def test_a_file_without_rollups_gets_them(tmp_path: Path) -> None:
    path = tmp_path / "history.duckdb"
    with closing(opened(path)) as store:
        store.write([StoreFrame("node-1", T0 + at * SECOND, {"gas-2/co": float(at)}, {}) for at in range(7200)])
        before = store.buckets(CO, T0, T0 + 7200 * SECOND, 10)
    with duckdb.connect(str(path)) as older:
        older.execute("DROP TABLE minute; DROP TABLE hour; DROP TABLE stale; DROP TABLE kept; UPDATE muki_format SET version = 1")
    with closing(opened(path)) as store:
        assert store.buckets(CO, T0, T0 + 7200 * SECOND, 10) == before
        while store.maintain(T0 + 10_000 * SECOND, Retention()):
            pass
        assert store.kept().rolled_to_ns >= T0 + 7200 * SECOND
        assert store.buckets(CO, T0, T0 + 7200 * SECOND, 10) == before
