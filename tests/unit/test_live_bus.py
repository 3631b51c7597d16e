"""The live bus: a watcher that is slow gets alarms first and of readings the newest, and is told when it has missed something."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from gateway.live import LiveBus, LiveEvent

POINTS = ["a/x", "a/y", "a/z"]
frames = st.builds(
    lambda values, bad: {"node": "n", "time": 1.0, "values": values, "quality": dict.fromkeys(bad, "bad:stuck")},
    st.dictionaries(st.sampled_from(POINTS), st.floats(0, 9)),
    st.sets(st.sampled_from(POINTS)),
)


def readings(node: str, time: float, **values: float) -> LiveEvent:
    return LiveEvent("readings", {"node": node, "time": time, "values": values, "quality": {}})


async def test_alarms_come_before_readings_and_of_readings_the_newest() -> None:
    bus = LiveBus()
    with bus.subscribe(size=10) as watching:
        for time in range(100):
            bus.publish(readings("gas-1", time, co=time))
        bus.publish(LiveEvent("alarm", {"key": "one"}))
        bus.publish(readings("fan-1", 5, speed=7))
        bus.publish(LiveEvent("alarm", {"key": "two"}))
        told = await asyncio.wait_for(watching.take(), 1)
        assert [event.data.get("key") or event.data["node"] for event in told] == ["one", "two", "gas-1", "fan-1"]
        assert told[2].data == {"node": "gas-1", "time": 99, "values": {"co": 99}, "quality": {}}
        assert not watching.waiting
        assert not watching.lagging
        bus.publish(readings("gas-1", 100, co=100))
        assert [event.data["time"] for event in await asyncio.wait_for(watching.take(), 1)] == [100]


def test_too_much_makes_a_watcher_lag() -> None:
    bus = LiveBus()
    with bus.subscribe(size=3) as watching:
        for number in range(3):
            bus.publish(LiveEvent("alarm", {"key": str(number)}))
        assert not watching.lagging
        bus.publish(LiveEvent("alarm", {"key": "one too many"}))
        assert watching.lagging
    with bus.subscribe(size=3) as watching:
        for number in range(4):
            bus.publish(readings(f"n{number}", 1))
        assert watching.lagging


@given(st.lists(frames, min_size=1, max_size=6))
def test_merged_readings_say_what_a_reader_of_each_would_know(some: list[dict[str, object]]) -> None:
    values: dict[str, float] = {}
    quality: dict[str, str] = {}
    for frame in some:
        told_values, told_quality = dict(frame["values"]), dict(frame["quality"])  # type: ignore[call-overload]
        for point in {*told_values, *told_quality}:
            values.pop(point, None)
            quality.pop(point, None)
        values |= told_values
        quality |= told_quality
    told = [str(frame) for frame in some]
    bus = LiveBus()
    with bus.subscribe() as watching:
        for frame in some:
            bus.publish(LiveEvent("readings", frame))
        (event,) = asyncio.run(watching.take())
    assert event == LiveEvent("readings", {"node": "n", "time": 1.0, "values": values, "quality": quality})
    assert [str(frame) for frame in some] == told, "others watch the same readings"


async def test_readings_pause_and_alarms_do_not() -> None:
    bus, loop = LiveBus(), asyncio.get_running_loop()
    with bus.subscribe(pause=0.3) as watching:
        begun = loop.time()
        bus.publish(readings("gas-1", 1, co=1))
        assert [event.data["time"] for event in await watching.take()] == [1], "the first readings wait for nothing"
        taking = asyncio.create_task(watching.take())
        for time in range(2, 50):
            bus.publish(readings("gas-1", time, co=time))
            await asyncio.sleep(0)
        bus.publish(LiveEvent("alarm", {"key": "one"}))
        assert [event.kind for event in await asyncio.wait_for(taking, 0.2)] == ["alarm"]
        assert [event.data["time"] for event in await asyncio.wait_for(watching.take(), 1)] == [49]
        assert loop.time() - begun >= 0.29
