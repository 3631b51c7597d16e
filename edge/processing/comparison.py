"""What a model is watched by while it runs: how far its features have drifted, and how a candidate would have alarmed. Pure."""

from collections import deque
from typing import Any

import numpy as np

from models.cards import Card, ModelError
from models.feed import Feed, Reported

Array = np.ndarray[Any, np.dtype[Any]]

FEWEST = 20  # rows before a share is told


class Drift:
    """The largest share, over features, of the last rows outside the range that held 99 % of training: about 0.01 where nothing drifted."""

    def __init__(self, feed: Feed, rows: int) -> None:
        self._low, self._high = (np.array([getattr(feature, end) for feature in feed.features]) for end in ("low", "high"))
        self._outside: deque[Array] = deque(maxlen=rows)

    def add(self, features: Array) -> float | None:
        """The share with these (features,); None while there are too few."""
        self._outside.append((features < self._low) | (features > self._high))
        return None if len(self._outside) < FEWEST else float(np.mean(self._outside, axis=0).max())


class AlarmRates:
    """The candidate's share of scores beyond its threshold less the active model's, over the last scores that both gave."""

    def __init__(self, rows: int) -> None:
        self._pairs: deque[tuple[bool, bool]] = deque(maxlen=rows)

    def add(self, active: bool, candidate: bool) -> float | None:
        """The difference with these two; None while there are too few."""
        self._pairs.append((active, candidate))
        if len(self._pairs) < FEWEST:
            return None
        return sum(candidate - active for active, candidate in self._pairs) / len(self._pairs)


def reported(card: Card) -> tuple[Reported, ...]:
    """What a score of this model is told as."""
    return card.feed.outputs if card.feed else ()


def calls(card: Card, values: dict[str, float]) -> bool:
    """Whether the values of a score call for people, by the card's threshold. Raises ModelError where the card names no such output."""
    alarm = card.feed.alarm if card.feed else None
    if alarm is None:
        raise ModelError(f"model {card.name}: its card names no output that calls for people: alarms cannot be compared")
    above = values[alarm.output] > card.threshold.value
    return above if alarm.side == "above" else values[alarm.output] < card.threshold.value


def same_inputs(active: Card, candidate: Card) -> None:
    """Raises ModelError where the candidate cannot be given what the active model is given, or its alarms cannot be compared."""
    for card in (active, candidate):
        calls(card, {output.name: 0.0 for output in reported(card)})
    for what, mine, other in zip(("inputs", "feed"), _given(active), _given(candidate), strict=True):
        if mine != other:
            raise ModelError(f"model {candidate.name}: its {what} differ from those of {active.name}: both must be given the same")


def _given(card: Card) -> tuple[list[Any], list[Any]]:
    inputs = [(tensor.name, tensor.shape, tensor.dtype, tensor.labels) for tensor in card.inputs]
    feed = card.feed
    return inputs, [] if feed is None else [feed.preparation, feed.period_s, feed.rows, feed.signals, feed.parameters]
