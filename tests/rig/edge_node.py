"""An edge agent with a source that only counts: what its tests run, in this process or as `python -m tests.rig.edge_node run FILE`."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import edge.processing
import edge.sources
from contract.messages import PointDeclaration
from contract.values import Reading
from edge.errors import Fatal, Retry
from edge.items import Item
from edge.processing import ProcessorContext, ProcessorSettings
from edge.sources import SourceContext, SourceSettings


class CounterSettings(SourceSettings):
    points: list[str]
    every: float = 0.1
    clings: bool = False  # does not let go when it is told to end
    fails_while: str = ""  # a file: while it exists the source raises Retry
    fatal_while: str = ""  # a file: while it exists the source raises Fatal
    breaks_while: str = ""  # a file: while it exists the source raises something unexpected


class CounterSource:
    """Each point says 1, 2, 3, … with the time."""

    Settings: ClassVar[type[SourceSettings]] = CounterSettings

    def __init__(self, settings: SourceSettings, context: SourceContext) -> None:
        assert isinstance(settings, CounterSettings)
        self._settings = settings
        self._folder = context.folder
        self.closed = 0

    def points(self) -> Mapping[str, PointDeclaration]:
        declaration = PointDeclaration(unit="1", kind="counter", range=(0, 1e9), asset="test", period=self._settings.every)
        return dict.fromkeys(self._settings.points, declaration)

    async def items(self) -> AsyncIterator[Sequence[Item]]:
        count = 0
        try:
            while True:
                self._obey()
                count += 1
                now = time.time_ns()
                yield [Reading(point, now, float(count)) for point in self._settings.points]
                await asyncio.sleep(self._settings.every)
        finally:
            self.closed += 1
            if self._settings.clings:
                await asyncio.sleep(60)

    def _obey(self) -> None:
        if self._settings.fails_while and (self._folder / self._settings.fails_while).exists():
            raise Retry("the counter was told to fail")
        if self._settings.fatal_while and (self._folder / self._settings.fatal_while).exists():
            raise Fatal("the counter was told that going on would do harm")
        if self._settings.breaks_while and (self._folder / self._settings.breaks_while).exists():
            raise ZeroDivisionError("the counter was told to break")


class DoublerSettings(ProcessorSettings):
    output: str
    breaks_above: float = 1e12
    hangs_above: float = 1e12


class Doubler:
    """Twice its input."""

    Settings: ClassVar[type[ProcessorSettings]] = DoublerSettings

    def __init__(self, settings: ProcessorSettings, context: ProcessorContext) -> None:
        assert isinstance(settings, DoublerSettings)
        self._settings = settings

    def wants(self) -> frozenset[str]:
        return frozenset({self._settings.input})

    def points(self) -> Mapping[str, PointDeclaration]:
        return {self._settings.output: PointDeclaration(unit="1")}

    def start(self) -> None:
        pass

    def process(self, item: Item) -> Sequence[Reading]:
        assert isinstance(item, Reading)
        if item.value is None or item.value > self._settings.breaks_above:
            raise ValueError(f"{item.value} is more than this processor bears")
        if item.value > self._settings.hangs_above:
            threading.Event().wait()
        return [Reading(self._settings.output, item.time_ns, 2 * item.value)]


def register() -> None:
    """Makes ``type: counter`` and ``type: doubler`` known, as an installed package would."""
    edge.sources.REGISTRY["counter"] = "tests.rig.edge_node:CounterSource"
    edge.processing.REGISTRY["doubler"] = "tests.rig.edge_node:Doubler"


def write_config(folder: Path, port: int, *, extra: str = "", every: float = 0.1, name: str = "node.yaml") -> Path:
    """A node ``gas-1`` of site ``test`` with one counter ``test/a``, ``test/b``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(
        f"""site: test
node: gas-1
broker: {{host: 127.0.0.1, port: {port}}}
data_dir: data
outbox: {{flush_every: 0.05}}
sources:
  - {{name: counter, type: counter, points: [test/a, test/b], every: {every}, fails_while: fail, breaks_while: break, fatal_while: fatal}}
{extra}"""
    )
    return path


if __name__ == "__main__":
    from edge.cli import main

    register()
    main()
