"""From rows of readings to the inputs of a model, one row at a time: the same figures as the training code makes of a whole recording.

A row is float64 (signals,), in the order and units of the card's feed. NumPy only.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from models import bearing_life, engine_life, pump
from models.cards import Card, ModelError
from models.feed import Feed

Array = np.ndarray[Any, np.dtype[Any]]

_LONGEST = 400  # cycles: the longest slope of models.engine_life
_RECENT = 80  # cycles: the longest of its means


class Preparation(Protocol):
    """``waiting``: why there are no inputs yet, empty when there are. ``held``: a row among those looked at was missing."""

    @property
    def waiting(self) -> str: ...

    @property
    def held(self) -> bool: ...

    def add(self, row: Array | None) -> str:
        """The next row, None where one is missing. Returns why the row cannot be used, or nothing."""
        ...

    def inputs(self) -> dict[str, Array]: ...

    def features(self) -> Array:
        """(features,) of the latest row, in the order of the card's feed."""
        ...

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: Mapping[str, Any]) -> None: ...


class Window:
    """The last rows as they are, cut to the inputs of the card in their order. A missing row repeats the one before; half may be missing."""

    def __init__(self, card: Card) -> None:
        feed = _feed(card)
        self._rows: deque[tuple[Array, bool]] = deque(maxlen=feed.rows)
        self._cuts = [
            (tensor.name, *_cut(card, tensor.shape, feed.rows), len(tensor.shape) == 2) for tensor in card.inputs if tensor.shape[0] == "N"
        ]
        if sum(width for _, width, *_ in self._cuts) != len(feed.signals):
            raise ModelError(f"model {card.name}: feed: {len(feed.signals)} signals for inputs {[tensor.shape for tensor in card.inputs]}")

    @property
    def waiting(self) -> str:
        if len(self._rows) < (self._rows.maxlen or 0):
            return "gathering"
        return "gap" if 2 * sum(held for _, held in self._rows) > len(self._rows) else ""

    @property
    def held(self) -> bool:
        return any(held for _, held in self._rows)

    def add(self, row: Array | None) -> str:
        if row is not None:
            self._rows.append((row, False))
        elif self._rows:
            self._rows.append((self._rows[-1][0], True))
        return ""

    def inputs(self) -> dict[str, Array]:
        rows, start, found = np.array([row for row, _ in self._rows], np.float32), 0, {}
        for name, width, turned, flat in self._cuts:
            part = rows[:, start : start + width]
            found[name] = part if flat else np.ascontiguousarray(part.T if turned else part)[None]
            start += width
        return found

    def features(self) -> Array:
        return self._rows[-1][0]

    def state(self) -> dict[str, Any]:
        return {"rows": [row.tolist() for row, _ in self._rows], "held": [held for _, held in self._rows]}

    def restore(self, state: Mapping[str, Any]) -> None:
        rows = [(np.array(row, float), bool(held)) for row, held in zip(state["rows"], state["held"], strict=True)]
        self._rows.clear()
        self._rows.extend(rows)


class PumpNormal(Window):
    """A window, and what the first rows of normal operation taught (models.pump.learn)."""

    def __init__(self, card: Card) -> None:
        super().__init__(card)
        parameters = _feed(card).parameters
        try:
            self._smoothing = pump.Smoothing(parameters["channels"], parameters["score"])
            self._needed = parameters["reference"]
        except KeyError as missing:
            raise ModelError(
                f"model {card.name}: feed: parameters: {missing} is missing; channels, score and reference are needed"
            ) from None
        self._reference: list[Array] = []
        self._normal: pump.Normal | None = None

    @property
    def waiting(self) -> str:
        return "learning" if self._normal is None else super().waiting

    def add(self, row: Array | None) -> str:
        super().add(row)
        if self._normal is None and row is not None:
            self._reference.append(row)
            if len(self._reference) == self._needed:
                self._normal, self._reference = pump.learn(np.array(self._reference), self._smoothing), []
                return "learning"  # the last row of the reference is none to be judged by it
        return ""

    def inputs(self) -> dict[str, Array]:
        return super().inputs() | {name: value.astype(np.float32) for name, value in self._taught()._asdict().items()}

    def features(self) -> Array:
        normal = self._taught()
        found: Array = ((self._rows[-1][0] - normal.centre) @ normal.whitening)[0]
        return found

    def _taught(self) -> pump.Normal:
        if self._normal is None:
            raise RuntimeError("asked while waiting")
        return self._normal

    def state(self) -> dict[str, Any]:
        normal = None if self._normal is None else [value.tolist() for value in self._normal]
        return super().state() | {"reference": [row.tolist() for row in self._reference], "normal": normal}

    def restore(self, state: Mapping[str, Any]) -> None:
        reference = [np.array(row, float) for row in state["reference"]]
        normal = None if state["normal"] is None else pump.Normal(*(np.array(value, float) for value in state["normal"]))
        super().restore(state)
        self._reference, self._normal = reference, normal


class LifeSummary:
    """The summary of an engine's life so far (models.engine_life); a missing cycle counts, and repeats the one before."""

    def __init__(self, card: Card) -> None:
        if len(_feed(card).signals) != len(engine_life.SENSORS):
            raise ModelError(f"model {card.name}: feed: {len(engine_life.SENSORS)} signals are needed")
        self._first: list[Array] = []
        self._last: deque[Array] = deque(maxlen=_LONGEST)
        self._age = 0
        self._since_missing: int | None = None
        self._summed: Array | None = None

    @property
    def waiting(self) -> str:
        return "gathering" if self._age < engine_life.BASELINE else ""

    @property
    def held(self) -> bool:
        return self._since_missing is not None and self._since_missing < _RECENT

    def add(self, row: Array | None) -> str:
        if row is None and not self._age:
            return ""
        if row is None:
            row, self._since_missing = (self._last or self._first)[-1], -1
        self._since_missing = None if self._since_missing is None else self._since_missing + 1
        (self._first if self._age < engine_life.BASELINE else self._last).append(row)
        self._age += 1
        self._summed = None
        return ""

    def _summary(self) -> Array:
        if self._summed is None:
            history = np.array([*self._first, *self._last])
            self._summed = engine_life.summaries(history, np.array([len(history)]))
        return self._summed

    def inputs(self) -> dict[str, Array]:
        return {"summary": self._summary().astype(np.float32), "age": np.array([[self._age]], np.float32)}

    def features(self) -> Array:
        found: Array = self._summary()[0, engine_life.LEVELS[0]]
        return found

    def state(self) -> dict[str, Any]:
        rows = {"first": [row.tolist() for row in self._first], "last": [row.tolist() for row in self._last]}
        return rows | {"age": self._age, "since_missing": self._since_missing}

    def restore(self, state: Mapping[str, Any]) -> None:
        first, last = ([np.array(row, float) for row in state[key]] for key in ("first", "last"))
        age, since = int(state["age"]), state["since_missing"]
        self._first, self._age, self._since_missing, self._summed = first, age, since, None
        self._last.clear()
        self._last.extend(last)


class Rise:
    """How far the rms stands above its quietest (models.bearing_life), kept up row by row. A missing row is left out."""

    def __init__(self, card: Card) -> None:
        _feed(card)
        self._logs: deque[float] = deque(maxlen=bearing_life.SMOOTH)
        self._quietest = np.inf
        self._seen = 0
        self._since_missing: int | None = None

    @property
    def waiting(self) -> str:
        return "gathering" if self._seen < bearing_life.FIRST else ""

    @property
    def held(self) -> bool:
        return self._since_missing is not None and self._since_missing < bearing_life.SMOOTH

    def add(self, row: Array | None) -> str:
        if row is None or not (row > 0).all():
            self._since_missing = 0
            return "" if row is None else "not_positive"  # a dead sensor is no quiet bearing
        self._since_missing = None if self._since_missing is None else self._since_missing + 1
        level = float(np.log((row**2).sum()) / 2)
        self._logs.extend([level] * (1 if self._logs else bearing_life.SMOOTH))
        self._quietest = min(self._quietest, float(np.median(self._logs)))
        self._seen += 1
        return ""

    def inputs(self) -> dict[str, Array]:
        return {"state": self.features().astype(np.float32)[None]}

    def features(self) -> Array:
        return np.array([np.median(self._logs) - self._quietest])

    def state(self) -> dict[str, Any]:
        quietest = self._quietest if self._seen else None
        return {"logs": list(self._logs), "quietest": quietest, "seen": self._seen, "since_missing": self._since_missing}

    def restore(self, state: Mapping[str, Any]) -> None:
        logs, seen, since = [float(value) for value in state["logs"]], int(state["seen"]), state["since_missing"]
        self._quietest = np.inf if state["quietest"] is None else float(state["quietest"])
        self._seen, self._since_missing = seen, since
        self._logs.clear()
        self._logs.extend(logs)


PREPARATIONS: dict[str, Callable[[Card], Preparation]] = {
    "window": Window,
    "pump_normal": PumpNormal,
    "life_summary": LifeSummary,
    "rise": Rise,
}


def preparation(card: Card) -> Preparation:
    """What feeds this model. Raises ModelError where the card does not say, or says what does not fit its inputs."""
    return PREPARATIONS[_feed(card).preparation](card)


def _feed(card: Card) -> Feed:
    if card.feed is None:
        raise ModelError(f"model {card.name}: its card has no feed: it does not score rows of readings")
    return card.feed


def _cut(card: Card, shape: tuple[int | str, ...], rows: int) -> tuple[int, bool]:
    """How many signals an input takes, and whether signals come before rows."""
    if len(shape) == 2 and rows == 1 and isinstance(shape[1], int):
        return shape[1], False
    if len(shape) == 3 and shape[1] == rows and isinstance(shape[2], int):
        return shape[2], False
    if len(shape) == 3 and shape[2] == rows and isinstance(shape[1], int):
        return shape[1], True
    raise ModelError(
        f"model {card.name}: feed: an input has shape {shape}; (N, {rows} rows, signals) or (N, signals, {rows} rows) is needed"
    )
