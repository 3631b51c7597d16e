"""Rocks on a belt in the pictures of a camera: P50, P80, oversize, and how much of the belt is bare.

ISO 13374 block: data manipulation. Advisory by itself: readings, and no alarm unless the site writes a rule. The picture stays here.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from contract.messages import PointDeclaration
from contract.values import GOOD, Quality, Reading, bad, check_point, uncertain
from edge.errors import Misconfigured
from edge.items import Frame, Item
from edge.processing import ProcessorContext, ProcessorSettings
from edge.processing.models import ModelFailed, cards, opened
from models.cards import Card
from models.rocks import LABELS, BadPicture, Rocks, decode, passing, preprocess

if TYPE_CHECKING:
    from models.runtime import Model

Array = np.ndarray[Any, np.dtype[Any]]
Share = Annotated[float, Field(ge=0, le=1)]
Word = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]

LARGEST = 5000.0  # mm; no belt carries more
_TEXTS = {
    "p50": ("Tamaño P50 en la faja", "Size P50 on the belt"),
    "p80": ("Tamaño P80 en la faja", "Size P80 on the belt"),
    "oversize": ("Parte del área en sobretamaño", "Share of the area that is oversize"),
    "bare": ("Faja a la vista", "Bare belt"),
    "rocks": ("Rocas que se juzgan", "Rocks that are judged"),
}


class Calibration(BaseModel):
    """Two places on the belt's surface, as fractions of the picture ([0, 0] upper left), and how far they lie apart."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    points: tuple[tuple[Share, Share], tuple[Share, Share]] = Field(
        description="For example two marks on a measuring tape that lies on the belt"
    )
    mm: float = Field(gt=0, le=20_000, description="Their distance")

    @model_validator(mode="after")
    def _apart(self) -> Self:
        (x1, y1), (x2, y2) = self.points
        if math.hypot(x2 - x1, y2 - y1) < 0.1:
            raise ValueError(
                f"points {self.points[0]} and {self.points[1]} lie together: mark two that are a tenth of the picture apart or more"
            )
        return self


class FragmentationSettings(ProcessorSettings):
    """A camera over a belt, and how large what it sees is."""

    input: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$", description="The camera")
    model: str = Field("rocks_belt", min_length=1, description="A model of the release by its name, or a path ending in .onnx")
    calibration: Calibration | None = Field(None, description="Without it sizes are in pixels and uncertain:uncalibrated")
    oversize: float = Field(gt=0, le=LARGEST, description="Size in mm (pixels without calibration) from which a rock is oversize")
    region: tuple[Share, Share, Share, Share] = Field((0.0, 0.0, 1.0, 1.0), description="Left, top, right, bottom of what is judged")
    scale: float = Field(1.0, gt=0.05, le=4, description="Pictures are enlarged by this before the model: its rocks were 25 to 60 pixels")
    every: float = Field(5.0, ge=0, le=3600, description="Seconds between pictures that are judged: the belt should have moved on")
    pictures: int = Field(20, ge=1, le=1000, description="Newest pictures whose rocks are judged together")
    least_rocks: int = Field(30, ge=1, le=10_000, description="Rocks below which sizes are bad:too_few_rocks")
    under: Word = Field("rocks", description="The points are CAMERA/UNDER/…")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        left, top, right, bottom = self.region
        if right - left < 0.05 or bottom - top < 0.05:
            raise ValueError(f"region {list(self.region)}: write left, top, right, bottom; each side a twentieth of the picture or more")
        check_point(f"{self.input}/{self.under}/oversize")
        return self


class FragmentationProcessor:
    """Readings under ``CAMERA/UNDER/``: p50 and p80 (mm), oversize and bare (%), rocks (how many are judged)."""

    Settings: ClassVar[type[ProcessorSettings]] = FragmentationSettings

    def __init__(self, settings: ProcessorSettings, context: ProcessorContext) -> None:
        if not isinstance(settings, FragmentationSettings):
            raise TypeError(f"FragmentationProcessor takes FragmentationSettings, not {type(settings).__name__}")
        self._settings = settings
        self._context = context
        self._model: Model | None = None
        self._core, self._grow = 0.5, 1.0
        self._looked_ns: int | None = None
        self._seen: deque[Rocks] = deque(maxlen=settings.pictures)
        self._shape: tuple[int, ...] = ()

    def wants(self) -> frozenset[str]:
        return frozenset((self._settings.input,))

    def points(self) -> Mapping[str, PointDeclaration]:
        asset = self._settings.input
        length = "mm" if self._settings.calibration is not None else "1"
        units = {"p50": length, "p80": length, "oversize": "%", "bare": "%", "rocks": "1"}
        ranges = {"oversize": (0.0, 100.0), "bare": (0.0, 100.0), "rocks": (0.0, 1e6)}
        return {
            f"{asset}/{self._settings.under}/{name}": PointDeclaration(
                unit, "analog", ranges.get(name, (0.0, LARGEST)), asset, {"es": _TEXTS[name][0], "en": _TEXTS[name][1]}
            )
            for name, unit in units.items()
        }

    def cards(self) -> Sequence[Card]:
        """See `edge.processing.Modelled`."""
        return cards(self._settings.name, self._context, self._settings.model)

    def start(self) -> None:
        """Loads the model. Raises Misconfigured where there is none, its card is missing or wrong, or it tells no rocks."""
        import cv2  # noqa: F401 - a second on a Pi, and not at the first picture

        name = self._settings.model
        where = f"processor {self._settings.name}: model"
        model = opened(self._settings.name, name, self._context)
        output = model.card.outputs[0]
        if len(model.card.outputs) != 1 or len(output.shape) != 4 or output.shape[1] != len(LABELS):
            raise Misconfigured(
                f"{where} {name}: its output has shape {output.shape}; (1, {len(LABELS)}, H, W) with {', '.join(LABELS)} is needed"
            )
        self._core, self._grow = model.card.threshold.value, _grow(model.card.threshold.why)
        self._model = model

    def process(self, item: Item) -> Sequence[Reading]:
        """The readings after one picture; none while less than ``every`` has passed. Raises ModelFailed."""
        settings = self._settings
        if not isinstance(item, Frame) or item.camera != settings.input:
            return []
        if self._looked_ns is not None and 0 <= item.time_ns - self._looked_ns < settings.every * 0.9e9:
            return []
        self._looked_ns = item.time_ns
        refused = self._look(item.image)
        if refused is not None:
            return [Reading(point, item.time_ns, None, refused) for point in self.points()]
        values = self._values()
        return [
            Reading(f"{settings.input}/{settings.under}/{name}", item.time_ns, value, self._quality(name, value))
            for name, value in values.items()
        ]

    def _look(self, image: Array) -> Quality | None:
        """Adds what a picture shows; why not, where it cannot be judged."""
        import cv2

        if self._model is None:
            return bad("no_model")
        try:
            left, top, right, bottom = self._settings.region
            height, width = image.shape[:2]
            part = image[round(top * height) : round(bottom * height), round(left * width) : round(right * width)]
            if self._settings.scale != 1:
                part = cv2.resize(part, None, fx=self._settings.scale, fy=self._settings.scale, interpolation=cv2.INTER_AREA)
            (shares,) = self._model.run({self._model.card.inputs[0].name: preprocess(np.ascontiguousarray(part))}, finite=True).values()
        except (BadPicture, ValueError, IndexError, cv2.error):
            return bad("no_picture")
        except Exception as error:  # whatever the runtime or an accelerator under it raises
            raise ModelFailed(f"model {self._settings.model}: {type(error).__name__}: {error}") from error
        if not np.isfinite(shares).all():
            raise ModelFailed(f"model {self._settings.model}: its output holds values that are not finite")
        if image.shape != self._shape:  # another camera or another setting of it: sizes do not mix
            self._seen.clear()
            self._shape = image.shape
        rocks = decode(shares, (part.shape[0], part.shape[1]), core=self._core, grow=self._grow)
        self._seen.append(rocks._replace(diameters=rocks.diameters * self._length()))
        return None

    def _length(self) -> float:
        """Millimetres (or pixels of the camera's picture) of one pixel that the model sees."""
        calibration = self._settings.calibration
        if calibration is None:
            return 1 / self._settings.scale
        height, width = self._shape[:2]
        (x1, y1), (x2, y2) = calibration.points
        return calibration.mm / math.hypot((x2 - x1) * width, (y2 - y1) * height) / self._settings.scale

    def _values(self) -> dict[str, float | None]:
        diameters = np.concatenate([rocks.diameters for rocks in self._seen])
        enough = len(diameters) >= self._settings.least_rocks
        together = Rocks(diameters, 0.0, 0.0)
        return {
            "p50": passing(diameters, 0.5) if enough else None,
            "p80": passing(diameters, 0.8) if enough else None,
            "oversize": 100 * together.oversize(self._settings.oversize) if enough else None,
            "bare": 100 * self._seen[-1].bare,
            "rocks": float(len(diameters)),
        }

    def _quality(self, name: str, value: float | None) -> Quality:
        if value is None:
            return bad("too_few_rocks")
        return uncertain("uncalibrated") if name in {"p50", "p80", "oversize"} and self._settings.calibration is None else GOOD


def _grow(why: str) -> float:
    """What diameters are multiplied by, as the card of the model says it with its threshold."""
    text = why.partition("diameters times ")[2].split(";")[0]
    try:
        return float(text)
    except ValueError:
        return 1.0
