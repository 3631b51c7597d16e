"""What the cameras of the campaign see: clips with labelled events, changed copies of them, a gallery with people walking through, and belts."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import yaml

from models.train.datasets import data_folder
from simulators.field.camera_scene import FPS, HEIGHT, WIDTH, Scene
from tests.campaigns.camera_verdict import Span

Image = np.ndarray[Any, np.dtype[np.uint8]]
Moment = tuple[float, Image]  # seconds, picture

LABELS = Path(__file__).with_name("camera_events.yaml")
RULES = ("person", "no_helmet", "no_vest", "car")
STILL = 2.0  # s that a picture of a belt is shown


class Clip(NamedTuple):
    """``events`` and ``unclear`` by rule, seconds; a rule that is in neither says nothing of this clip."""

    name: str
    fps: float
    pictures: list[Image]
    events: Mapping[str, Sequence[Span]]
    unclear: Mapping[str, Sequence[Span]]

    @property
    def seconds(self) -> float:
        return len(self.pictures) / self.fps

    def moments(self) -> Iterator[Moment]:
        return ((index / self.fps, picture) for index, picture in enumerate(self.pictures))


def clips(names: Collection[str] = ()) -> list[Clip]:
    """Those of `LABELS`, or of these names. Raises DataMissing without the data set."""
    folder, found = data_folder("video_clips"), []
    for name, entry in yaml.safe_load(LABELS.read_text("utf-8")).items():
        if names and name not in names:
            continue
        fps = float(entry["fps"])

        def spans(frames: Sequence[Sequence[int]], fps: float = fps) -> list[Span]:
            return [Span(first / fps, (last + 1) / fps) for first, last in frames]

        events = {rule: spans(entry[rule]) for rule in RULES if rule in entry}
        unclear = {rule: spans(frames) for rule, frames in entry.get("unclear", {}).items()}
        found.append(Clip(name, fps, _read(folder / name), events, unclear))
    return found


def _read(path: Path) -> list[Image]:
    video = cv2.VideoCapture(str(path))
    pictures: list[Image] = []
    while True:
        done, picture = video.read()
        if not done:
            return pictures
        pictures.append(np.asarray(picture, np.uint8))


def changed(clip: Clip, seed: int) -> Iterator[Moment]:
    """The clip in other light, through another lens and another camera's compression: mirrored or not, shifted, darker or brighter, noisy."""
    generator = np.random.default_rng(seed)
    mirrored, gain, gamma = generator.random() < 0.5, generator.uniform(0.5, 1.4), generator.uniform(0.7, 1.5)
    noise, quality, zoom = generator.uniform(0, 9), int(generator.integers(35, 90)), generator.uniform(1.0, 1.15)
    x, y = generator.uniform(-0.03, 0.03, 2)
    table = np.clip(255 * gain * (np.arange(256) / 255) ** gamma, 0, 255).astype(np.uint8)
    for seconds, picture in clip.moments():
        height, width = picture.shape[:2]
        turned = picture[:, ::-1] if mirrored else picture
        place = np.array([[zoom, 0, width * (x + (1 - zoom) / 2)], [0, zoom, height * (y + (1 - zoom) / 2)]])
        moved = cv2.warpAffine(turned, place, (width, height), borderMode=cv2.BORDER_REPLICATE)
        grain = generator.normal(0, noise, (height, width, 1))
        lit = np.clip(cv2.LUT(moved, table) + grain, 0, 255).astype(np.uint8)
        packed = cv2.imencode(".jpg", lit, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        yield seconds, np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)


class Figure(NamedTuple):
    """A person cut out of a clip: ``image`` (h, w, 3) and how much of each pixel is the person, ``alpha`` (h, w, 1) from 0 to 1."""

    image: Image
    alpha: np.ndarray[Any, np.dtype[np.float64]]


def figures(clip: Clip) -> list[Figure]:
    """The people of a clip with a still background, upright and whole: one of each event of ``person``, from its middle."""
    background = np.median(np.stack([clip.pictures[round(span.first * clip.fps) - 5] for span in clip.events["person"]]), axis=0)
    found = []
    for span in clip.events["person"]:
        picture = clip.pictures[round((span.first + span.last) / 2 * clip.fps)]
        apart = (np.abs(picture.astype(float) - background).max(axis=2) > 28).astype(np.uint8)
        closed = cv2.morphologyEx(cv2.morphologyEx(apart, cv2.MORPH_OPEN, np.ones((3, 3))), cv2.MORPH_CLOSE, np.ones((15, 15)))
        _, labels, stats, _ = cv2.connectedComponentsWithStats(closed)
        largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
        left, top, width, height = stats[largest, :4]
        mask = (labels == largest)[top : top + height, left : left + width].astype(float)
        found.append(Figure(picture[top : top + height, left : left + width], cv2.GaussianBlur(mask, (3, 3), 0)[:, :, None]))
    return found


class Walk(NamedTuple):
    """Somebody crosses the gallery: ``figure`` from ``first`` to ``last`` (s), to the right or to the left, feet at row ``feet``."""

    figure: int
    first: float
    last: float
    to_right: bool
    feet: int
    height: int

    def left(self, seconds: float, width: int) -> int:
        share = (seconds - self.first) / (self.last - self.first)
        return round(-width + (WIDTH + width) * (share if self.to_right else 1 - share))


def walks(seconds: float, count: int, seed: int) -> list[Walk]:
    """About one in ninety seconds, and nobody between; further away is smaller."""
    generator, found, at = np.random.default_rng(seed), [], 20.0
    while at + 30 < seconds:
        distance = generator.uniform(0, 1)
        height, lasting = round(200 - 90 * distance), generator.uniform(8, 18)
        found.append(
            Walk(int(generator.integers(count)), at, at + lasting, bool(generator.random() < 0.5), round(350 - 60 * distance), height)
        )
        at += lasting + generator.uniform(45, 110)
    return found


def gallery(seconds: float, people: Sequence[Figure], through: Sequence[Walk], seed: int) -> Iterator[Moment]:
    """A drawn conveyor gallery whose belt runs, and photographed people who walk through it as ``through`` says; each in the lamps' light."""
    scene = Scene(seed, empty=True)
    for frame in range(round(seconds * FPS)):
        now = frame / FPS
        image, _ = scene.picture(frame, now)
        for walk in through:
            if walk.first <= now <= walk.last:
                _paste(image, people[walk.figure], walk, now)
        yield now, image


def _paste(image: Image, figure: Figure, walk: Walk, now: float) -> None:
    width = round(figure.image.shape[1] * walk.height / figure.image.shape[0])
    person = cv2.resize(figure.image, (width, walk.height), interpolation=cv2.INTER_AREA)
    alpha = cv2.resize(figure.alpha, (width, walk.height), interpolation=cv2.INTER_AREA)[:, :, None]
    left, top = walk.left(now, width), walk.feet - walk.height + round(2 * np.sin(11 * now))
    begin, end = max(left, 0), min(left + width, WIDTH)
    if end <= begin:
        return
    bottom = min(top + walk.height, HEIGHT)
    cut, share = person[: bottom - top, begin - left : end - left] * 0.7, alpha[: bottom - top, begin - left : end - left]
    place = image[top:bottom, begin:end]
    place[:] = np.clip(share * cut + (1 - share) * place, 0, 255).astype(np.uint8)


def belts(seed: int) -> Iterator[Moment]:
    """Pictures of real belts with rock, nobody in any, `STILL` seconds each with the noise of a camera that lives. Raises DataMissing."""
    generator = np.random.default_rng(seed)
    for number, path in enumerate(sorted((data_folder("rocks_belt") / "images").glob("*.png"))):
        picture = np.asarray(cv2.resize(np.asarray(cv2.imread(str(path)), np.uint8), (640, 640)), np.uint8)
        for frame in range(round(STILL * FPS)):
            grain = generator.normal(0, 3, (640, 640, 1))
            yield number * STILL + frame / FPS, np.clip(picture + grain, 0, 255).astype(np.uint8)
