"""A flood as it happens: begins with more than ten alarms in ten minutes, ends with fewer than five."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.alarms.flood import FloodWatch
from gateway.alarms.kpi import SLOT_NS

S = 1_000_000_000


@given(st.lists(st.integers(0, 120), max_size=80))
def test_it_is_what_counting_every_time_says(gaps: list[int]) -> None:
    watch, came, flooding, at = FloodWatch(), [], False, 0
    for gap in gaps:
        at += gap * S
        if gap % 3:
            came.append(at)
            watch.came(at)
        count = sum(one > at - SLOT_NS for one in came)
        flooding = count > 10 or (flooding and count >= 5)
        told = watch.now(at)
        assert (told is not None) is flooding
        assert told is None or told.alarms == count


def test_it_says_since_when() -> None:
    watch = FloodWatch()
    for n in range(11):
        watch.came(n * S)
    told = watch.now(11 * S)
    assert told is not None
    assert (told.since_ns, told.alarms) == (0, 11)
    assert watch.now(11 * S + SLOT_NS) is None
