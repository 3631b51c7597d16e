"""How much louder a bearing is than the machine itself was when somebody said that it was well: decibels over its own baseline. Pure.

ISO 13374 block: health assessment. ISO 20816-1 asks for the change from a machine's own reference beside the zones; of a bearing there is no table of
limits that holds for another machine, because sensor, path and load set the level. The rise says nothing of the size of the damage: in the CWRU
recordings it grows with the size of the fault in no class (docs/sources.md has the figures), and it falls again when a spall is worn smooth.
"""

import json
from collections.abc import Sequence

import numpy as np

SPEED = 0.1  # the share by which the speed may differ from that of the baseline: impacts are louder at a higher speed


class Baseline:
    """The first ``waveforms`` good levels of a machine: their median is 0 dB from then on. Another ``name`` learns anew."""

    def __init__(self, waveforms: int, name: str) -> None:
        self._waveforms = waveforms
        self._name = name
        self._levels: list[float] = []
        self._speeds: list[float] = []
        self._level: float | None = None
        self._speed: float | None = None

    def learn(self, level: float, rpm: float | None) -> None:
        """One level above 0; no more is taken once there are enough. Speeds that differ among them make a baseline of the first."""
        if self._level is not None or not level > 0 or (self._speeds and rpm is not None and self._other(rpm, self._speeds)):
            return
        self._levels.append(level)
        if rpm is not None:
            self._speeds.append(rpm)
        if len(self._levels) >= self._waveforms:
            self._level = float(np.median(self._levels))
            self._speed = float(np.median(self._speeds)) if self._speeds else None

    def rise(self, level: float) -> float | None:
        """20 log10 of the level over the baseline, dB; None while it is learnt."""
        return None if self._level is None else float(20 * np.log10(max(level, 1e-12) / self._level))

    def is_other_speed(self, rpm: float | None) -> bool:
        """Whether the machine runs at a speed for which the baseline says little."""
        return self._speed is not None and rpm is not None and self._other(rpm, [self._speed])

    def _other(self, rpm: float, speeds: Sequence[float]) -> bool:
        usual = float(np.median(speeds))
        return abs(rpm - usual) > SPEED * usual

    def state(self) -> str:
        """A few hundred bytes to a few kB."""
        return json.dumps([self._name, self._waveforms, self._levels, self._speeds])

    def restore(self, text: str) -> None:
        """What `state` gave, where it is of the same name and length; else it is left. Raises ValueError, TypeError or KeyError for nonsense."""
        name, waveforms, levels, speeds = json.loads(text)
        if [name, waveforms] != [self._name, self._waveforms]:
            return
        if not all(isinstance(one, float | int) and one > 0 for one in (*levels, *speeds)) or len(levels) > waveforms:
            raise ValueError(f"no baseline of {waveforms} levels above 0: {text[:100]}")
        self._levels, self._speeds, self._level = [], [], None
        for index, level in enumerate(levels):
            self.learn(float(level), float(speeds[index]) if index < len(speeds) else None)
