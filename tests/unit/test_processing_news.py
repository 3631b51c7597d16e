"""What is told of results that come many times a second: each change, each peak, and little else."""

from hypothesis import given
from hypothesis import strategies as st

from contract.values import GOOD, Reading, bad
from edge.processing.news import News

SECOND = 1_000_000_000

Told = list[tuple[str, float, float | None]]


class Camera:
    """Counts people and gives their best score."""

    def __init__(self, period: float = 1.0) -> None:
        self._news = News(["score"], period)

    def sees(self, at: float, count: float | None, score: float | None) -> Told:
        time_ns = round(at * SECOND)
        quality = bad("model_error") if count is None else GOOD
        readings = [Reading("person", time_ns, count, quality), Reading("score", time_ns, score, quality)]
        return [(one.point, one.time_ns / SECOND, one.value) for one in self._news.of(readings, time_ns)]


def both(at: float, count: float | None, score: float | None) -> Told:
    return [("person", at, count), ("score", at, score)]


def test_a_change_is_told_at_once_and_a_peak_at_its_own_time() -> None:
    camera = Camera()
    assert camera.sees(10, 0, 0) == both(10, 0, 0)
    assert camera.sees(10.2, 0, 0) == camera.sees(10.4, 0, 0) == []
    assert camera.sees(10.6, 1, 0.7) == both(10.6, 1, 0.7)
    assert camera.sees(10.8, 1, 0.9) == camera.sees(11.0, 1, 0.95) == camera.sees(11.2, 1, 0.8) == []
    assert camera.sees(11.6, 1, 0.75) == [("score", 11.0, 0.95), *both(11.6, 1, 0.75)]
    assert camera.sees(11.8, 1, 0.7) == []
    assert camera.sees(12.6, 1, 0.9) == both(12.6, 1, 0.9)  # nothing held was higher
    assert camera.sees(12.8, 1, 0.95) == []
    assert camera.sees(13.0, 0, 0) == [("score", 12.8, 0.95), *both(13, 0, 0)]
    assert camera.sees(13.2, None, None) == both(13.2, None, None)
    assert camera.sees(13.4, None, None) == []
    assert camera.sees(3, None, None) == both(3, None, None)  # a clock that was set back


@given(st.lists(st.tuples(st.integers(10, 3000), st.integers(0, 2), st.floats(0, 1)), min_size=1, max_size=40), st.floats(0, 5))
def test_no_change_and_no_peak_is_lost_and_silence_is_bounded(pictures: list[tuple[int, int, float]], period: float) -> None:
    camera, at_ms, told, counts, scores = Camera(period), 0, Told(), list[float](), list[tuple[float, float]]()
    for apart_ms, count, score in pictures:
        at_ms += apart_ms
        at = at_ms / 1000
        scores.append((at, score))
        news = camera.sees(at, float(count), score)
        told += news
        counts = [value for point, _, value in told if point == "person" and value is not None]
        assert counts[-1] == count
        assert news or at - max(when for _, when, _ in told) < period
    times = [when for _, when, _ in told]
    assert times == sorted(times)
    assert max(value or 0.0 for point, _, value in told if point == "score") == max(score for when, score in scores if when <= times[-1])
