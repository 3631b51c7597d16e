"""Scores of models that look at rows of readings: which signals, how often and in which units is written in the model's card.

ISO 13374 block: health assessment. A row without a good reading of every signal gives no score.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from contract.messages import PointDeclaration
from contract.units import check_unit, convert
from contract.values import Quality, Reading, bad, check_point, uncertain, worst
from edge.errors import Misconfigured
from edge.items import Item
from edge.processing import ProcessorContext, ProcessorSettings
from edge.processing.comparison import AlarmRates, Drift, calls, reported, same_inputs
from edge.processing.models import ModelFailed, card_of, cards, opened
from edge.processing.rows import Row, Rows
from models.cards import Card, ModelError
from models.feed import Feed
from models.preparation import Preparation, preparation

if TYPE_CHECKING:
    from models.runtime import Array, Model

log = logging.getLogger("muki.edge.processing.rows_scoring")

DRIFT, DIFFERENCE = "drift", "candidate/alarm_difference"
_MOST_MISSING = 10_000  # rows: beyond any window of any model
_DRIFT = {
    "es": "Deriva de las entradas: parte fuera del rango de entrenamiento",
    "en": "Drift of the inputs: share outside the range of training",
}


class ScoringSettings(ProcessorSettings):
    """A model, the point of each of its signals, and where its scores go."""

    input: str = Field("", max_length=0, description="Not used: write inputs")
    model: str = Field(min_length=1, description="A model of the release by its name, or a path ending in .onnx")
    inputs: dict[str, str] = Field(min_length=1, max_length=64, description="The point of each signal that the model's card names")
    output: str = Field(description="What the names of its points begin with, for example pump-1/anomaly")
    every: int = Field(1, ge=1, le=100_000, description="Rows from one score to the next")
    together: float = Field(10.0, gt=0, le=86_400, description="Seconds that the readings of a cycle may lie apart, for a model of cycles")
    baseline: str = Field(
        "", max_length=64, description="Another text makes the model learn anew what is normal here, as after an overhaul"
    )
    drift_rows: int = Field(500, ge=20, le=10_000, description="Rows that the drift is told of")
    candidate: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="A second model that is given the same and raises no alarm"
    )
    candidate_rows: int = Field(500, ge=20, le=100_000, description="Scores that the difference in alarms is told of")

    @field_validator("inputs")
    @classmethod
    def _are_points(cls, inputs: dict[str, str]) -> dict[str, str]:
        for name in inputs.values():
            check_point(name)
        if len(set(inputs.values())) < len(inputs):
            raise ValueError("a point is named for two signals: each has its own")
        return inputs

    @model_validator(mode="after")
    def _fits(self) -> Self:
        check_point(f"{self.output}/{DIFFERENCE if self.candidate else DRIFT}")
        return self


class ScoringProcessor:
    """Under ``OUTPUT/``: each output that the card reports, ``drift``, and with a candidate ``candidate/alarm_difference``.

    A model that fails, or whose result is no number, raises ModelFailed: a malfunction. A candidate that fails never harms the active model.
    """

    Settings: ClassVar[type[ProcessorSettings]] = ScoringSettings

    def __init__(self, settings: ProcessorSettings, context: ProcessorContext) -> None:
        """Raises Misconfigured where the card is missing or wrong, or its signals and ``inputs`` differ."""
        if not isinstance(settings, ScoringSettings):
            raise TypeError(f"ScoringProcessor takes ScoringSettings, not {type(settings).__name__}")
        self._settings = settings
        self._context = context
        self._card = card_of(settings.name, settings.model, context)
        self._feed, self._prepared = self._fed(self._card)
        given, needed = set(settings.inputs), {signal.name for signal in self._feed.signals}
        if given != needed:
            wrong = [f"{name!r} is missing" for name in sorted(needed - given)]
            wrong += [f"{name!r} is no signal of it" for name in sorted(given - needed)]
            signals = ", ".join(f"{signal.name} ({signal.unit})" for signal in self._feed.signals)
            raise Misconfigured(f"processor {settings.name}: inputs: {'; '.join(wrong)}; model {self._card.name} takes {signals}")
        # Without the units of the points, which only a whole configuration knows, values are taken to be in the model's.
        self._rows = self._gathering(dict.fromkeys(self._points_in_order(), _same))
        self._drift = Drift(self._feed, settings.drift_rows)
        self._rates = AlarmRates(settings.candidate_rows)
        self._since = 0
        self._model: Model | None = None
        self._candidate: Model | None = None
        self._reported = ""

    def _fed(self, card: Card) -> tuple[Feed, Preparation]:
        try:
            made = preparation(card)
        except ModelError as error:
            raise Misconfigured(f"processor {self._settings.name}: {error}") from None
        feed = card.feed
        if feed is None:
            raise Misconfigured(f"processor {self._settings.name}: model {card.name}: its card has no feed")
        for name, unit in [(one.name, one.unit) for one in feed.signals] + [(one.name, one.unit) for one in feed.outputs]:
            try:
                check_unit(unit)
            except ValueError as error:
                raise Misconfigured(f"processor {self._settings.name}: model {card.name}: feed: {name}: {error}") from None
        return feed, made

    def _points_in_order(self) -> list[str]:
        return [self._settings.inputs[signal.name] for signal in self._feed.signals]

    def _gathering(self, conversions: Mapping[str, Callable[[float], float]]) -> Rows:
        return Rows(conversions, self._feed.period_s, self._settings.together)

    def take_units(self, points: Mapping[str, PointDeclaration]) -> Sequence[tuple[str, str]]:
        """Converts from each point's unit to the model's."""
        problems, conversions = [], {}
        for signal in self._feed.signals:
            point = self._settings.inputs[signal.name]
            conversions[point] = _same
            declared = points.get(point)
            if declared is None or declared.unit == signal.unit:
                continue
            try:
                convert(0.0, declared.unit, signal.unit)
            except ValueError as error:
                text = f"signal {signal.name!r} of model {self._card.name} is in {signal.unit}, point {point!r} in {declared.unit}: {error}"
                problems.append((point, text))
            else:
                conversions[point] = partial(convert, source=declared.unit, target=signal.unit)
        self._rows = self._gathering(conversions)
        return problems

    def wants(self) -> frozenset[str]:
        return frozenset(self._settings.inputs.values())

    def points(self) -> Mapping[str, PointDeclaration]:
        card, prefix = self._card, self._settings.output
        asset, period = prefix.partition("/")[0], self._feed.period_s
        of = f"{card.name} {card.version}, SHA-256 {card.sha256[:16]}"
        scale = card.outputs[0].valid_range
        found = {
            f"{prefix}/{one.name}": PointDeclaration(
                one.unit,
                "score" if scale == (0, 1) and one.unit == "1" else "analog",
                scale,
                asset,
                {"es": f"{one.es} [{of}]", "en": f"{one.en} [{of}]"},
                None if period is None else period * self._settings.every,
            )
            for one in self._feed.outputs
        }
        found[f"{prefix}/{DRIFT}"] = PointDeclaration("1", "analog", (0, 1), asset, _DRIFT)
        if self._settings.candidate:
            text = {
                "es": f"Alarmas: {self._settings.candidate} menos {card.name}, parte de los puntajes",
                "en": f"Alarms: {self._settings.candidate} less {card.name}, share of scores",
            }
            found[f"{prefix}/{DIFFERENCE}"] = PointDeclaration("1", "analog", (-1, 1), asset, text)
        return found

    def cards(self) -> Sequence[Card]:
        """See `edge.processing.Modelled`."""
        return cards(self._settings.name, self._context, self._settings.model, self._settings.candidate)

    def start(self) -> None:
        """Loads the model. Raises Misconfigured where it is not what its card says, not signed as the site demands, or another than at the
        check of the configuration. A candidate that cannot be loaded is logged and left out."""
        model = opened(self._settings.name, self._settings.model, self._context)
        if model.card != self._card:
            raise Misconfigured(
                f"processor {self._settings.name}: model {self._card.name}: its card has changed since the node began, and with it what the node "
                "says of its points: restart the node"
            )
        if self._settings.candidate:
            try:
                candidate = opened(self._settings.name, self._settings.candidate, self._context)
                same_inputs(self._card, candidate.card)
            except (Misconfigured, ModelError) as error:
                self._report(f"candidate {self._settings.candidate} is left out: {error}")
            else:
                self._candidate = candidate
        self._model = model

    def process(self, item: Item) -> Sequence[Reading]:
        """The readings of each row that is complete with this one. Raises ModelFailed."""
        if not isinstance(item, Reading) or item.point not in self.wants():
            return []
        return [reading for row in self._rows.add(item) for reading in self._judged(row)]

    def _judged(self, row: Row) -> list[Reading]:
        for _ in range(min(row.missing, _MOST_MISSING)):
            self._prepared.add(None)
        if row.values is None:
            self._prepared.add(None)
            return self._told(row, {}, row.quality)
        unusable = self._prepared.add(row.values) or self._prepared.waiting
        if unusable:
            return self._told(row, {}, bad(unusable))
        drift = self._drift.add(self._prepared.features())
        self._since += 1
        if self._since < self._settings.every:
            return []
        self._since = 0
        if self._model is None:
            return self._told(row, {}, bad("no_model"))
        inputs = self._prepared.inputs()
        values = self._scored(self._model, inputs)
        quality = worst(row.quality, uncertain("incomplete")) if self._prepared.held else row.quality
        if self._model.outside(inputs):
            quality = worst(quality, uncertain("outside_training"))
        return self._told(row, values, quality, drift, self._compared(inputs, values))

    def _scored(self, model: "Model", inputs: "Mapping[str, Array]") -> dict[str, float]:
        """The reported values of one score, by name."""
        try:
            found = np.concatenate([output.reshape(-1) for output in model.run(inputs).values()])
        except Exception as error:  # whatever the runtime or an accelerator under it raises
            raise ModelFailed(
                f"model {model.name} {model.card.version}: {type(error).__name__}: {str(error).splitlines()[0][:300]}"
            ) from error
        outputs = reported(model.card)
        if len(found) != len(outputs) or not np.isfinite(found).all():
            raise ModelFailed(f"model {model.name} {model.card.version}: gave {found[:8]}; {len(outputs)} finite numbers are needed")
        return {one.name: float(value) for one, value in zip(outputs, found, strict=True)}

    def _compared(self, inputs: "Mapping[str, Array]", values: dict[str, float]) -> tuple[float | None, Quality]:
        if self._candidate is None:
            return None, bad("no_candidate")
        try:
            difference = self._rates.add(calls(self._card, values), calls(self._candidate.card, self._scored(self._candidate, inputs)))
        except (ModelFailed, ModelError) as error:
            self._report(f"candidate: {error}")
            return None, bad("candidate_failed")
        return difference, bad("gathering")

    def _told(
        self,
        row: Row,
        values: Mapping[str, float],
        quality: Quality,
        drift: float | None = None,
        difference: tuple[float | None, Quality] = (None, bad("no_score")),
    ) -> list[Reading]:
        prefix, time_ns = self._settings.output, row.time_ns
        readings = [Reading(f"{prefix}/{one.name}", time_ns, values.get(one.name), quality) for one in self._feed.outputs]
        why = bad("gathering") if values else quality
        readings.append(
            Reading(f"{prefix}/{DRIFT}", time_ns, drift) if drift is not None else Reading(f"{prefix}/{DRIFT}", time_ns, None, why)
        )
        if self._settings.candidate:
            point, (value, reason) = f"{prefix}/{DIFFERENCE}", difference
            readings.append(Reading(point, time_ns, value) if value is not None else Reading(point, time_ns, None, reason))
        return readings

    def state(self) -> str:
        """What was learnt here, for a restart."""
        return json.dumps({"of": self._identity(), "place": self._rows.place, "prepared": self._prepared.state()})

    def restore(self, text: str) -> None:
        """What `state` gave; of another model, other points or another baseline, it is left alone. Raises where it is damaged."""
        state = json.loads(text)
        if state["of"] == self._identity():
            self._prepared.restore(state["prepared"])
            self._rows.begin_after(state["place"])

    def _identity(self) -> list[str]:
        return [self._card.sha256, self._settings.baseline, *self._points_in_order()]

    def _report(self, what: str) -> None:
        """Logs an error once, not with every row."""
        if what != self._reported:
            log.error("processor %s: %s", self._settings.name, what)
            self._reported = what


def _same(value: float) -> float:
    return value
