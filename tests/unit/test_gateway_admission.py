"""Admission: which readings are stored, when they were, and how far they can be trusted."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from contract.frames import to_ms
from contract.messages import ReadingFrame
from contract.values import GOOD, Quality, bad, uncertain
from gateway.admission import AHEAD_LIMIT_NS, SECOND, SKEW_LIMIT_NS, WINDOW_NS, Admitted, EventTime, Refusal, Skew, admit, judge, time_event

NOW = 1_763_870_400 * SECOND
HOUR = 3600 * SECOND
LIMITS = {"gas-2/co": (0.0, 500.0), "gas-2/o2": (float("-inf"), float("inf"))}


def admitted(
    *frames: ReadingFrame, skew_ns: int = 0, shift_ns: int = 0, limits: Mapping[str, tuple[float, float]] | None = LIMITS
) -> Admitted:
    refusals: list[Refusal] = []
    judged = [judge(one, limits, index, refusals) for index, one in enumerate(frames)]
    told = admit("pump-3", frames, judged, now_ns=NOW, skew_ns=skew_ns, shift_ns=shift_ns)
    return told._replace(refusals=[*refusals, *told.refusals])


def frame(value: float = 12.5, *, at_ns: int = NOW, point: str = "gas-2/co", quality: str | None = None) -> ReadingFrame:
    return ReadingFrame(to_ms(at_ns), {point: value}, {point: quality} if quality else {})


def test_a_good_reading_passes_untouched() -> None:
    ((stored,), refusals, values, quarantined) = admitted(frame())
    assert (stored.node, stored.time_ns, stored.values, stored.quality) == ("pump-3", NOW, {"gas-2/co": 12.5}, {})
    assert (refusals, values, quarantined) == ([], 1, [])


def test_the_limits_of_time() -> None:
    assert admitted(frame(at_ns=NOW + AHEAD_LIMIT_NS)).refusals == []
    late = admitted(frame(), frame(at_ns=NOW + AHEAD_LIMIT_NS + SECOND))
    assert (len(late.frames), late.quarantined) == (1, [1])
    (refusal,) = late.refusals
    assert (refusal.reason, refusal.where) == ("clock_ahead", "$.frames[1].t")
    assert "301 s ahead" in refusal.detail
    assert admitted(frame(at_ns=946_684_800 * SECOND)).refusals == []
    (refusal,) = admitted(frame(at_ns=946_684_799 * SECOND)).refusals
    assert refusal.reason == "clock_behind"


def test_the_limit_holds_after_the_shift() -> None:
    ahead = frame(at_ns=NOW + HOUR)
    assert [one.reason for one in admitted(ahead, skew_ns=-HOUR).refusals] == ["clock_ahead"]
    (stored,) = admitted(ahead, skew_ns=-HOUR, shift_ns=-HOUR).frames
    assert (stored.time_ns, stored.quality) == (NOW, {"gas-2/co": "uncertain:clock_unsure"})


def test_an_unsure_clock_flags_all_but_what_is_bad_already() -> None:
    frames = (frame(quality="bad:stuck"), frame(quality="uncertain:stale"), frame(700.0))
    qualities = [one.quality["gas-2/co"] for one in admitted(*frames, skew_ns=SKEW_LIMIT_NS + 1).frames]
    assert qualities == ["bad:stuck", "uncertain:clock_unsure", "uncertain:clock_unsure"]
    assert [one.quality for one in admitted(frame(), skew_ns=-SKEW_LIMIT_NS).frames] == [{}]


def test_ranges_and_declarations() -> None:
    edges = [admitted(frame(value)).frames[0].quality for value in (0.0, 500.0, -0.1, 500.1)]
    assert edges == [{}, {}, {"gas-2/co": "uncertain:out_of_range"}, {"gas-2/co": "uncertain:out_of_range"}]
    assert admitted(frame(900.0, quality="bad:wire_break")).frames[0].quality == {"gas-2/co": "bad:wire_break"}
    mixed = ReadingFrame(to_ms(NOW), {"gas-9/co": 1.0, "gas-2/o2": 20.7}, {"gas-8/co": "bad:wire_break"})
    (stored,), refusals, values, _ = admitted(mixed)
    assert (stored.values, stored.quality, values) == ({"gas-2/o2": 20.7}, {}, 1)
    assert [(one.reason, one.where) for one in refusals] == [
        ("unknown_point", "$.frames[0].q['gas-8/co']"),
        ("unknown_point", "$.frames[0].v['gas-9/co']"),
    ]


def test_a_node_without_a_birth_is_believed_with_a_flag() -> None:
    (stored,), refusals, values, _ = admitted(frame(), frame(point="no point"), limits=None)
    assert stored.quality == {"gas-2/co": "uncertain:undeclared"}
    assert [one.reason for one in refusals] == ["wrong_shape"]
    assert values == 1


def test_a_quality_that_is_none_takes_its_value_with_it() -> None:
    answer = admitted(frame(quality="so-so"), ReadingFrame(to_ms(NOW), {}, {"gas-2/co": "uncertain:stale"}))
    assert answer.frames == []
    assert [(one.reason, one.where) for one in answer.refusals] == [
        ("wrong_shape", "$.frames[0].q['gas-2/co']"),
        ("wrong_shape", "$.frames[1].q['gas-2/co']"),
    ]


@given(st.lists(st.tuples(st.integers(0, 5 * SECOND), st.integers(-HOUR, HOUR)), min_size=1, max_size=60))
def test_skew_is_the_smallest_difference_of_the_last_minute(steps: list[tuple[int, int]]) -> None:
    skew, now, seen = Skew(), NOW, []
    for wait, difference in steps:
        now += wait
        seen.append((now, difference))
        skew.add(sent_ns=now - difference, received_ns=now)
        assert skew.smallest(now) == min(one for at, one in seen if at >= now - WINDOW_NS)


def test_one_message_that_took_long_proves_nothing() -> None:
    skew = Skew()
    assert skew.at(NOW) == 0
    for second in range(6):
        assert skew.at(NOW + second * SECOND) == (HOUR if second == 5 else 0)
        skew.add(sent_ns=NOW + second * SECOND - HOUR, received_ns=NOW + second * SECOND)
    skew.add(sent_ns=NOW + 3600 * SECOND - HOUR, received_ns=NOW + 3600 * SECOND)
    assert skew.at(NOW + 3600 * SECOND) == 0, "after a pause it begins again"
    for delay, believed in ((HOUR, HOUR), (30 * SECOND, 0)):
        birth = Skew()
        birth.add(sent_ns=NOW - delay, received_ns=NOW, birth=True)
        assert birth.at(NOW) == believed
    ahead = Skew()
    ahead.add(sent_ns=NOW + HOUR, received_ns=NOW)
    assert ahead.at(NOW) == -HOUR, "nothing arrives before it was sent"


def test_the_shift_stays_while_the_skew_trembles() -> None:
    skew, shifts = Skew(), set()
    for index in range(100):
        now = NOW + index * SECOND
        skew.add(sent_ns=now - HOUR - (index % 7) * 50_000_000, received_ns=now, birth=True)
        shifts.add(skew.shift(now))
    assert shifts == {HOUR}
    small = Skew()
    for index in range(100):
        now = NOW + index * SECOND
        small.add(sent_ns=now - SKEW_LIMIT_NS, received_ns=now)
        assert small.shift(now) == 0, "what is not even flagged is not moved"


def test_alarm_events_are_moved_never_refused() -> None:
    def when(time_ns: int, quality: Quality = GOOD, skew_ns: int = 0) -> EventTime:
        return time_event(time_ns, quality, now_ns=NOW, skew_ns=skew_ns, late_after=30.0)

    unsure = uncertain("clock_unsure")
    assert when(NOW - SECOND) == (NOW - SECOND, GOOD, False)
    assert when(NOW - 31 * SECOND) == (NOW - 31 * SECOND, GOOD, True)
    assert when(NOW - HOUR - SECOND, skew_ns=HOUR) == (NOW - SECOND, unsure, False)
    assert when(NOW + HOUR - SECOND, skew_ns=-HOUR) == (NOW - SECOND, unsure, False)
    assert when(NOW - HOUR, bad("stuck"), HOUR) == (NOW, bad("stuck"), False)
    assert when(NOW + HOUR) == (NOW, unsure, False), "a clock that nobody could measure"
    assert when(5) == (NOW, unsure, False)
