"""Line protocol and back: how a reading stands in InfluxDB.

One line a node, asset and instant: ``readings,asset=gas-2,node=node-1 co=12.5,o2=20.7 1763870400000000000``. A good reading is a number and
nothing else. A quality that is not good stands beside it, in the field ``co.quality``; the dot keeps it apart from every signal, whose names
have none. The value of a *bad* reading stands inside that text (``bad:out_of_range 412.5``), so that no chart and no mean ever takes it for a
measurement. InfluxDB merges the fields of equal series and time, and can delete none: hence the text decides about the number, not the other
way round, and `VOID` marks the instants where a bad reading overwrote a good number that is still there.
"""

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import NamedTuple

import msgspec

from gateway.store import Sample, StoreFrame

MEASUREMENT = "readings"
QUALITY = ".quality"
VOID = ".void"
DELETED = "deleted"  # the quality of a reading that somebody deleted: InfluxDB can delete no single field
_SIGNAL = ".signal"
_RESERVED = frozenset({"time", "node", "asset"})
_TEMPLATES = 10_000


def split_point(point: str) -> tuple[str, str]:
    """The asset and the field of a point. A signal that is named like a column of InfluxDB gets an ending: it refuses or loses those."""
    asset, _, signal = point.partition("/")
    return asset, signal + _SIGNAL if signal in _RESERVED else signal


def join_point(asset: str, field: str) -> str:
    """The inverse of `split_point`."""
    return f"{asset}/{field.removesuffix(_SIGNAL)}"


def quality_text(value: float | None, quality: str) -> str:
    """The quality field: ``uncertain:stale``, ``bad:wire_break``, ``bad:out_of_range 412.5``; ``uncertain:stale none`` where there is no value."""
    if quality.startswith("bad"):
        return quality if value is None else f"{quality} {float(value)!r}"
    return f"{quality} none" if value is None else quality


def sample_of(time_ns: int, number: float | None, text: str | None) -> Sample | None:
    """The reading that the two fields tell of; None where there is none. Where there is a text, it decides.

    None as well for one that was deleted, and for a text that speaks of a number which is not there: the line was being written while it was read.
    """
    if text is None:
        return None if number is None else Sample(time_ns, float(number), "good")
    if text == DELETED:
        return None
    quality, _, told = text.partition(" ")
    if quality.startswith("bad"):
        return Sample(time_ns, float(told) if told else None, quality)
    if told == "none":
        return Sample(time_ns, None, quality)
    return None if number is None else Sample(time_ns, float(number), quality)


class Existing(NamedTuple):
    """What late frames of one node may overwrite: the quality texts by point and time, and where a number stands for points that go bad."""

    texts: Mapping[tuple[str, int], str]
    numbers: frozenset[tuple[str, int]]


NOTHING = Existing({}, frozenset())


class _Template(NamedTuple):
    line: bytes
    pick: Callable[[list[bytes]], tuple[bytes, ...]]


class LineEncoder:
    """Encodes frames that `intake` has accepted: names need no escaping. Frames of one shape share a template."""

    def __init__(self) -> None:
        self._templates: dict[tuple[str, tuple[str, ...]], _Template] = {}
        self._floats = msgspec.json.Encoder()

    def encode(self, frame: StoreFrame, existing: Existing = NOTHING) -> bytes:
        """The lines of a frame, each with its newline; empty for an empty frame. Numbers are the shortest that read back equal."""
        if frame.quality or existing is not NOTHING:
            return _encode_with_quality(frame, existing)
        if not frame.values:
            return b""
        points = tuple(frame.values)
        template = self._templates.get((frame.node, points))
        if template is None:
            if len(self._templates) >= _TEMPLATES:
                self._templates.clear()
            template = self._templates[frame.node, points] = _template(frame.node, points)
        numbers = self._floats.encode(list(frame.values.values()))[1:-1].split(b",")
        numbers.append(b"%d" % frame.time_ns)
        lines: bytes = template.line % template.pick(numbers)
        return lines


def _template(node: str, points: tuple[str, ...]) -> _Template:
    assets: dict[str, list[tuple[str, int]]] = {}
    for place, point in enumerate(points):
        asset, field = split_point(point)
        assets.setdefault(asset, []).append((field, place))
    text, order = "", []
    for asset, fields in assets.items():
        text += f"{MEASUREMENT},asset={asset},node={node} {','.join(f'{field}=%b' for field, _ in fields)} %b\n"
        order += [*(place for _, place in fields), len(points)]
    return _Template(text.encode(), itemgetter(*order))


def _encode_with_quality(frame: StoreFrame, existing: Existing) -> bytes:
    assets: dict[str, list[str]] = {}
    for point in (*frame.values, *(point for point in frame.quality if point not in frame.values)):
        asset, field = split_point(point)
        fields = assets.setdefault(asset, [])
        value, quality = frame.values.get(point), frame.quality.get(point, "good")
        key = (point, frame.time_ns)
        old = existing.texts.get(key)
        text = quality_text(value, quality)
        if value is not None and not quality.startswith("bad"):
            fields.append(f"{field}={float(value)!r}")
        elif key in existing.numbers and text != old:
            fields.append(f"{field}{VOID}=t")
        if text != ("good" if old is None else old):
            fields.append(f'{field}{QUALITY}="{text}"')
    return "".join(
        f"{MEASUREMENT},asset={asset},node={frame.node} {','.join(fields)} {frame.time_ns}\n" for asset, fields in assets.items() if fields
    ).encode()
