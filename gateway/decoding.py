"""Messages from bytes to what they say, many at once; readings are judged against what their nodes declared. Runs beside the event loop."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from contract.messages import BY_KIND, Data, decode
from contract.payload import MAX_INFLATED_BYTES, ContractError, from_json, inflate
from gateway.admission import Judged, Limits, Refusal, judge
from gateway.inbox import Arrival
from gateway.numbering import numbered

_SHAPES = 10_000


class Readable(NamedTuple):
    """A data message: each of its frames judged by ``limits``, what its node had declared, and the points that each tells of.

    ``size``: bytes after gzip.
    """

    arrival: Arrival
    data: Data
    limits: Mapping[str, Limits] | None
    judged: list[Judged]
    points: list[tuple[str, ...]]
    refusals: list[Refusal]
    size: int


class Other(NamedTuple):
    """A message of another kind that had to wait in the inbox."""

    arrival: Arrival
    message: object
    size: int


class Unreadable(NamedTuple):
    """A message that is refused as a whole, and its boot and seq where they can be read."""

    arrival: Arrival
    error: ContractError
    number: tuple[str, int] | None
    size: int


class _Shape(NamedTuple):
    """The points of a frame in their order, with what is allowed for each."""

    limits: Mapping[str, Limits]
    points: tuple[str, ...]
    lows: npt.NDArray[np.float64]
    highs: npt.NDArray[np.float64]


class Decoder:
    """For one thread at a time. Frames of one node mostly carry the same points in the same order: such a *shape* is looked up once."""

    def __init__(self, limits: Callable[[str], Mapping[str, Limits] | None]) -> None:
        self._limits = limits
        self._shapes: dict[tuple[str, tuple[str, ...]], _Shape] = {}

    def decode(self, batch: Sequence[Arrival]) -> list[Readable | Other | Unreadable]:
        """In the order given."""
        decoded = [self._decode(arrival) for arrival in batch]
        self._judge([one for one in decoded if isinstance(one, Readable)])
        return decoded

    def _decode(self, arrival: Arrival) -> Readable | Other | Unreadable:
        payload = arrival.incoming.payload
        size = MAX_INFLATED_BYTES if payload[:2] == b"\x1f\x8b" else len(payload)
        try:
            if (kind := arrival.topic.kind) != "data":
                return Other(arrival, decode(payload, BY_KIND[kind]), size)
            plain = inflate(payload)
            size = len(plain)
            data = from_json(plain, Data)
        except ContractError as error:
            return Unreadable(arrival, error, numbered(payload, whole=error.reason != "oversized"), size)
        return Readable(arrival, data, self._limits(arrival.topic.node), [], [], [], size)

    def _judge(self, decoded: Sequence[Readable]) -> None:
        """Frames whose points are all declared, with every value in its range and no quality, pass together; the others are looked at one by one."""
        numbers: list[float] = []
        shapes: list[_Shape] = []
        ends: list[int] = []
        for one in decoded:
            for frame in one.data.frames:
                shape = self._shape(one.arrival.topic.node, tuple(frame.v), one.limits) if not frame.q else None
                one.points.append(shape.points if shape is not None else (*frame.v, *frame.q))
                if shape is not None:
                    numbers += frame.v.values()
                    shapes.append(shape)
                ends.append(len(numbers))
        bad: set[int] = set()
        if shapes:
            values = np.array(numbers)
            outside = (values < np.concatenate([one.lows for one in shapes])) | (values > np.concatenate([one.highs for one in shapes]))
            bad = {int(np.searchsorted(ends, place, side="right")) for place in np.flatnonzero(outside)} if outside.any() else bad
        place = before = 0
        for one in decoded:
            for index, frame in enumerate(one.data.frames):
                if ends[place] > before and place not in bad:
                    one.judged.append(Judged(frame.v, {}))
                else:
                    one.judged.append(judge(frame, one.limits, index, one.refusals))
                before = ends[place]
                place += 1

    def _shape(self, node: str, points: tuple[str, ...], limits: Mapping[str, Limits] | None) -> _Shape | None:
        if limits is None or not points:
            return None
        shape = self._shapes.get((node, points))
        if shape is None or shape.limits is not limits:
            if not limits.keys() >= set(points):
                return None
            if len(self._shapes) >= _SHAPES:
                self._shapes.clear()
            bounds = np.array([limits[point] for point in points], np.float64)
            shape = self._shapes[node, points] = _Shape(limits, points, bounds[:, 0].copy(), bounds[:, 1].copy())
        return shape
