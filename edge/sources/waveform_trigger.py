"""Snapshots on trigger: a level on the samples, with what came before it kept. Pure; no I/O."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from edge.items import Waveform
from edge.sources.waveform_snapshots import Samples, Stream, columns_of, snapshot_size, waveforms_of


class TriggerSettings(BaseModel):
    """The level that takes a snapshot of all channels besides those on schedule."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    level: float = Field(gt=0, allow_inf_nan=False, description="In the unit of the samples, about their mean")
    channels: list[str] = Field(default=[], description="The channels that are watched; all that have a point if not said")
    measure: Literal["peak", "rms"] = Field("peak", description="What must reach the level: one sample, or the RMS over window")
    window: float = Field(0.1, gt=0, le=10, description="Seconds over which the mean and the RMS are taken")
    before: float = Field(0.25, ge=0, le=60, description="Seconds of the snapshot that lie before the crossing; less than snapshot")
    hold_off: float = Field(10.0, ge=0, le=86400, description="Seconds from one crossing to the next that counts")


class Triggered:
    """Cuts a snapshot about each crossing of the level; holds ``before`` and one snapshot, never more.

    A level that stays exceeded gives a snapshot every ``hold_off``, and never two that overlap. Where samples are missing inside a snapshot
    it is closed over the gap and says so: what happened then does not come again.
    """

    def __init__(self, stream: Stream, points: Mapping[str, str], snapshot: float, settings: TriggerSettings) -> None:
        """``points``: waveform point by channel; ``snapshot`` in seconds. Raises ValueError for a channel that is not there."""
        self._columns = columns_of(stream, points)
        self._watched = columns_of(stream, {channel: channel for channel in settings.channels or points})
        self._settings = settings
        self._rate = stream.rate_hz
        self._size = snapshot_size(stream, snapshot)
        self._before = min(self._size - 1, round(settings.before * stream.rate_hz))
        self._window = max(1, round(settings.window * stream.rate_hz))
        self._hold_off = max(self._size, round(settings.hold_off * stream.rate_hz))
        self._past: Samples = np.empty((0, len(stream.channels)), stream.dtype)
        self._kept = np.empty((self._size, len(stream.channels)), stream.dtype)
        self._filled = 0
        self._start_ns = 0
        self._expected: int | None = None
        self._armed_at = 0
        self._dropped = 0

    def feed(self, index: int, time_ns: int, block: Samples) -> list[Waveform]:
        """The waveforms that a block completes, as `Snapshots.feed`."""
        self._align(index)
        size = len(block)
        self._expected = index + size
        done: list[Waveform] = []
        at = 0
        while at < size:
            if self._filled:
                at = self._fill(block, at)
                if self._filled == self._size:
                    done += waveforms_of(self._columns, self._kept, self._start_ns, self._rate, self._dropped)
                    self._filled, self._dropped = 0, 0
                continue
            crossing = self._crossing(block, max(at, self._armed_at - index))
            if crossing is None:
                break
            self._armed_at = index + crossing + self._hold_off
            at = self._begin(time_ns, block, crossing)
        depth = max(self._before, self._window)
        self._past = block[-depth:].copy() if size >= depth else np.concatenate([self._past, block])[-depth:]
        return done

    def _align(self, index: int) -> None:
        if self._expected is None or index < self._expected:  # it starts, or starts again
            self._past, self._filled, self._dropped, self._armed_at = self._past[:0], 0, 0, index
        elif index > self._expected:
            self._past = self._past[:0]  # the part before a crossing is whole, or shorter
            self._dropped += index - self._expected if self._filled else 0

    def _fill(self, block: Samples, at: int) -> int:
        take = min(len(block) - at, self._size - self._filled)
        self._kept[self._filled : self._filled + take] = block[at : at + take]
        self._filled += take
        return at + take

    def _begin(self, time_ns: int, block: Samples, crossing: int) -> int:
        """Puts what is there of the part before the crossing at the beginning; returns where the block goes on."""
        first = max(crossing - self._before, -len(self._past))
        self._start_ns = time_ns + round(first / self._rate * 1e9)
        past = self._past[first:] if first < 0 else self._past[:0]
        self._kept[: len(past)] = past
        self._filled = len(past)
        return self._fill(block, max(first, 0))

    def _crossing(self, block: Samples, start: int) -> int | None:
        """The first sample of the block, ``start`` or later, at which a watched channel reaches the level."""
        if start >= len(block):
            return None
        found = []
        past = self._past[-self._window :]
        for column in self._watched:
            signal = np.concatenate([past[:, column.place], block[:, column.place]]).astype(np.float64) * column.scale
            signal -= signal.mean()
            height = np.abs(signal) if self._settings.measure == "peak" else moving_rms(signal, self._window)
            above = height[len(past) + start :] >= self._settings.level
            if above.any():
                found.append(start + int(above.argmax()))
        return min(found, default=None)


def moving_rms(signal: Samples, window: int) -> Samples:
    """RMS over the ``window`` samples that end at each one; 0 where fewer precede it. Shape (n,)."""
    height = np.zeros(len(signal))
    if len(signal) >= window:
        power = np.concatenate([[0.0], np.cumsum(signal * signal)])
        height[window - 1 :] = np.sqrt(np.maximum(power[window:] - power[:-window], 0.0) / window)
    return height
