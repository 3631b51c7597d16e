"""False alarms a camera-day, and the share of events found: the detectors that ship, as a node runs them, on clips, belts and a drawn gallery.

    python -m tests.campaigns.camera_days [--copies 5] [--hours 1] [--people MODEL] [--ppe MODEL] [--json]

Detector, person watch and alarm rules are the agent's own, with their defaults, fed with the times of the pictures. Sets:

    clips      Intel's five sample clips once, each with its events labelled by hand (camera_events.yaml): three and a half minutes
    copies     the same, `--copies` times in other light, noise and compression. They are the same seconds again: their interval is that of one
    belts      pictures of real conveyor belts (rocks_belt), two seconds each; nobody in any of them
    gallery    `--hours` of a drawn gallery, people cut out of a clip walking through; where they are is known to the pixel

Two models are compared by running it twice. No clip is of a mine, and no minute of it is a day: the intervals say how little is known.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from benchmarks.table import report
from contract.alarms import AlarmDefinition, Condition, ConditionKind, Priority, Transition
from edge.items import Frame
from edge.processing import Processor, ProcessorContext
from edge.processing.detection import DetectorProcessor, DetectorSettings
from edge.processing.person_watch import PersonWatchProcessor
from edge.processing.watch_settings import PersonWatchSettings
from models.cards import ModelError
from rules.engine import AlarmRules
from rules.moment import Instant
from simulators.field.camera_scene import WIDTH
from tests.campaigns.camera_pictures import Moment, belts, changed, clips, figures, gallery, walks
from tests.campaigns.camera_verdict import NOTHING, Span, Verdict, a_day, share, verdict

START = 1_764_000_000_000_000_000
CAMERA = "cam"
CUT_FROM = "one-by-one-person-detection.mp4"  # its background stands still
POINTS = {  # rule -> what it is about, the point
    "person, detector": ("person", "cam/objects/person"),
    "person, watch": ("person", "cam/watch/people"),
    "person, watch with ppe": ("person", "cam/ppe/people"),
    "no_helmet": ("no_helmet", "cam/ppe/no_helmet"),
    "no_vest": ("no_vest", "cam/ppe/no_vest"),
    "car, detector": ("car", "cam/objects/car"),
}
DELAYS = {"person, detector": 1.0, "car, detector": 1.0}  # s that a count must stand: the watch confirms by itself


class Camera:
    """One camera of a node, from picture to alarm."""

    def __init__(self, people: str, ppe: str, folder: Path) -> None:
        context = ProcessorContext("n", folder)
        watch = {"type": "person-watch", "input": CAMERA}
        equipment = watch | {"name": "ppe", "under": "ppe", "model": ppe, "equipment": ["helmet", "vest"]}
        detector = {"name": "objects", "type": "detector", "input": CAMERA, "model": people, "classes": ["person", "car"], "every": 0.2}
        self._processors: list[Processor] = [
            DetectorProcessor(DetectorSettings.model_validate(detector), context),
            PersonWatchProcessor(PersonWatchSettings.model_validate(watch | {"name": "watch", "model": people}), context),
            PersonWatchProcessor(PersonWatchSettings.model_validate(equipment), context),
        ]
        for processor in self._processors:
            processor.start()
        self._now = 0.0

    def watch(self, moments: Iterable[Moment]) -> tuple[dict[str, list[Span]], float]:
        """The alarms of each rule as spans, and how many seconds were seen. The next call is of another scene: a minute of nothing lies between."""
        begun, last = self._now + 60, 0.0
        rules = AlarmRules([_definition(rule, point) for rule, (_, point) in POINTS.items()], "n", {})
        since: dict[str, float] = {}
        alarms: dict[str, list[Span]] = {rule: [] for rule in POINTS}
        names = {_id(rule): rule for rule in POINTS}
        for seconds, image in moments:
            now = START + round((begun + seconds) * 1e9)
            instant = Instant(now, now)
            readings = [one for processor in self._processors for one in processor.process(Frame(CAMERA, now, image))]
            for event in [*(event for one in readings for event in rules.update(one, instant)), *rules.tick(instant)]:
                rule = names[event.definition]
                if event.transition is Transition.ACTIVE:
                    since[rule] = seconds
                elif event.transition is Transition.NORMAL:
                    alarms[rule].append(Span(since.pop(rule), seconds))
            last = seconds
        for rule, first in since.items():
            alarms[rule].append(Span(first, last))
        self._now = begun + last
        return alarms, last


def _id(rule: str) -> str:
    return rule.replace(", ", "-").replace(" ", "-").replace("_", "-")


def _definition(rule: str, point: str) -> AlarmDefinition:
    return AlarmDefinition(
        id=_id(rule),
        point=point,
        condition=Condition(ConditionKind.ABOVE, 0.5),
        priority=Priority.HIGH,
        title={"es": rule, "en": rule},
        on_delay=DELAYS.get(rule, 0.0),
        off_delay=1.0,
    )


def on_clips(camera: Camera, copies: int) -> Iterator[tuple[str, str, Verdict]]:
    """Of the clips, or of so many changed copies of each."""
    for clip in clips():
        for copy in range(copies or 1):
            alarms, seconds = camera.watch(changed(clip, copy) if copies else clip.moments())
            for rule, (about, _) in POINTS.items():
                unclear = clip.unclear.get(about, ())
                yield "copies" if copies else "clips", rule, verdict(alarms[rule], clip.events.get(about, ()), unclear, seconds)


def on_belts(camera: Camera) -> Iterator[tuple[str, str, Verdict]]:
    alarms, seconds = camera.watch(belts(1))
    for rule in POINTS:
        yield "belts", rule, verdict(alarms[rule], (), (), seconds)


def on_gallery(camera: Camera, hours: float) -> Iterator[tuple[str, str, Verdict]]:
    """In stretches of ten minutes, each with another wall. A person counts as there from a third of the body in the picture."""
    [clip] = clips([CUT_FROM])
    people = figures(clip)
    for stretch in range(max(1, round(hours * 6))):
        length = min(600.0, hours * 3600)
        through = walks(length, len(people), stretch)
        alarms, seconds = camera.watch(gallery(length, people, through, stretch))
        for rule, (about, _) in POINTS.items():
            there = [_in_sight(walk.first, walk.last, walk.height) for walk in through] if about != "car" else []
            yield "gallery", rule, verdict(alarms[rule], there, (), seconds)


def _in_sight(first: float, last: float, height: int) -> Span:
    width = 0.35 * height
    out = (last - first) * width * 0.33 / (WIDTH + width)
    return Span(first + out, last - out)


def rows(found: Iterable[tuple[str, str, Verdict]], copies: int) -> list[dict[str, Any]]:
    sums: dict[tuple[str, str], Verdict] = {}
    for name, rule, one in found:
        sums[name, rule] = sums.get((name, rule), NOTHING) + one
    table = []
    for (name, rule), one in sums.items():
        times = copies if name == "copies" else 1  # the same events and seconds again and again: the interval of one round
        recall = share(one.found, one.events)[:1] + share(round(one.found / times), one.events // times)[1:]
        rate = a_day(one.false / times, one.seconds / times)
        delays = sorted(one.delays)
        table.append(
            {
                "set": name,
                "rule": rule,
                "hours": round(one.seconds / 3600, 3),
                "events": one.events,
                "found": one.found,
                "missed": one.missed,
                "recall": "-" if not one.events else "{:.2f} [{:.2f}, {:.2f}]".format(*recall),
                "median delay s": round(delays[len(delays) // 2], 1) if delays else "-",
                "false": one.false,
                "false per camera-day": "{:.0f} [{:.0f}, {:.0f}]".format(*rate),
            }
        )
    return table


@click.command(help=__doc__)
@click.option("--copies", default=5, show_default=True, help="Changed copies of each clip; 0 for none.")
@click.option("--hours", default=1.0, show_default=True, help="Of the drawn gallery; 0 for none.")
@click.option(
    "--people", default="people_vehicles", show_default=True, help="The detector of people and cars: a name, or a path ending in .onnx."
)
@click.option("--ppe", default="ppe_detector", show_default=True, help="The detector of equipment, likewise.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a row.")
def main(copies: int, hours: float, people: str, ppe: str, as_json: bool) -> None:
    camera = Camera(people, ppe, Path.cwd())
    found: list[tuple[str, str, Verdict]] = []
    try:
        found += on_clips(camera, 0)
        found += on_belts(camera)
        found += on_clips(camera, copies) if copies else ()
        found += on_gallery(camera, hours) if hours else ()
    except ModelError as error:
        raise click.ClickException(str(error)) from None
    report("camera days", rows(found, copies), as_json=as_json)


if __name__ == "__main__":
    sys.exit(main())
