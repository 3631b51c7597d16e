"""Persons and vehicles in the pictures of one camera, followed and judged: in zones, over lines, without equipment, near a vehicle.

A state holder: boxes and the time of their picture in, what is so out. It knows no model, no picture and no clock.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from edge.processing.crossings import Crosser, Line
from edge.processing.ground_plane import Distance, GroundPlane, Mark
from edge.processing.hold import Hold
from edge.processing.protection import EQUIPMENT, votes
from edge.processing.tracking import Track, Tracker
from edge.processing.watch_settings import PersonWatchSettings
from edge.processing.zones import Stay, feet, inside, outside_all

Array = np.ndarray[Any, np.dtype[Any]]


class Seen(NamedTuple):
    """One confirmed object: ``number`` tells it from the others of its label, ``box`` is (4,) as fractions of the picture.

    ``because``: what it is in, lacks or is near to, as ``zone/NAME``, ``no_helmet``, ``no_vest``, ``near_vehicle``; and ``line/NAME``
    in the picture with which a crossing counts.
    """

    label: str
    number: int
    box: Array
    seen_ns: int
    because: tuple[str, ...] = ()


class View(NamedTuple):
    """What is so at ``time_ns``. ``zones``: persons and the longest stay in seconds; ``lines``: crossings so far to the left and to the right.

    ``lacking``: persons confirmed without each item; ``near``: persons near a vehicle; ``distance``: of the nearest pair.
    """

    time_ns: int
    people: int
    zones: Mapping[str, tuple[int, float]]
    lines: Mapping[str, tuple[int, int]]
    lacking: Mapping[str, int]
    near: int
    distance: Distance | None
    seen: tuple[Seen, ...]


class _Person:
    """What is remembered of one person while it is followed."""

    def __init__(self, settings: PersonWatchSettings, lines: Mapping[str, Line]) -> None:
        self.stays = {zone: Stay(*settings.confirm) for zone in settings.zones}
        self.crossers = {name: Crosser(line) for name, line in lines.items()}
        self.waiting: list[tuple[str, int]] = []  # crossings before the person was confirmed
        self.lacks: dict[str, Hold] = {item: Hold(*settings.confirm_equipment) for item in settings.equipment}


class Watch:
    """``thresholds``: the score from which a box counts, of each class."""

    def __init__(self, settings: PersonWatchSettings, thresholds: Mapping[str, float]) -> None:
        self._settings = settings
        self._thresholds = thresholds
        self._masks = [np.array(polygon) for polygon in settings.masks]
        self._zones = {name: np.array(polygon) for name, polygon in settings.zones.items()}
        self._lines = {name: Line(*ends) for name, ends in settings.lines.items()}
        self._ground = None if settings.ground is None else GroundPlane([Mark(*mark) for mark in settings.ground.marks])
        self._people = Tracker(thresholds[settings.person], settings.forget, settings.confirm)
        least = min((thresholds[name] for name in settings.vehicles), default=1.0)
        self._vehicles = Tracker(least, settings.forget, settings.confirm)
        self._known: dict[int, _Person] = {}
        self.crossings = {name: [0, 0] for name in self._lines}  # to the left, to the right

    def update(self, boxes: Array, scores: Array, names: Sequence[str], time_ns: int) -> View:
        """``boxes`` (n, 4) as fractions of the picture, ``scores`` (n,), and the class of each; weak boxes may be among them (see `tracking`)."""
        kept = outside_all(boxes, self._masks) & np.isfinite(boxes).all(axis=1)
        labels = np.array(names, dtype=object)
        sure = scores >= np.array([self._thresholds.get(name, np.inf) for name in names])

        def of(*wanted: str, sure_only: bool = True) -> Array:
            return kept & np.isin(labels, wanted) & (sure | (not sure_only))

        weak = of(self._settings.person, sure_only=False)
        people = self._people.update(boxes[weak], scores[weak], time_ns)
        driven = of(*self._settings.vehicles)
        vehicles = [track for track in self._vehicles.update(boxes[driven], scores[driven], time_ns) if track.confirmed]
        self._known = {track.number: self._known.get(track.number) or _Person(self._settings, self._lines) for track in people}
        now = [track for track in people if track.seen_ns == time_ns]
        if now:
            self._place(now, time_ns)
            worn: dict[str, tuple[Array, Array]] = {
                item: (boxes[of(EQUIPMENT[item].worn)], boxes[of(EQUIPMENT[item].missing)]) for item in self._settings.equipment
            }
            self._judge_equipment(now, worn)
        confirmed = [track for track in people if track.confirmed]
        crossed: dict[int, list[str]] = {}
        for track in confirmed:
            waiting, self._known[track.number].waiting = self._known[track.number].waiting, []
            for line, side in waiting:
                self.crossings[line][side > 0] += 1
                crossed.setdefault(track.number, []).append(f"line/{line}")
        return self._view(confirmed, vehicles, crossed, time_ns)

    def _place(self, tracks: list[Track], time_ns: int) -> None:
        """Who stands where: only of persons that this picture shows."""
        standing = feet(np.stack([track.box for track in tracks]))
        for name, polygon in self._zones.items():
            for track, is_in in zip(tracks, inside(standing, polygon).tolist(), strict=True):
                self._known[track.number].stays[name].update(is_in, time_ns)
        for track, (x, y) in zip(tracks, standing.tolist(), strict=True):
            person = self._known[track.number]
            height = float(track.box[3] - track.box[1])
            for name, crosser in person.crossers.items():
                if side := crosser.update((x, y), height):
                    person.waiting.append((name, side))

    def _judge_equipment(self, tracks: list[Track], worn: Mapping[str, tuple[Array, Array]]) -> None:
        people = np.stack([track.box for track in tracks])
        for item, (has, lacks) in worn.items():
            for track, vote in zip(tracks, votes(people, has, lacks, EQUIPMENT[item].region), strict=True):
                if vote is not None:
                    self._known[track.number].lacks[item].update(vote)

    def _view(self, people: list[Track], vehicles: list[Track], crossed: Mapping[int, list[str]], time_ns: int) -> View:
        because: dict[int, list[str]] = {track.number: [*crossed.get(track.number, [])] for track in people}
        zones: dict[str, tuple[int, float]] = {}
        for name in self._zones:
            stays = {track.number: self._known[track.number].stays[name].seconds(time_ns) for track in people}
            lasting = {number: seconds for number, seconds in stays.items() if seconds is not None}
            zones[name] = len(lasting), max(lasting.values(), default=0.0)
            for number in lasting:
                because[number].append(f"zone/{name}")
        lacking: dict[str, int] = dict.fromkeys(self._settings.equipment, 0)
        for track in people:
            for item, hold in self._known[track.number].lacks.items():
                if hold.active:
                    lacking[item] += 1
                    because[track.number].append(f"no_{item}")
        nearest: Distance | None = None
        close: set[int] = set()
        if self._ground is not None and self._settings.ground is not None:
            for person in people:
                for vehicle in vehicles:
                    found = self._ground.distance(person.box, vehicle.box)
                    if found is None:
                        continue
                    if nearest is None or found.metres < nearest.metres:
                        nearest = found
                    if found.metres - found.error < self._settings.ground.near and person.number not in close:
                        close.add(person.number)
                        because[person.number].append("near_vehicle")
        seen = [Seen("person", track.number, track.box, track.seen_ns, tuple(because[track.number])) for track in people]
        seen += [Seen("vehicle", track.number, track.box, track.seen_ns) for track in vehicles]
        lines = {name: (left, right) for name, (left, right) in self.crossings.items()}
        return View(time_ns, len(people), zones, lines, lacking, len(close), nearest, tuple(seen))
