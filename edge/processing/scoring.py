"""Scores from models: the condition of a rolling bearing from an acceleration waveform and the shaft speed.

ISO 13374 block: health assessment. Nothing is smoothed: each waveform is scored by itself.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from contract.messages import PointDeclaration
from contract.values import GOOD, Quality, Reading, bad, check_point, uncertain
from edge.errors import Misconfigured
from edge.items import Item, Waveform
from edge.processing import ProcessorContext, ProcessorSettings
from edge.processing.models import ModelFailed, cards, opened
from edge.processing.speed import NO_SPEED, BearingSettings, Shaft, ShaftSettings
from models.bearing import REVOLUTIONS, features
from models.cards import Card

if TYPE_CHECKING:
    from models.runtime import Model

CLASSES = ("normal", "inner", "outer", "ball")
_DESCRIPTIONS = {
    "normal": {"es": "Rodamiento: normal (puntaje)", "en": "Bearing: normal (score)"},
    "inner": {"es": "Rodamiento: falla en pista interior (puntaje)", "en": "Bearing: inner race fault (score)"},
    "outer": {"es": "Rodamiento: falla en pista exterior (puntaje)", "en": "Bearing: outer race fault (score)"},
    "ball": {"es": "Rodamiento: falla en elemento rodante (puntaje)", "en": "Bearing: rolling element fault (score)"},
    "fault": {"es": "Rodamiento: alguna falla (1 − normal)", "en": "Bearing: any fault (1 − normal)"},
}
_UNITS = ("g", "m/s2")  # the features do not depend on gain; a unit of velocity would be another signal


class BearingConditionSettings(ShaftSettings):
    """A waveform point of acceleration, the speed, the bearing, and the model that scores it."""

    bearing: BearingSettings = Field(description="Geometry of the bearing")
    model: str = Field("bearing_condition", min_length=1, description="A model of the release by its name, or a path ending in .onnx")

    @model_validator(mode="after")
    def _has_speed(self) -> Self:
        if self.rpm is None and self.rpm_point is None:
            raise ValueError("the model needs the shaft speed; write rpm: NUMBER or rpm_point: POINT")
        check_point(f"{self.input}/bearing/normal")
        return self


class BearingConditionProcessor:
    """Scores from 0 to 1 under ``INPUT/bearing/``: normal, inner, outer, ball, and fault, which is 1 − normal."""

    Settings: ClassVar[type[ProcessorSettings]] = BearingConditionSettings

    def __init__(self, settings: ProcessorSettings, context: ProcessorContext) -> None:
        if not isinstance(settings, BearingConditionSettings):
            raise TypeError(f"BearingConditionProcessor takes BearingConditionSettings, not {type(settings).__name__}")
        self._settings = settings
        self._context = context
        self._shaft = Shaft(settings)
        self._geometry = settings.bearing.geometry()
        self._prefix = f"{settings.input}/bearing"
        self._model: Model | None = None
        self._output = ""
        self._columns: dict[str, int] = {}

    def wants(self) -> frozenset[str]:
        return frozenset(name for name in (self._settings.input, self._settings.rpm_point) if name is not None)

    def points(self) -> Mapping[str, PointDeclaration]:
        asset = self._settings.input.partition("/")[0]
        return {f"{self._prefix}/{name}": PointDeclaration("1", "score", (0, 1), asset, text) for name, text in _DESCRIPTIONS.items()}

    def cards(self) -> Sequence[Card]:
        """See `edge.processing.Modelled`."""
        return cards(self._settings.name, self._context, self._settings.model)

    def start(self) -> None:
        """Loads the model. Raises Misconfigured where there is none, its card is missing or wrong, or it is no bearing model."""
        name = self._settings.model
        model = opened(self._settings.name, name, self._context)
        for tensor in model.card.outputs:
            if set(CLASSES) <= set(tensor.labels):
                self._output = tensor.name
                self._columns = {label: tensor.labels.index(label) for label in CLASSES}
        inputs = [tensor.name for tensor in model.card.inputs]
        if not self._output or inputs != ["features"]:
            raise Misconfigured(
                f"processor {self._settings.name}: model {name}: has inputs {inputs} and no output labelled {', '.join(CLASSES)}: "
                "it is no bearing-condition model"
                if not self._output
                else f"processor {self._settings.name}: model {name}: has inputs {inputs}; one named features is needed"
            )
        self._model = model

    def process(self, item: Item) -> Sequence[Reading]:
        """The scores of one waveform, at the time of its last sample; all bad with the reason where it could not be scored. Raises ModelFailed."""
        if isinstance(item, Reading):
            self._shaft.update(item)
            return []
        if not isinstance(item, Waveform) or item.point != self._settings.input:
            return []
        time_ns = (item.start_ns + round(len(item.samples) / item.rate_hz * 1e9)) // 1_000_000 * 1_000_000
        scores, quality = self._score(item, time_ns)
        return [Reading(f"{self._prefix}/{name}", time_ns, scores.get(name), quality) for name in _DESCRIPTIONS]

    def _score(self, waveform: Waveform, time_ns: int) -> tuple[dict[str, float], Quality]:
        rpm, refused = self._shaft.at(time_ns)
        if refused is None and rpm is None:
            refused = NO_SPEED
        refused = refused or self._unfit(waveform, rpm or 0.0)
        if refused is not None or rpm is None:
            return {}, refused or NO_SPEED
        if self._model is None:
            return {}, bad("no_model")
        try:
            inputs = {"features": features(waveform.samples, waveform.rate_hz, rpm, self._geometry)[None, :]}
            values = self._model.run(inputs)[self._output].reshape(-1)
            outside = self._model.outside(inputs)
        except Exception as error:  # whatever the runtime or an accelerator under it raises
            raise ModelFailed(f"model {self._settings.model}: {type(error).__name__}: {error}") from error
        scores = {label: float(values[column]) for label, column in self._columns.items()}
        if not all(0 <= score <= 1 for score in scores.values()):  # false for NaN, too
            raise ModelFailed(f"model {self._settings.model}: scores are {scores}; 0 to 1 is expected")
        scores["fault"] = 1 - scores["normal"]
        if waveform.dropped:
            return scores, uncertain("dropped_samples")
        return scores, uncertain("outside_training") if outside else GOOD

    def _unfit(self, waveform: Waveform, rpm: float) -> Quality | None:
        samples, shaft_hz = waveform.samples, rpm / 60
        if waveform.unit not in _UNITS:
            return bad("wrong_unit")
        if waveform.rate_hz < 25 * self._geometry.orders().bpfi * shaft_hz:
            return bad("rate_too_low")
        if len(samples) < round(REVOLUTIONS * waveform.rate_hz / shaft_hz):
            return bad("short_waveform")  # the snapshot of the source must hold 24 revolutions
        if not bool(np.isfinite(samples).all()):
            return bad("sensor_fault")
        return bad("stuck") if samples.min() == samples.max() else None
