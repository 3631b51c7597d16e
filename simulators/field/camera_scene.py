"""What the simulated camera sees: a conveyor gallery with a person walking and a vehicle passing, and the ground truth of each picture."""

import math
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, FPS = 640, 360, 5
Image = NDArray[np.uint8]  # shape (HEIGHT, WIDTH, 3), BGR

_FLOOR, _BELT_TOP, _BELT_BOTTOM = 250, 170, 215  # rows
_PERSON_LAP, _VEHICLE_LAP, _VEHICLE_PASS = 24.0, 40.0, 12.0  # seconds
_BELT_PIXELS_PER_S = 90.0


class Lens(StrEnum):
    CLEAR = "clear"
    COVERED = "covered"  # mud or a cloth: no structure left
    DARK = "dark"  # the lights are out
    FROZEN = "frozen"  # the same picture again and again
    BLURRED = "blurred"  # dust or a lost focus


class Box(NamedTuple):
    """Pixels from the upper left corner."""

    label: str
    x: int
    y: int
    width: int
    height: int


class Truth(NamedTuple):
    """What is in one picture; ``boxes`` also lists what a bad lens hides, because it is there."""

    frame: int
    lens: Lens
    boxes: tuple[Box, ...]

    def as_json(self) -> dict[str, Any]:
        return {"frame": self.frame, "lens": self.lens.value, "boxes": [box._asdict() for box in self.boxes]}


class Scene:
    """Draws pictures. Everything but the sensor noise is a function of the time in seconds; a frozen lens repeats the last one drawn."""

    def __init__(self, seed: int = 1, *, empty: bool = False) -> None:
        """``empty``: nobody walks and nothing drives."""
        self._empty = empty
        generator = np.random.default_rng(seed)
        self._background = _background(generator)
        self._noise = generator.integers(0, 5, (8, HEIGHT, WIDTH, 1), dtype=np.uint8)
        self._phase = float(generator.uniform(0, 1))
        self._last: tuple[Image, tuple[Box, ...]] | None = None

    def boxes(self, seconds: float) -> tuple[Box, ...]:
        """The person, and the vehicle while it is in sight."""
        if self._empty:
            return ()
        lap = (seconds / _PERSON_LAP + self._phase) % 1.0
        across = 1 - abs(2 * lap - 1)  # there and back
        step = 3 * math.sin(2 * math.pi * 1.8 * seconds)
        found = [Box("person", round(30 + across * (WIDTH - 120)), round(198 + step / 2), 44, 122)]
        vehicle = seconds % _VEHICLE_LAP
        if vehicle < _VEHICLE_PASS:
            x = round(-150 + (WIDTH + 150) * vehicle / _VEHICLE_PASS)
            left, right = max(x, 0), min(x + 150, WIDTH)
            if right - left > 8:
                found.append(Box("vehicle", left, 70, right - left, 84))
        return tuple(found)

    def picture(self, frame: int, seconds: float, lens: Lens = Lens.CLEAR) -> tuple[Image, Truth]:
        """Picture number ``frame`` as the lens shows it, and what is in it."""
        if lens is Lens.FROZEN and self._last is not None:
            image, boxes = self._last
            return image, Truth(frame, lens, boxes)
        boxes = self.boxes(seconds)
        image = self._draw(seconds, boxes)
        match lens:
            case Lens.COVERED:
                image = _mud(seconds)
            case Lens.DARK:
                image = (image // 24).astype(np.uint8)
            case Lens.BLURRED:
                image = _blur(image)
        grain = self._noise[frame % len(self._noise)]
        image = image + (grain // 4 if lens in (Lens.COVERED, Lens.DARK) else grain)
        self._last = image, boxes
        return image, Truth(frame, lens, boxes)

    def _draw(self, seconds: float, boxes: tuple[Box, ...]) -> Image:
        image = self._background.copy()
        shift = int(_BELT_PIXELS_PER_S * seconds)
        image[_BELT_TOP:_BELT_BOTTOM] = np.roll(image[_BELT_TOP:_BELT_BOTTOM], shift % WIDTH, axis=1)
        for box in boxes:
            if box.label == "vehicle":
                _draw_vehicle(image, box)
        for box in boxes:
            if box.label == "person":
                _draw_person(image, box, seconds)
        return image


def _background(generator: np.random.Generator) -> Image:
    """Rock wall, lamps, a belt with ore, a floor: structure everywhere, brightness 20 to 200."""
    rows = np.linspace(60, 120, HEIGHT)[:, None]
    rock = np.repeat(np.repeat(generator.normal(0, 9, (HEIGHT // 6, WIDTH // 8)), 6, axis=0), 8, axis=1)
    grey = rows + rock
    grey[_FLOOR:] = np.linspace(95, 140, HEIGHT - _FLOOR)[:, None] + rock[_FLOOR:] / 2
    for column in range(40, WIDTH, 140):  # roof supports and lamps
        grey[:_BELT_TOP, column : column + 8] = 45
        grey[18:26, column + 50 : column + 80] = 225
    ore = np.repeat(np.repeat(generator.uniform(30, 110, (9, WIDTH // 8)), 5, axis=0), 8, axis=1)
    grey[_BELT_TOP:_BELT_BOTTOM] = ore
    grey[_BELT_BOTTOM : _BELT_BOTTOM + 6] = 170
    image = np.clip(grey, 0, 240)[:, :, None] * np.array([0.88, 0.96, 1.0])
    return np.asarray(image, np.uint8)


def _draw_person(image: Image, box: Box, seconds: float) -> None:
    """Helmet, head, orange vest with a reflecting band, legs that walk."""
    _, x, y, width, height = box
    middle = x + width // 2
    stride = round(9 * math.sin(2 * math.pi * 0.9 * seconds))
    _disc(image, middle, y + 14, 12, (110, 150, 190))
    image[y : y + 11, middle - 13 : middle + 14] = (40, 220, 245)
    image[y + 28 : y + 74, x + 4 : x + width - 4] = (20, 110, 245)
    image[y + 48 : y + 54, x + 4 : x + width - 4] = (210, 235, 235)
    image[y + 30 : y + 66, x : x + 5] = (20, 90, 200)
    image[y + 30 : y + 66, x + width - 5 : x + width] = (20, 90, 200)
    for side, swing in ((-9, stride), (9, -stride)):
        image[y + 74 : y + height, middle + side + swing - 6 : middle + side + swing + 6] = (70, 45, 30)


def _draw_vehicle(image: Image, box: Box) -> None:
    """A light vehicle behind the belt: body, window, wheels, lamps."""
    _, x, y, width, height = box
    image[y + 24 : y + height - 14, x : x + width] = (40, 190, 230)
    image[y : y + 24, x + width // 5 : x + 4 * width // 5] = (60, 160, 190)
    image[y + 4 : y + 22, x + width // 4 : x + 3 * width // 4] = (90, 80, 60)
    for wheel in (x + width // 5, x + 4 * width // 5):
        _disc(image, wheel, y + height - 14, 13, (25, 25, 25))
    image[y + 34 : y + 44, x + width - min(6, width) : x + width] = (225, 235, 242)


def _disc(image: Image, x: int, y: int, radius: int, colour: tuple[int, int, int]) -> None:
    left, top = max(x - radius, 0), max(y - radius, 0)
    part = image[top : y + radius + 1, left : x + radius + 1]
    rows, columns = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
    part[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = colour


def _mud(seconds: float) -> Image:
    """Dull and without structure, but alive: some light comes through and moves, and that survives JPEG where grain does not."""
    light = 3 * np.sin(2 * np.pi * np.arange(WIDTH) / WIDTH + 0.9 * seconds)
    return np.asarray(np.broadcast_to((light + 30)[None, :, None] * np.array([0.8, 1.0, 1.2]), (HEIGHT, WIDTH, 3)), np.uint8)


def _blur(image: Image) -> Image:
    import cv2

    return np.asarray(cv2.GaussianBlur(image, (0, 0), 12), np.uint8)


def jpeg(image: Image, quality: int = 80) -> bytes:
    """The picture as JPEG."""
    import cv2

    done, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError("OpenCV could not encode a JPEG")
    return bytes(encoded.tobytes())


def render_clip(path: Path, *, seconds: float, lens: Lens = Lens.CLEAR, fps: float = FPS, seed: int = 1) -> list[Truth]:
    """Writes a clip (.avi, .mp4, or .mjpg: JPEGs end to end) and returns the truth of each frame. Raises ValueError for another ending."""
    scene = Scene(seed)
    pictures = (scene.picture(frame, frame / fps, lens if frame else _first(lens)) for frame in range(round(seconds * fps)))
    if path.suffix == ".mjpg":
        truths = []
        with path.open("wb") as file:
            for image, truth in pictures:
                file.write(jpeg(image))
                truths.append(truth)
        return truths
    import cv2

    codec = {".avi": "MJPG", ".mp4": "mp4v"}.get(path.suffix)
    if codec is None:
        raise ValueError(f"{path}: a clip ends in .avi, .mp4 or .mjpg")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, (WIDTH, HEIGHT))
    if not writer.isOpened():
        raise OSError(f"{path}: OpenCV cannot write it")
    try:
        truths = []
        for image, truth in pictures:
            writer.write(image)
            truths.append(truth)
        return truths
    finally:
        writer.release()


def _first(lens: Lens) -> Lens:
    """A frozen clip needs one live picture to freeze."""
    return Lens.CLEAR if lens is Lens.FROZEN else lens
