"""Sensor trust: each fault is told within its time, a good signal never; gas needs unit and range; calibrations are recorded for good."""

import asyncio
import datetime
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.alarms import AlarmDefinition, Condition, ConditionKind, Priority
from contract.documents import DocumentError
from contract.frames import readings_of
from contract.messages import Data, PointDeclaration, decode
from contract.values import GOOD, Quality, Reading, bad, uncertain
from edge import clock
from edge.calibrations import FILE, Calibration, CalibrationFile, due, record
from edge.cli import main
from edge.clock import SECOND, Instant
from edge.config import NodeConfig, load
from edge.disk import Disk
from edge.lateness import Lateness
from edge.outbox import Outbox
from edge.pipeline import Pipeline
from edge.sources.current_loop import CurrentLoop
from edge.stored import Stored
from edge.trust import Due, Trust
from edge.trust_settings import TrustSettings, resolve
from edge.worker import Worker
from rules.engine import AlarmRules
from tests.rig.standin import until

T0 = 1_764_000_000 * SECOND  # 2025-11-24T16:00Z
DAY = 86_400 * SECOND
POINTS = {"gas/co": PointDeclaration("ppm", range=(0, 500)), "fan/on": PointDeclaration("bool", "digital")}
examples = settings(max_examples=60, deadline=None)


def at(seconds: float) -> Instant:
    return Instant(T0 + round(seconds * SECOND), round(seconds * SECOND))


def trust(point: str = "gas/co", **keys: Any) -> Trust:
    return Trust(POINTS, {point: TrustSettings.model_validate(keys)}, at(0), clock_point="n/clock/synchronised")


def says(judge: Trust, seconds: float, value: float | None, quality: Quality = GOOD, point: str = "gas/co") -> str:
    """The quality of a reading that comes at a second."""
    reading = judge.judge(Reading(point, at(seconds).wall_ns, value, quality), at(seconds))
    assert reading is not None
    assert reading.value == value, "a value is never changed"
    return str(reading.quality)


# --- range ---


@pytest.mark.parametrize(("value", "quality"), [(0.0, "good"), (500.0, "good"), (500.5, "uncertain:out_of_range")])
def test_a_value_outside_the_declared_range_is_kept_but_uncertain(value: float, quality: str) -> None:
    assert says(Trust(POINTS, {}, at(0)), 1, value) == quality


def test_the_word_of_the_source_comes_first() -> None:
    judge = trust(stuck_after=1)
    assert says(judge, 1, 900.0, uncertain("under_range")) == "uncertain:under_range"
    assert says(judge, 2, None, bad("wire_break")) == "bad:wire_break"
    assert says(judge, 3, 900.0) == "uncertain:out_of_range"


# --- stuck ---


@examples
@given(st.lists(st.floats(-0.5, 0.5), min_size=20, max_size=60), st.floats(0.1, 5), st.integers(3, 8))
def test_a_signal_that_moves_within_its_time_is_never_stuck(noise: list[float], width: float, every: int) -> None:
    """Each ``every`` seconds it steps by three times the noise; with one reading a second that is well within twice that time."""
    judge = trust(stuck_after=2 * every, noise=width)
    for second, wobble in enumerate(noise):
        value = 100 + width * wobble + 3 * width * (second // every % 2)
        assert says(judge, second, value) == "good"


@examples
@given(st.lists(st.floats(0, 400), max_size=20), st.floats(0, 400), st.floats(2.5, 30), st.floats(0, 5))
def test_a_signal_that_stands_still_is_stuck_within_its_time(before: list[float], last: float, stuck_after: float, noise: float) -> None:
    judge = trust(stuck_after=stuck_after, noise=noise)
    for second, value in enumerate(before):
        says(judge, second, value)
    found = [says(judge, len(before) + second, last) for second in range(40)]
    first = found.index("uncertain:stuck")
    assert first <= stuck_after + 1  # one reading a second
    assert set(found[first:]) == {"uncertain:stuck"}
    assert says(judge, len(before) + 40, last + noise * 1.01 + 0.1) == "good"


def test_silence_proves_nothing_and_a_switch_may_rest() -> None:
    judge = trust(stuck_after=10)
    assert [says(judge, second, 5.0) for second in (0, 9.9, 10)] == ["good", "good", "uncertain:stuck"]
    assert [says(judge, second, 5.0) for second in (30, 35, 40)] == ["good", "good", "uncertain:stuck"]
    switch = trust("fan/on", stuck_after=10, max_rate=0.001)
    assert {says(switch, second, float(second > 25), point="fan/on") for second in range(50)} == {"good"}


# --- rate ---


@examples
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=50), st.floats(0.01, 20), st.floats(0.05, 10))
def test_a_signal_within_its_rate_is_never_doubted(moves: list[float], max_rate: float, period: float) -> None:
    judge, value = trust(max_rate=max_rate), 250.0
    for number, move in enumerate(moves):
        step = round(period * SECOND) / SECOND
        value = min(500.0, max(0.0, value + move * max_rate * step * 0.999))
        assert says(judge, number * step, value) == "good"


@examples
@given(st.integers(1, 6), st.floats(5, 400))
def test_a_jump_is_doubted_until_so_many_readings_agree(confirm: int, jump: float) -> None:
    judge = trust(max_rate=0.1, confirm=confirm)
    assert says(judge, 0, 20.0) == "good"
    found = [says(judge, 1 + second, 20.0 + jump) for second in range(confirm + 3)]
    assert found == ["uncertain:impossible_rate"] * confirm + ["good"] * 3


def test_a_single_spike_and_readings_that_do_not_agree() -> None:
    judge = trust(max_rate=1, confirm=2)
    assert [says(judge, s, v) for s, v in enumerate((10.0, 90.0, 10.5))] == ["good", "uncertain:impossible_rate", "good"]
    wild = [says(judge, 3 + s, v) for s, v in enumerate((90.0, 200.0, 91.0, 300.0, 92.0))]
    assert set(wild) == {"uncertain:impossible_rate"}


def test_a_clock_set_back_is_no_jump() -> None:
    judge = trust(max_rate=1)
    assert says(judge, 100, 10.0) == "good"
    assert says(judge, 1, 10.5) == "good"


# --- stale ---


@examples
@given(st.lists(st.floats(0.1, 5), max_size=20), st.floats(5.1, 60))
def test_silence_is_told_once_without_the_old_value(gaps: list[float], stale_after: float) -> None:
    judge, now, told = trust(stale_after=stale_after), 0.0, []
    for gap in gaps:
        now += gap
        assert judge.tick(at(now)) == []
        says(judge, now, 7.0)
    for quarter in range(int(4 * stale_after) + 8):
        told += [(quarter / 4, reading) for reading in judge.tick(at(now + quarter / 4))]
    ((after, reading),) = told
    assert stale_after - 0.01 <= after <= stale_after + 0.25
    assert (reading.point, reading.value, reading.quality) == ("gas/co", None, bad("stale"))


def test_the_same_reading_again_is_not_fresh() -> None:
    judge = trust(stale_after=10)
    old = Reading("gas/co", T0, 7.0)
    assert judge.judge(old, at(1)) == old
    assert judge.judge(old, at(9)) is None  # the store has it
    assert [reading.quality for reading in judge.tick(at(11))] == [bad("stale")]
    assert judge.judge(old, at(12)) is None
    assert judge.tick(at(30)) == []
    assert says(judge, 31, 7.0) == "good"
    assert len(judge.tick(at(41))) == 1


def test_a_doubted_reading_is_not_told_as_good_the_second_time() -> None:
    judge = trust(max_rate=1)
    assert says(judge, 0, 10.0) == "good"
    assert says(judge, 1, 90.0) == "uncertain:impossible_rate"
    assert judge.judge(Reading("gas/co", at(1).wall_ns, 90.0), at(2)) is None, "the store would overwrite the doubt"
    told = judge.judge(Reading("gas/co", at(1).wall_ns, 90.0, uncertain("sensor_fault")), at(3))
    assert told is not None, "another word of the source on the same measurement is news"


def test_after_a_lost_connection_the_old_value_comes_back_doubted_and_does_not_end_a_silence() -> None:
    """An OPC UA server tells the last value again, with its own old stamp, to whoever connects."""
    judge = trust()
    assert says(judge, 0, 10.0) == "good"
    assert says(judge, 1, None, bad("no_connection")) == "bad:no_connection"
    again = judge.judge(Reading("gas/co", T0, 10.0), at(2))
    assert again == Reading("gas/co", T0, 10.0, uncertain("repeated"))
    assert judge.judge(Reading("gas/co", T0, 10.0), at(3)) is None
    (rule,) = AlarmRules([AlarmDefinition("quiet", "gas/co", Condition(ConditionKind.SILENCE, 5), Priority.HIGH)], "n", {}).rules
    assert rule.tick(at(0)) is None
    assert rule.update(again, at(4)) is None
    event = rule.tick(at(5.1))
    assert event is not None
    assert event.transition == "active"
    assert says(judge, 6, 10.0) == "good", "a new stamp is a new measurement, even of the same value"


@examples
@given(
    st.lists(st.tuples(st.sampled_from(["new", "again", "bad", "tick"]), st.sampled_from([1.0, 2.0, 600.0])), max_size=40), st.booleans()
)
def test_nothing_is_good_after_bad_without_a_new_measurement(steps: list[tuple[str, float]], watched: bool) -> None:
    judge = trust(stale_after=3) if watched else trust()
    last: Reading | None = None
    lost = stale = False
    for second, (what, value) in enumerate(steps):
        now = at(second)
        if what == "tick":
            told: Reading | None = next(iter(judge.tick(now)), None)
            assert told is None or (told.value is None and told.quality == bad("stale"))
            stale, lost = stale or told is not None, lost or told is not None
            continue
        if what == "bad" or (what == "again" and last is None):
            told, lost = judge.judge(Reading("gas/co", now.wall_ns, None, bad("no_response")), now), True
            assert told is not None
            assert told.quality == bad("no_response")
        elif what == "again" and last is not None:
            told = judge.judge(last, now)
            assert told is None or (lost and not stale and told.quality.level == "uncertain")
        else:
            last = Reading("gas/co", now.wall_ns, value)
            told, lost, stale = judge.judge(last, now), False, False
            assert told is not None
            assert (told.value, str(told.quality)) == (value, "good" if value <= 500 else "uncertain:out_of_range")


REASONS = ["sensor_fault", "out_of_range", "impossible_rate", "stuck", "calibration_overdue", "bump_overdue", "clock_unsure"]


@examples
@given(st.sets(st.sampled_from(REASONS)))
def test_of_several_doubts_the_first_of_the_page_is_told(wanted: set[str]) -> None:
    """Each doubt is made by its own cause, in any combination."""
    keys: dict[str, Any] = {"max_rate": 1, "confirm": 10} if "impossible_rate" in wanted else {}
    keys |= {"stuck_after": 50, "noise": 2000} if "stuck" in wanted else {}
    judge = Trust(POINTS, {"gas/co": TrustSettings(needs_clock=True, **keys)}, at(0), clock_point="n/clock/synchronised")
    judge.judge(Reading("n/clock/synchronised", at(0).wall_ns, 0.0 if "clock_unsure" in wanted else 1.0), at(0))
    for second in range(60):
        says(judge, second, 100.0)
    never, later = 0, at(10**6).wall_ns
    judge.know({"gas/co": Due(never if "calibration_overdue" in wanted else later, never if "bump_overdue" in wanted else later)})
    source = uncertain("sensor_fault") if "sensor_fault" in wanted else GOOD
    value = 900.0 if "out_of_range" in wanted else 300.0
    found = says(judge, 60, value, source)
    expected = next((f"uncertain:{reason}" for reason in REASONS if reason in wanted), "good")
    assert found == expected


# --- late ---


async def handled(tmp_path: Path, readings: list[Reading], limit: float = 25) -> tuple[list[Reading], list[str]]:
    """What is kept of readings that come in this order, and what stands afterwards."""
    alarms = [AlarmDefinition("high", "gas/co", Condition(ConditionKind.ABOVE, limit), Priority.HIGH)]
    stored: list[Stored] = []
    disk, rules = Disk(Outbox(tmp_path)), AlarmRules(alarms, "n", {})
    pipeline = Pipeline("n", POINTS, rules, worker=Worker([], "n"), disk=disk, stored=stored.extend)
    pipeline.handle(readings)
    await pipeline.flush()
    await disk.close()
    data = [decode(one.wire(0), Data) for one in stored if one.kind == 0]
    return [reading for message in data for frame in message.frames for reading in readings_of(frame)], [
        alarm.definition for alarm in rules.standing()
    ]


async def test_a_late_reading_is_kept_and_neither_raises_nor_ends_an_alarm(tmp_path: Path) -> None:
    now = clock.now().wall_ns
    clean, late_gas, gas, late_clean = (
        Reading("gas/co", now - seconds * SECOND, value) for seconds, value in ((60, 5.0), (90, 80.0), (30, 70.0), (45, 1.0))
    )
    kept, standing = await handled(tmp_path / "a", [clean, late_gas])
    assert ({(one.time_ns, one.value) for one in kept}, standing) == ({(one.time_ns, one.value) for one in (clean, late_gas)}, [])
    kept, standing = await handled(tmp_path / "b", [clean, gas, late_clean])
    assert (len(kept), standing) == (3, ["high"]), "clean air of before does not end the gas of now"


def test_a_clock_that_is_set_back_blinds_nobody() -> None:
    lateness = Lateness()
    assert not lateness.late(Reading("gas/co", at(1000).wall_ns, 1.0), at(1000))
    back = Instant(at(10).wall_ns, at(1001).steady_ns)  # the node's own clock: at once
    assert not lateness.late(Reading("gas/co", back.wall_ns, 1.0), back)
    device = Lateness()  # a device's clock, by an hour, while ours goes on: within the patience
    assert not device.late(Reading("gas/co", at(5000).wall_ns, 1.0), at(5000))
    found = [device.late(Reading("gas/co", at(1400 + s).wall_ns, 1.0), at(5001 + s)) for s in range(10)]
    assert found == [True] * 4 + [False] * 6
    assert not device.late(Reading("gas/co", at(0).wall_ns, None, bad("no_response")), at(5012)), "trouble is of the present"


def test_a_bad_point_keeps_its_reason_and_one_that_never_came_is_stale() -> None:
    judge = trust(stale_after=10)
    assert says(judge, 1, None, bad("no_response")) == "bad:no_response"
    assert judge.tick(at(50)) == []
    assert [reading.point for reading in trust(stale_after=10).tick(at(10))] == ["gas/co"]


async def test_the_pipeline_judges_before_rules_and_disk(tmp_path: Path) -> None:
    """A stale point raises its bad_quality alarm, and a doubted value still raises the alarm of its limit."""
    alarms = [
        AlarmDefinition("high", "gas/co", Condition(ConditionKind.ABOVE, 25), Priority.HIGH),
        AlarmDefinition("lost", "gas/co", Condition(ConditionKind.BAD_QUALITY), Priority.HIGH),
    ]
    stored: list[Stored] = []
    disk, rules = Disk(Outbox(tmp_path)), AlarmRules(alarms, "n", {})
    judge = Trust(POINTS, {"gas/co": TrustSettings(stale_after=0.3, max_rate=1)}, clock.now())
    pipeline = Pipeline("n", POINTS, rules, worker=Worker([], "n"), disk=disk, stored=stored.extend, trust=judge)
    watching = asyncio.create_task(pipeline.watch_time())
    try:
        pipeline.handle([Reading("gas/co", T0, 10.0), Reading("gas/co", T0 + SECOND, 90.0)])
        assert {alarm.definition for alarm in rules.standing()} == {"high"}
        await until(lambda: "lost" in {alarm.definition for alarm in rules.standing()}, seconds=10)
        await pipeline.flush()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await disk.close()
    data = [decode(one.wire(0), Data) for one in stored if one.kind == 0]
    found = [(reading.value, str(reading.quality)) for message in data for frame in message.frames for reading in readings_of(frame)]
    assert found == [(10.0, "good"), (90.0, "uncertain:impossible_rate"), (None, "bad:stale")]


# --- calibration, bump test, clock ---


def date(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text)


def test_what_is_overdue_is_said_from_the_day_after_its_last() -> None:
    one = {"gas/co": TrustSettings(calibrated=date("2025-05-28"), calibration_every=180, bump_tested=date("2025-11-20"), bump_every=30)}
    judge = Trust(POINTS, one, at(0))
    times = due(one, [])
    assert times["gas/co"][:2] == (T0 - T0 % DAY + DAY, (20_412 + 31) * DAY)  # through 2025-11-24; 2025-11-20 is day 20412
    judge.know(times)
    assert says(judge, 0, 7.0) == "good"
    assert says(judge, 8 * 3600 - 1, 7.1) == "good"
    assert says(judge, 8 * 3600, 7.2) == "uncertain:calibration_overdue"
    calibration = Calibration("gas/co", date("2025-11-25"), "rosa", "")
    judge.know(due(one, [calibration]))
    assert says(judge, 8 * 3600 + 1, 7.3) == "good"
    later = 31 * 86_400 + 8 * 3600
    assert says(judge, later - 1, 7.4) == "good"  # the calibration was a bump test, too: through 2025-12-25
    assert says(judge, later, 7.5) == "uncertain:bump_overdue"
    judge.know(due(one, [calibration, Calibration("gas/co", date("2025-12-25"), "rosa", "", bump=True)]))
    assert says(judge, later + 1, 7.6) == "good"


@pytest.mark.parametrize("which", ["calibrated", "bump_tested"])
def test_a_date_to_come_was_not_yet_and_is_believed_only_without_a_clock(which: str) -> None:
    every = "calibration_every" if which == "calibrated" else "bump_every"
    point = TrustSettings.model_validate({which: datetime.date(2062, 9, 1), every: 30})  # somebody meant 2026
    judge = trust()
    judge.know(due({"gas/co": point}, []))
    assert says(judge, 0, 5.0) == f"uncertain:{'calibration' if which == 'calibrated' else 'bump'}_overdue"
    judge.judge(Reading("n/clock/synchronised", at(1).wall_ns, 0.0), at(1))
    assert says(judge, 2, 6.0) == "good", "a device that begins in 1970 knows no better"
    tomorrow = TrustSettings.model_validate({which: datetime.date(2025, 11, 25), every: 30})
    judge = trust()
    judge.know(due({"gas/co": tomorrow}, []))
    assert says(judge, 0, 5.0) == "good", "east of Greenwich it is tomorrow"


def test_what_was_never_calibrated_is_overdue_and_an_older_record_changes_nothing() -> None:
    never = {"gas/co": TrustSettings(calibration_every=180)}
    assert due(never, []) == {"gas/co": Due(0, None)}
    known = {"gas/co": TrustSettings(calibrated=date("2025-11-20"), calibration_every=180)}
    assert due(known, [Calibration("gas/co", date("2024-01-01"), "x", ""), Calibration("a/b", date("2026-01-01"), "x", "")]) == due(
        known, []
    )


def test_readings_that_need_the_clock_are_unsure_without_it() -> None:
    judge = trust(needs_clock=True)
    assert says(judge, 0, 7.0) == "good"
    assert says(judge, 1, 0.0, point="n/clock/synchronised") == "good"
    assert says(judge, 2, 7.0) == "uncertain:clock_unsure"
    assert says(judge, 3, 1.0, point="n/clock/synchronised") == "good"
    assert says(judge, 4, 7.0) == "good"


# --- the record ---


def test_records_are_only_added_and_survive_a_torn_line(tmp_path: Path) -> None:
    file = CalibrationFile(tmp_path)
    assert (file.news(), file.news()) == ([], None)
    first = Calibration("gas/co", date("2025-11-01"), "rosa", "2025-11-01T10:00:00+00:00")
    record(tmp_path, first)
    assert (file.news(), file.news()) == ([first], None)
    with (tmp_path / FILE).open("ab") as torn:
        torn.write(b'{"point":"gas/c')
    second = Calibration("gas/co", date("2025-11-02"), "luis", "2025-11-02T10:00:00+00:00", bump=True)
    record(tmp_path, second)
    assert file.news() == [first, second]
    assert len((tmp_path / FILE).read_bytes().splitlines()) == 3


NODE = """site: s
node: gas-1
broker: {host: localhost}
sources:
  - name: plc
    type: modbus
    tcp: 127.0.0.1
    units:
      1:
        heading-3/co: {table: input, register: 0, type: uint16, unit: ppm, range: [0, 500]}
        heading-3/no2: {table: input, register: 1, type: uint16, unit: ppm, range: [0, 20]}
        heading-3/air: {table: input, register: 2, type: uint16, unit: m3/min}
"""


def node(folder: Path, text: str) -> NodeConfig:
    file = folder / "node.yaml"
    file.write_text(text, "utf-8")
    return load(file, {})


@examples
@given(st.lists(st.one_of(st.binary(max_size=60), st.just(b'{"point":"\xff","date":"2026-01-01","by":"a","recorded":"x"}')), max_size=6))
def test_no_damage_to_the_file_hides_a_sound_line_or_stops_the_node(damage: list[bytes]) -> None:
    sound = Calibration("gas/co", datetime.date(2025, 11, 1), "R", "2025-11-01T10:00:00+00:00")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / FILE).write_bytes(b"\n".join(damage))
        record(folder, sound)
        found = CalibrationFile(folder).news()
    assert found is not None
    assert sound in found


def test_patterns_are_merged_key_by_key_and_the_later_wins(tmp_path: Path) -> None:
    more = "trust:\n  'heading-3/*': {stale_after: 30, stuck_after: 600}\n  heading-3/co: {gas: CO, stale_after: 10}\n"
    found = node(tmp_path, NODE + more).trust
    assert found["heading-3/co"] == TrustSettings(gas="CO", stale_after=10, stuck_after=600)
    assert found["heading-3/air"] == TrustSettings(stale_after=30, stuck_after=600)
    assert "gas-1/outbox/depth" not in found
    assert resolve({}, POINTS) == {}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ((", range: [0, 500]", ""), "node.yaml:10: sources[0].units.1.heading-3/co.range: missing: a gas (ppm) needs it; write range: ["),
        (("m3/min", "m3/minute"), "node.yaml:12: sources[0].units.1.heading-3/air.unit: unit 'm3/minute': did you mean 'm3/min'?"),
        (
            ("trust:", "trust: {heading-3/c0: {stale_after: 9}}"),
            "node.yaml:13: trust.heading-3/c0: names no point of this node; did you mean",
        ),
        (
            ("trust:", "trust: {'heading-3/*': {stale_after: 2}}"),
            "trust.heading-3/*.stale_after: 2 s: the point comes each 1 s; write more",
        ),
        (("trust:", "trust: {heading-3/air: {gas: CO}}"), "trust.heading-3/air.gas: CO in 'm3/min': a gas has one of the units ppm"),
        (("trust:", "trust: {heading-3/co: {noise: 1}}"), "trust.heading-3/co.noise: write stuck_after"),
        (("trust:", "trust: {heading-3/co: {confirm: 1}}"), "trust.heading-3/co.confirm: write max_rate"),
        (("trust:", "trust: {heading-3/co: {calibrated: 2025-11-01}}"), "trust.heading-3/co.calibrated: write calibration_every"),
        (("trust:", "trust: {heading-3/co: {bump_tested: 2025-11-01}}"), "trust.heading-3/co.bump_tested: write bump_every"),
        (("trust:", "trust: {heading-3/co: {stale: 9}}"), "trust.heading-3/co.stale: unknown key; did you mean 'stale_after'?"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(change: tuple[str, str], expected: str, tmp_path: Path) -> None:
    with pytest.raises(DocumentError) as error:
        node(tmp_path, (NODE + "trust:\n").replace(*change, 1))
    assert len(error.value.problems) == 1
    assert expected in error.value.problems[0]


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["calibrated", *arguments])
    return result.exit_code, result.output


def test_the_command_records_without_touching_the_configuration(tmp_path: Path) -> None:
    text = NODE + "trust:\n  'heading-3/co': {calibration_every: 180, bump_every: 30}\n"
    config = node(tmp_path, text)
    file = str(tmp_path / "node.yaml")
    status, said = run(file, "heading-3/co", "--by", "Rosa", "--date", "2025-11-01")
    assert (status, said) == (0, "heading-3/co: calibration of 2025-11-01 by Rosa recorded; the next is due after 2026-04-30\n")
    assert run(file, "heading-3/co", "--bump", "--by", "Rosa", "--date", "2025-11-02")[0] == 0
    records = CalibrationFile(config.data_dir).news()
    assert [(one.point, str(one.date), one.by, one.bump) for one in records or ()] == [
        ("heading-3/co", "2025-11-01", "Rosa", False),
        ("heading-3/co", "2025-11-02", "Rosa", True),
    ]
    assert (tmp_path / "node.yaml").read_text("utf-8") == text
    assert run(file, "heading-3/c0") == (
        2,
        f"{file}: point 'heading-3/c0': this node has none of that name; did you mean 'heading-3/co'?\n",
    )
    status, said = run(file, "heading-3/co", "--date", "2999-01-01")
    assert (status, "write the day it was done" in said) == (2, True)
    assert "it never falls due" in run(file, "heading-3/no2", "--by", "x")[1]


def test_the_page_names_every_setting_and_its_example_is_correct(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "trust.md").read_text("utf-8")
    keys = [*TrustSettings.model_fields, *CurrentLoop.model_fields]
    assert [key for key in keys if f"| `{key}` |" not in page] == []
    (example,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    config = node(tmp_path, example)
    assert config.trust["heading-3/co"].max_rate == 50
    assert config.points["heading-3/no2"].range == (-0.25, 20.625)
