"""Readings and alarm events in the form in which they travel, and back."""

import math
from collections.abc import Iterable

from contract.alarms import AlarmEvent
from contract.messages import ReadingFrame, WireEvent
from contract.payload import ContractError
from contract.values import GOOD, POINT, Level, Quality, Reading, bad

NOT_READ = bad("not_read")
NOT_FINITE = bad("not_finite")


def to_ms(time_ns: int) -> float:
    """Unix nanoseconds as the milliseconds of the wire; whole ones stay integers in JSON."""
    ms, rest = divmod(time_ns, 1_000_000)
    return ms if rest == 0 else time_ns / 1e6


def to_ns(ms: float) -> int:
    """The milliseconds of the wire as Unix nanoseconds."""
    whole = int(ms)
    return whole * 1_000_000 if whole == ms else whole * 1_000_000 + round((ms % 1) * 1e6)


def frames_of(readings: Iterable[Reading]) -> list[ReadingFrame]:
    """Readings grouped by instant, in the order in which the instants first appear; of two for one point and instant the last counts.

    JSON has no NaN and no infinity: such a value is sent as not read, with the quality ``bad:not_finite`` unless it is bad already. A reading
    without a value is sent as ``bad:not_read`` where it claims to be good.
    """
    frames: dict[int, ReadingFrame] = {}
    for reading in readings:
        frame = frames.get(reading.time_ns)
        if frame is None:
            frame = frames[reading.time_ns] = ReadingFrame(to_ms(reading.time_ns), {}, {})
        frame.v.pop(reading.point, None)
        frame.q.pop(reading.point, None)
        quality = reading.quality
        if reading.value is None:
            quality = NOT_READ if quality.good else quality
        elif math.isfinite(reading.value):
            frame.v[reading.point] = reading.value
        elif quality.level is not Level.BAD:
            quality = NOT_FINITE
        if not quality.good:
            frame.q[reading.point] = str(quality)
    return list(frames.values())


def readings_of(frame: ReadingFrame) -> list[Reading]:
    """The readings of one frame.

    Raises ContractError for a name that is no point, a quality that is none, or a point in ``q`` alone that claims to be good.
    """
    if not (_known_points.issuperset(frame.v) and _known_points.issuperset(frame.q)):
        _check_points(frame)
    time_ns = to_ns(frame.t)
    quality: dict[str, Quality] = {}
    for point, text in frame.q.items():
        try:
            quality[point] = Quality.parse(text)
        except ValueError as error:
            raise ContractError("wrong_shape", f"$.frames[...].q[{point!r}]", str(error)) from None
    readings = [Reading(point, time_ns, value, quality.pop(point, GOOD)) for point, value in frame.v.items()]
    for point, q in quality.items():
        if q.good:
            raise ContractError("wrong_shape", f"$.frames[...].q[{point!r}]", "good, but without a value in v: write bad:reason")
        readings.append(Reading(point, time_ns, None, q))
    return readings


_known_points: set[str] = set()  # names that have passed: the pattern costs more than all the rest of a reading
_KNOWN_POINTS = 100_000


def _check_points(frame: ReadingFrame) -> None:
    for names, key in ((frame.v, "v"), (frame.q, "q")):
        for name in names:
            if not POINT.fullmatch(name):
                raise ContractError(
                    "wrong_shape", f"$.frames[...].{key}", f"point {name!r}: write asset/signal, for example pump-3/process/flow"
                )
    if len(_known_points) > _KNOWN_POINTS:
        _known_points.clear()
    _known_points.update(frame.v, frame.q)


def event_to_wire(event: AlarmEvent) -> WireEvent:
    """The event as it travels; a value that JSON has no number for is left out."""
    return WireEvent(
        event.id,
        event.definition,
        event.point,
        to_ms(event.time_ns),
        event.transition,
        event.value if event.value is not None and math.isfinite(event.value) else None,
        str(event.quality),
        list(event.evidence),
        event.first_up,
    )


def event_from_wire(node: str, event: WireEvent) -> AlarmEvent:
    """The event as the gateway keeps it. Raises ContractError for a quality or point that is none."""
    try:
        quality = Quality.parse(event.quality)
    except ValueError as error:
        raise ContractError("wrong_shape", "$.event.quality", str(error)) from None
    if not POINT.fullmatch(event.point):
        raise ContractError("wrong_shape", "$.event.point", f"point {event.point!r}: write asset/signal")
    return AlarmEvent(
        event.id,
        event.definition,
        node,
        event.point,
        to_ns(event.t),
        event.transition,
        event.value,
        quality,
        tuple(event.evidence),
        event.first_up,
    )
