"""Whether a camera can see: brightness, sharpness and motion of its pictures, and whether the lens is covered, dark, blurred or frozen.

ISO 13374 block: state detection, of the sensor itself. The picture stays on the device.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from contract.messages import PointDeclaration
from contract.values import Reading, bad
from edge.items import Frame, Item
from edge.processing import ProcessorContext, ProcessorSettings
from edge.processing.hold import Hold, check_hold

Grey = np.ndarray[Any, np.dtype[np.uint8]]

WIDTH = 320  # pixels of the grey copy that everything is computed on: thresholds then do not depend on the camera
MOTION_STEP = 20  # grey levels that a pixel changes by to count as changed; sensor noise and JPEG stay below
FPS_WINDOW = 5.0  # seconds
MAX_TIMES = 1200

_STATES = ("covered", "dark", "blurred", "frozen")
_MEASURES: dict[str, tuple[str, tuple[float, float], dict[str, str]]] = {
    "brightness": ("1", (0, 255), {"es": "Brillo medio de la imagen", "en": "Mean brightness of the picture"}),
    "contrast": ("1", (0, 128), {"es": "Contraste (desviación estándar)", "en": "Contrast (standard deviation)"}),
    "sharpness": ("1", (0, 100_000), {"es": "Nitidez (varianza del laplaciano)", "en": "Sharpness (variance of the Laplacian)"}),
    "motion": ("1", (0, 1), {"es": "Fracción de píxeles que cambiaron", "en": "Fraction of pixels that changed"}),
    "fps": ("1/s", (0, 240), {"es": "Imágenes por segundo", "en": "Pictures per second"}),
}
_LENS = {
    "covered": {"es": "Lente cubierto", "en": "Lens covered"},
    "dark": {"es": "Imagen oscura", "en": "Picture dark"},
    "blurred": {"es": "Imagen borrosa", "en": "Picture blurred"},
    "frozen": {"es": "Imagen congelada", "en": "Picture frozen"},
}


class CameraCheckSettings(ProcessorSettings):
    """A camera, and from when on its picture counts as bad. Brightness and contrast are grey levels from 0 to 255."""

    input: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$", description="The camera")
    every: float = Field(1.0, ge=0, le=3600, description="Seconds between readings; a lens state that changes is reported at once")
    dark_below: float = Field(20.0, ge=0, le=255, description="Mean brightness")
    covered_below: float = Field(8.0, ge=0, le=128, description="Contrast (standard deviation) of a picture that is not dark")
    blurred_below: float = Field(60.0, ge=0, description="Sharpness (variance of the Laplacian) of a picture neither dark nor covered")
    frozen_after: float = Field(5.0, gt=0, le=3600, description="Seconds without a single pixel changing")
    hold: tuple[int, int] = Field(
        (4, 5), description="[k, n]: a state begins when k of the last n pictures show it, and ends when n - k or fewer do"
    )

    @model_validator(mode="after")
    def _k_of_n(self) -> Self:
        check_hold(self.hold, "hold")
        return self


class Measures(NamedTuple):
    """Of one grey picture: mean, standard deviation, variance of the Laplacian."""

    brightness: float
    contrast: float
    sharpness: float


def grey_copy(image: np.ndarray[Any, np.dtype[np.uint8]]) -> Grey:
    """The picture (height, width, 3; BGR) in grey, WIDTH wide, shape (height', WIDTH)."""
    import cv2

    height, width = image.shape[:2]
    # Grey after shrinking: a tenth of the work at 1080p.
    small = cv2.resize(image, (WIDTH, max(3, round(height * WIDTH / width))), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)


def measure(grey: Grey) -> Measures:
    import cv2

    mean, deviation = cv2.meanStdDev(grey)
    return Measures(float(mean[0, 0]), float(deviation[0, 0]), float(cv2.Laplacian(grey, cv2.CV_32F).var()))


def motion(before: Grey, after: Grey) -> float:
    """The fraction of pixels that changed by more than MOTION_STEP grey levels, 0 to 1."""
    import cv2

    return float(np.count_nonzero(cv2.absdiff(before, after) > MOTION_STEP)) / after.size


def lens_fault(measures: Measures, settings: CameraCheckSettings) -> str | None:
    """dark, covered or blurred, in this order; None for a picture that shows something."""
    if measures.brightness < settings.dark_below:
        return "dark"
    if measures.contrast < settings.covered_below:
        return "covered"
    return "blurred" if measures.sharpness < settings.blurred_below else None


class CameraCheckProcessor:
    """Readings under ``CAMERA/image/``: brightness, contrast, sharpness, motion, fps; and covered, dark, blurred, frozen as 0 or 1."""

    Settings: ClassVar[type[ProcessorSettings]] = CameraCheckSettings

    def __init__(self, settings: ProcessorSettings, context: ProcessorContext) -> None:
        if not isinstance(settings, CameraCheckSettings):
            raise TypeError(f"CameraCheckProcessor takes CameraCheckSettings, not {type(settings).__name__}")
        del context
        self._settings = settings
        self._prefix = f"{settings.input}/image"
        self._holds = {name: Hold(*settings.hold) for name in _STATES}
        self._before: Grey | None = None
        self._changed_ns = 0
        self._times: deque[int] = deque(maxlen=MAX_TIMES)
        self._reported_ns: int | None = None
        self._states: tuple[bool, ...] = ()

    def wants(self) -> frozenset[str]:
        return frozenset((self._settings.input,))

    def points(self) -> Mapping[str, PointDeclaration]:
        asset = self._settings.input
        found = {name: PointDeclaration(unit, "analog", limits, asset, text) for name, (unit, limits, text) in _MEASURES.items()}
        found |= {name: PointDeclaration("bool", "digital", None, asset, text) for name, text in _LENS.items()}
        return {f"{self._prefix}/{name}": declaration for name, declaration in found.items()}

    def start(self) -> None:
        """Imports OpenCV, so that the first picture is no slower than the others."""
        import cv2

        cv2.setNumThreads(1)

    def process(self, item: Item) -> Sequence[Reading]:
        """The readings of one picture; none while less than ``every`` seconds have passed and no lens state changed."""
        if not isinstance(item, Frame) or item.camera != self._settings.input:
            return []
        if item.image.size == 0 or item.image.ndim != 3:
            return [Reading(point, item.time_ns, None, bad("no_picture")) for point in self.points()]
        grey = grey_copy(item.image)
        measures = measure(grey)
        moved, fps = self._observe_motion(grey, item.time_ns), self._fps(item.time_ns)
        fault = lens_fault(measures, self._settings)
        if fault in ("dark", "covered"):
            self._changed_ns = item.time_ns  # nothing to see: equal pictures prove nothing there
        frozen = item.time_ns - self._changed_ns >= self._settings.frozen_after * 1e9
        states = tuple(self._holds[name].update(frozen if name == "frozen" else fault == name) for name in _STATES)
        every = self._settings.every * 1e9
        due = self._reported_ns is None or item.time_ns < self._reported_ns or item.time_ns - self._reported_ns >= every
        if not due and states == self._states:
            return []
        self._reported_ns, self._states = item.time_ns, states
        values = measures._asdict() | {"motion": moved, "fps": fps} | {name: float(on) for name, on in zip(_STATES, states, strict=True)}
        # Motion and rate need two pictures: with the first one they are left out.
        return [Reading(f"{self._prefix}/{name}", item.time_ns, value) for name, value in values.items() if value is not None]

    def _observe_motion(self, grey: Grey, time_ns: int) -> float | None:
        """Motion since the picture before; None for the first one, and after a change of size. Notes when a pixel last changed."""
        before, self._before = self._before, grey
        if before is None or before.shape != grey.shape or time_ns < self._changed_ns:
            self._changed_ns = time_ns
            return None
        if not np.array_equal(before, grey):  # a sensor that lives has noise in every picture
            self._changed_ns = time_ns
        return motion(before, grey)

    def _fps(self, time_ns: int) -> float | None:
        """Pictures a second over the last FPS_WINDOW seconds; None for the first picture."""
        times = self._times
        if times and time_ns < times[-1]:
            times.clear()
        times.append(time_ns)
        while time_ns - times[0] > FPS_WINDOW * 1e9:
            times.popleft()
        span = time_ns - times[0]
        return (len(times) - 1) / span * 1e9 if span > 0 else None
