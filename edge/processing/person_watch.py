"""Persons in the pictures of a camera: in zones and for how long, over lines, without helmet or vest, near a vehicle. Readings, never the picture.

ISO 13374 block: state detection. Advisory: it stops no machine and clears no place.
"""

import json
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from contract.messages import PointDeclaration
from contract.values import GOOD, Quality, Reading, bad, uncertain
from edge.errors import Misconfigured
from edge.evidence_picture import black_out
from edge.items import Frame, Item
from edge.processing import ProcessorContext, ProcessorSettings
from edge.processing.detector_model import DetectorModel
from edge.processing.models import ModelFailed, cards
from edge.processing.news import News
from edge.processing.tracking import WEAK
from edge.processing.watch_candidate import WatchCandidate
from edge.processing.watch_evidence import WatchEvidence
from edge.processing.watch_settings import PersonWatchSettings
from edge.processing.watching import View, Watch
from models.cards import Card

Array = np.ndarray[Any, np.dtype[Any]]

MOST = 1000.0
FAR = 1000.0  # m
LONGEST = 86_400.0  # s
STEP = 0.5  # m in which distances are told, else each picture would bring a message
RATE_WINDOW = 5.0  # s
_LENS = ("covered", "dark", "blurred", "frozen")
_ITEMS = {"helmet": ("casco", "helmet"), "vest": ("chaleco", "vest")}


class PersonWatchProcessor:
    """Readings under ``CAMERA/UNDER/``: people, zone/NAME/people and dwell (s), line/NAME/to_left and to_right, no_helmet, no_vest, near_vehicle,
    vehicle_distance and its error (m), latency (ms).
    """

    Settings: ClassVar[type[ProcessorSettings]] = PersonWatchSettings

    def __init__(self, settings: ProcessorSettings, context: ProcessorContext) -> None:
        if not isinstance(settings, PersonWatchSettings):
            raise TypeError(f"PersonWatchProcessor takes PersonWatchSettings, not {type(settings).__name__}")
        self._settings = settings
        self._context = context
        self._prefix = f"{settings.input}/{settings.under}"
        self._model = DetectorModel(settings.name, settings.model, context)
        self._candidate = WatchCandidate(settings, settings.candidate, context) if settings.candidate else None
        self._watch: Watch | None = None
        self._crossed: dict[str, tuple[int, int]] = {}  # before this start
        self._lens = dict.fromkeys((f"{settings.input}/image/{state}" for state in _LENS), False) if settings.lens else {}
        self._thresholds: dict[str, float] = {}
        self._looked_ns: int | None = None
        self._times: deque[int] = deque(maxlen=1200)
        self._names = [(point, point[len(self._prefix) + 1 :]) for point in self.points()]
        peaks = ["latency", *(f"zone/{zone}/dwell" for zone in settings.zones)]
        self._news = News((f"{self._prefix}/{name}" for name in peaks), settings.report)
        self._privacy = [np.array(polygon) for polygon in settings.privacy]
        self._evidence: WatchEvidence | None = None

    def wants(self) -> frozenset[str]:
        return frozenset((self._settings.input, *self._lens))

    def points(self) -> Mapping[str, PointDeclaration]:
        found: dict[str, PointDeclaration] = {}

        def declare(name: str, unit: str, most: float, texts: tuple[str, str], *, kind: str = "analog") -> None:
            text = dict(zip(("es", "en"), texts, strict=True))
            found[f"{self._prefix}/{name}"] = PointDeclaration(unit, kind, (0, most), self._settings.input, text)

        declare("people", "1", MOST, ("Personas confirmadas", "Persons confirmed"))
        for zone in self._settings.zones:
            declare(f"zone/{zone}/people", "1", MOST, (f"Personas en {zone}", f"Persons in {zone}"))
            declare(f"zone/{zone}/dwell", "s", LONGEST, (f"Permanencia más larga en {zone}", f"Longest stay in {zone}"))
        for line in self._settings.lines:
            declare(
                f"line/{line}/to_left",
                "1",
                1e9,
                (f"Cruces de {line} hacia la izquierda", f"Crossings of {line} to the left"),
                kind="counter",
            )
            declare(
                f"line/{line}/to_right",
                "1",
                1e9,
                (f"Cruces de {line} hacia la derecha", f"Crossings of {line} to the right"),
                kind="counter",
            )
        for item in self._settings.equipment:
            spanish, english = _ITEMS[item]
            declare(f"no_{item}", "1", MOST, (f"Personas sin {spanish}", f"Persons without {english}"))
        if self._settings.ground is not None:
            declare("near_vehicle", "1", MOST, ("Personas cerca de un vehículo", "Persons near a vehicle"))
            declare("vehicle_distance", "m", FAR, ("Distancia menor entre persona y vehículo", "Least distance from person to vehicle"))
            declare("vehicle_distance_error", "m", FAR, ("Error de esa distancia", "Error of that distance"))
        declare("latency", "ms", 60_000, ("Tiempo por imagen", "Time for one picture"))
        compared = self._candidate.points() if self._candidate is not None else {}
        return found | {f"{self._prefix}/{name}": declaration for name, declaration in compared.items()}

    def cards(self) -> Sequence[Card]:
        """See `edge.processing.Modelled`."""
        return cards(self._settings.name, self._context, self._settings.model, self._settings.candidate)

    def start(self) -> None:
        """Loads model and tracker. Raises Misconfigured where the model is missing, wrong, or no detector of these classes."""
        settings = self._settings
        self._model.load(settings.classes)
        usual = settings.threshold or self._model.threshold
        self._thresholds = {name: settings.thresholds.get(name, usual) for name in settings.classes}
        self._watch = Watch(settings, self._thresholds)
        if self._candidate is not None:
            self._candidate.load()
        if settings.evidence:
            if missing := [name for name in settings.blurred if name not in self._model.classes]:
                known = ", ".join(self._model.classes)
                raise Misconfigured(f"processor {settings.name}: model {settings.model}: cannot blur {', '.join(missing)}; it has {known}")
            self._evidence = WatchEvidence(settings)

    def state(self) -> str:
        """The crossings so far."""
        return json.dumps(self._crossings())

    def restore(self, text: str) -> None:
        known = json.loads(text)
        self._crossed = {name: (int(known[name][0]), int(known[name][1])) for name in self._settings.lines if name in known}

    def process(self, item: Item) -> Sequence[Reading]:
        """The readings of one picture; none while less than ``every`` has passed, or when it says what the last one did, for ``report``.

        All bad with the reason where it could not be looked at. Raises ModelFailed where the model fails.
        """
        if isinstance(item, Reading):
            if item.point in self._lens:
                self._lens[item.point] = item.value == 1
            return []
        # A tenth of grace: a camera at just that rate must not lose every second picture to jitter.
        if not isinstance(item, Frame) or (
            self._looked_ns is not None and 0 <= item.time_ns - self._looked_ns < self._settings.every * 0.9e9
        ):
            return []
        self._looked_ns = item.time_ns
        begun = time.perf_counter()
        image = black_out(item.image, self._privacy) if self._privacy else item.image
        try:
            view, quality = self._look(image, item.time_ns)
        except ModelFailed:
            self._news.forget()  # the agent says bad:processor_fault of every point
            raise
        latency = (time.perf_counter() - begun) * 1e3
        if view is None:
            return self._news.of([Reading(point, item.time_ns, None, quality) for point, _ in self._names], item.time_ns)
        values = self._values(view) | {"latency": (latency, GOOD)}
        if self._candidate is not None:
            values |= self._candidate.compared(image, view)
        told = [(point, *values[name]) for point, name in self._names]
        return self._news.of([Reading(point, item.time_ns, value, _worse(own, quality)) for point, value, own in told], item.time_ns)

    def evidence(self, point: str, time_ns: int) -> bytes | None:
        """The picture nearest to that time that shows whom the point is about, where it is one of this watch. See `Witness`."""
        if self._evidence is None or not point.startswith(f"{self._prefix}/"):
            return None
        return self._evidence.picture(point[len(self._prefix) + 1 :], time_ns)

    def _look(self, image: Array, time_ns: int) -> tuple[View | None, Quality]:
        if self._watch is None:
            return None, bad("no_model")
        found, quality = self._model.look(image, WEAK * min(self._thresholds.values()))
        if found is None:
            return None, quality
        height, width = image.shape[:2]
        names = [self._model.classes[label] for label in found.labels]
        boxes = found.boxes / np.array([width, height] * 2, np.float32)
        view = self._watch.update(boxes, found.scores, names, time_ns)
        if self._evidence is not None:
            usual = self._settings.threshold or self._model.threshold
            sure = found.scores >= np.array([self._thresholds.get(name, usual) for name in names])
            self._evidence.remember(image, boxes, names, sure, view)
        return view, self._trust(time_ns)

    def _trust(self, time_ns: int) -> Quality:
        """Uncertain while the lens is bad, or too few pictures come to follow anybody."""
        times = self._times
        if times and time_ns < times[-1]:
            times.clear()
        times.append(time_ns)
        while time_ns - times[0] > RATE_WINDOW * 1e9:
            times.popleft()
        for point, is_bad in self._lens.items():
            if is_bad:
                return uncertain(f"lens_{point.rpartition('/')[2]}")
        # Of the last two pictures, not of the window: a stall must show at once.
        span = time_ns - times[0]
        rate = (len(times) - 1) / span * 1e9 if span > 0 else 0.0
        return uncertain("slow_pictures") if rate < self._settings.least_rate else GOOD

    def _crossings(self) -> dict[str, tuple[int, int]]:
        now = self._watch.crossings if self._watch is not None else {}
        before = {line: self._crossed.get(line, (0, 0)) for line in self._settings.lines}
        return {line: (left + now.get(line, [0, 0])[0], right + now.get(line, [0, 0])[1]) for line, (left, right) in before.items()}

    def _values(self, view: View) -> dict[str, tuple[float | None, Quality]]:
        plain: dict[str, float] = {"people": view.people, "near_vehicle": view.near}
        for zone, (count, dwell) in view.zones.items():
            plain |= {f"zone/{zone}/people": count, f"zone/{zone}/dwell": min(dwell, LONGEST)}
        for line, (left, right) in self._crossings().items():
            plain |= {f"line/{line}/to_left": left, f"line/{line}/to_right": right}
        plain |= {f"no_{item}": count for item, count in view.lacking.items()}
        values: dict[str, tuple[float | None, Quality]] = {name: (float(value), GOOD) for name, value in plain.items()}
        if view.distance is None:
            return values | dict.fromkeys(("vehicle_distance", "vehicle_distance_error"), (None, bad("no_pair")))
        metres, error, among_marks = view.distance
        quality = GOOD if among_marks else uncertain("outside_marks")
        return values | {
            "vehicle_distance": (min(_step(metres), FAR), quality),
            "vehicle_distance_error": (min(_step(error + STEP / 2), FAR), quality),  # never told smaller than it is
        }


def _step(metres: float) -> float:
    return round(metres / STEP) * STEP


def _worse(own: Quality, whole: Quality) -> Quality:
    """A picture that cannot be trusted makes good readings uncertain; what a reading itself says goes before it."""
    return whole if own.good else own
