"""Objects that a model finds in the pictures of a camera: how many of each class, in the picture and in its zones.

ISO 13374 block: data manipulation. In shadow mode by itself: readings, and no alarm unless the site writes a rule. The picture stays here.
"""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, NamedTuple, Self

import numpy as np
from pydantic import Field, StringConstraints, model_validator

from contract.messages import PointDeclaration
from contract.values import Quality, Reading, check_point
from edge.errors import Misconfigured
from edge.evidence_picture import black_out, picture, smaller
from edge.items import Frame, Item
from edge.processing import ProcessorContext, ProcessorSettings
from edge.processing.candidate import CandidateDetector
from edge.processing.detector_model import DetectorModel
from edge.processing.models import ModelFailed, cards
from edge.processing.news import News
from edge.processing.zones import inside
from models.cards import Card
from models.detection import Detections

Array = np.ndarray[Any, np.dtype[Any]]
Share = Annotated[float, Field(ge=0, le=1)]
Polygon = Annotated[list[tuple[Share, Share]], Field(min_length=3, max_length=64)]
Word = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]

DIFFERENCE = "candidate/alarm_difference"
LOOKS = 6  # pictures kept for evidence, at most 3 MiB each
_UNSURE = 0.5  # of the threshold: from here a person is blurred in evidence, though not counted
MOST = 1000.0  # a count beyond is no count: the grid of the model has no more cells


class DetectorSettings(ProcessorSettings):
    """A camera, the model, and where to look. Places are fractions of the picture: [0, 0] is the upper left corner, [1, 1] the lower right."""

    input: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$", description="The camera")
    model: str = Field("people_vehicles", min_length=1, description="A model of the release by its name, or a path ending in .onnx")
    classes: list[Word] = Field(["person"], min_length=1, max_length=32, description="Classes of the model that are counted")
    threshold: float | None = Field(None, gt=0, lt=1, description="Score from which a box counts; without it, the one of the model's card")
    every: float = Field(0.0, ge=0, le=3600, description="Seconds between pictures that are looked at; 0 takes each")
    report: float = Field(5.0, ge=0, le=3600, description="Seconds between readings while no count changes; 0 tells of each picture")
    masks: list[Polygon] = Field([], max_length=32, description="Polygons to ignore: a box whose middle lies in one is dropped")
    zones: dict[Word, Polygon] = Field(
        {}, max_length=16, description="Polygons to count in, by name: the middle of a box's lower edge decides"
    )
    privacy: list[Polygon] = Field([], max_length=32, description="Polygons that are black for the model and in evidence")
    evidence: bool = Field(False, description="A picture goes with each alarm that begins on a count of this detector")
    blur: list[Word] = Field(["person"], max_length=32, description="Classes that are blurred in evidence unless the alarm is about them")
    blur_heads: bool = Field(False, description="The upper quarter of the boxes that the alarm is about is blurred too")
    candidate: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="A second model that looks at the same pictures; its counts are told nowhere, only how much oftener it would call"
    )
    candidate_pictures: int = Field(500, ge=20, le=100_000, description="Pictures that the difference in alarms is told of")
    under: Word = Field("objects", description="The points are CAMERA/UNDER/…; give a second detector of a camera another word")

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes {self.classes}: each is named once")
        if taken := set(self.zones) & {*self.classes, *(f"{label}_score" for label in self.classes), "latency"}:
            raise ValueError(f"zones {sorted(taken)}: the name is taken by a class or by latency; choose another")
        for label in self.classes:
            for zone in ("", *(f"{zone}/" for zone in self.zones)):
                check_point(f"{self.input}/{self.under}/{zone}{label}")
        return self


class Look(NamedTuple):
    """What the model found in one picture, kept for evidence: ``sure`` boxes count, the others are only blurred."""

    time_ns: int
    image: Array
    found: Detections
    sure: Array


class DetectorProcessor:
    """Readings under ``CAMERA/UNDER/``: CLASS (count), CLASS_score (highest), ZONE/CLASS (count in the zone), latency (ms).

    A count or quality that changes is told with its picture. Pictures that say the same are told each ``report`` seconds, and the highest score
    and latency among those between at their own time: a commit on the flash and a message for each picture would cost more than they tell.
    """

    Settings: ClassVar[type[ProcessorSettings]] = DetectorSettings

    def __init__(self, settings: ProcessorSettings, context: ProcessorContext) -> None:
        if not isinstance(settings, DetectorSettings):
            raise TypeError(f"DetectorProcessor takes DetectorSettings, not {type(settings).__name__}")
        self._settings = settings
        self._context = context
        self._prefix = f"{settings.input}/{settings.under}"
        self._masks = [np.array(polygon) for polygon in settings.masks]
        self._zones = {name: np.array(polygon) for name, polygon in settings.zones.items()}
        self._privacy = [np.array(polygon) for polygon in settings.privacy]
        self._looks: deque[Look] = deque(maxlen=LOOKS)
        self._model = DetectorModel(settings.name, settings.model, context)
        self._candidate: CandidateDetector | None = None
        if settings.candidate:
            self._candidate = CandidateDetector(settings.name, settings.candidate, context, settings.candidate_pictures)
        self._threshold = 1.0
        self._looked_ns: int | None = None
        peaks = ("latency", *(f"{label}_score" for label in settings.classes))
        self._news = News((f"{self._prefix}/{name}" for name in peaks), settings.report)
        self._names = [(point, point[len(self._prefix) + 1 :]) for point in self.points()]

    def wants(self) -> frozenset[str]:
        return frozenset((self._settings.input,))

    def points(self) -> Mapping[str, PointDeclaration]:
        asset, found = self._settings.input, {}
        for label in self._settings.classes:
            counted = {"es": f"Detectados: {label}", "en": f"Detected: {label}"}
            found[label] = PointDeclaration("1", "analog", (0, MOST), asset, counted)
            best = {"es": f"Mayor puntaje: {label}", "en": f"Highest score: {label}"}
            found[f"{label}_score"] = PointDeclaration("1", "score", (0, 1), asset, best)
            for zone in self._zones:
                inside = {"es": f"Detectados en {zone}: {label}", "en": f"Detected in {zone}: {label}"}
                found[f"{zone}/{label}"] = PointDeclaration("1", "analog", (0, MOST), asset, inside)
        taken = {"es": "Tiempo de inferencia por imagen", "en": "Time to look at one picture"}
        found["latency"] = PointDeclaration("ms", "analog", (0, 60_000), asset, taken)
        if self._settings.candidate:
            text = {
                "es": f"Imágenes con alarma: {self._settings.candidate} menos {self._settings.model}, parte de todas",
                "en": f"Pictures that call: {self._settings.candidate} less {self._settings.model}, share of all",
            }
            found[DIFFERENCE] = PointDeclaration("1", "analog", (-1, 1), asset, text)
        return {f"{self._prefix}/{name}": declaration for name, declaration in found.items()}

    def cards(self) -> Sequence[Card]:
        """See `edge.processing.Modelled`."""
        return cards(self._settings.name, self._context, self._settings.model, self._settings.candidate)

    def start(self) -> None:
        """Loads the model. Raises Misconfigured where there is none, its card is missing or wrong, or it is no detector of these classes.

        A candidate that cannot be loaded is logged and left out.
        """
        self._model.load(self._settings.classes)
        if self._settings.evidence and (missing := [label for label in self._settings.blur if label not in self._model.classes]):
            known = ", ".join(self._model.classes)
            raise Misconfigured(
                f"processor {self._settings.name}: model {self._settings.model}: cannot blur {', '.join(missing)}; it has {known}"
            )
        self._threshold = self._settings.threshold or self._model.threshold
        if self._candidate is not None:
            self._candidate.load(self._settings.classes)

    def process(self, item: Item) -> Sequence[Reading]:
        """The readings of one picture; none while less than ``every`` has passed, or when it says what the last one did, for ``report``.

        All bad with the reason where it could not be looked at. Raises ModelFailed where the model fails.
        """
        if not isinstance(item, Frame) or item.camera != self._settings.input:
            return []
        # A tenth of grace: a camera at just that rate must not lose every second picture to jitter.
        if self._looked_ns is not None and 0 <= item.time_ns - self._looked_ns < self._settings.every * 0.9e9:
            return []
        self._looked_ns = item.time_ns
        begun = time.perf_counter()
        image = black_out(item.image, self._privacy) if self._privacy else item.image
        try:
            found, quality = self._look(image, item.time_ns)
        except ModelFailed:
            self._news.forget()  # the agent says bad:processor_fault of every point
            raise
        latency = (time.perf_counter() - begun) * 1e3
        height, width = item.image.shape[:2]
        values = {} if found is None else self._values(self._model.classes, found, width, height) | {"latency": latency}
        told = {name: (values.get(name), quality) for _, name in self._names}
        if self._candidate is not None and found is not None:
            told[DIFFERENCE] = self._compared(self._candidate, image, self._calls(values))
        return self._news.of([Reading(point, item.time_ns, *told[name]) for point, name in self._names], item.time_ns)

    def _compared(self, candidate: CandidateDetector, image: Array, active: bool) -> tuple[float | None, Quality]:
        """How much oftener the candidate calls, with this picture."""
        found, quality = candidate.look(image, candidate.threshold)
        if found is None:
            return None, quality
        values = self._values(candidate.classes, found, image.shape[1], image.shape[0])
        return candidate.compared({DIFFERENCE: active}, {DIFFERENCE: self._calls(values)})[DIFFERENCE]

    def _calls(self, values: Mapping[str, float]) -> bool:
        return any(values[label] > 0 for label in self._settings.classes)

    def evidence(self, point: str, time_ns: int) -> bytes | None:
        """The picture that was looked at nearest to that time, where the point is one of this detector's counts or scores. See `Witness`."""
        if not self._settings.evidence or not point.startswith(f"{self._prefix}/"):
            return None
        zone, _, label = point[len(self._prefix) + 1 :].rpartition("/")
        label = label if label in self._settings.classes else label.removesuffix("_score")
        looks = tuple(self._looks)
        if label not in self._model.classes or not looks:
            return None
        look = min(looks, key=lambda look: abs(look.time_ns - time_ns))
        height, width = look.image.shape[:2]
        boxes, share = look.found.boxes, np.array([width, height], np.float32)
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2
        about = look.sure & (look.found.labels == self._model.classes.index(label))
        for mask in self._masks:
            about &= ~inside(middle / share, mask)
        if zone:
            about &= inside(np.stack([middle[:, 0], boxes[:, 3]], axis=1) / share, self._zones[zone])
        hidden = np.isin(look.found.labels, [self._model.classes.index(other) for other in self._settings.blur]) & ~about
        for x, y in middle[about]:  # whoever wears, or lacks, what the alarm is about is part of it
            hidden &= ~((boxes[:, 0] <= x) & (x <= boxes[:, 2]) & (boxes[:, 1] <= y) & (y <= boxes[:, 3]))
        return picture(look.image, boxes[about], boxes[hidden], heads=self._settings.blur_heads)

    def _remember(self, image: Array, time_ns: int, found: Detections, sure: Array) -> None:
        small, scale = smaller(image)
        self._looks.append(Look(time_ns, small, found._replace(boxes=found.boxes * scale), sure))

    def _look(self, image: Array, time_ns: int) -> tuple[Detections | None, Quality]:
        found, quality = self._model.look(image, self._threshold * _UNSURE if self._settings.evidence else self._threshold)
        if found is None or not self._settings.evidence:
            return found, quality
        sure = found.scores >= self._threshold
        self._remember(image, time_ns, found, sure)
        return Detections(found.boxes[sure], found.scores[sure], found.labels[sure]), quality

    def _values(self, classes: Sequence[str], found: Detections, width: int, height: int) -> dict[str, float]:
        if not found.scores.size:  # most pictures of most cameras
            return {name: 0.0 for _, name in self._names}
        left, top, right, bottom = (found.boxes / np.array([width, height] * 2, np.float32)).T
        middle, feet = np.stack([(left + right) / 2, (top + bottom) / 2], axis=1), np.stack([(left + right) / 2, bottom], axis=1)
        seen = np.ones(len(found.scores), bool)
        for mask in self._masks:
            seen &= ~inside(middle, mask)
        within = {zone: inside(feet, polygon) for zone, polygon in self._zones.items()}
        values: dict[str, float] = {}
        for label in self._settings.classes:
            chosen = seen & (found.labels == classes.index(label))
            values[label] = float(chosen.sum())
            values[f"{label}_score"] = float(found.scores[chosen].max(initial=0.0))
            values |= {f"{zone}/{label}": float((chosen & there).sum()) for zone, there in within.items()}
        return values
