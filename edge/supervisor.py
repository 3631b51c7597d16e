"""Keeps one source running: what it raises becomes a malfunction and a restart, and never reaches another source."""

import asyncio
import contextlib
import logging
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, cast

from contract.messages import PointDeclaration
from contract.values import Reading, bad
from edge import clock
from edge.config import ConfiguredSource
from edge.errors import Fatal, Misconfigured, Retry
from edge.health import ModuleStatus, module_point
from edge.items import Item
from edge.progress import Mark
from edge.worker import explain

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

log = logging.getLogger("muki.edge.supervisor")

FIRST_BACKOFF = 0.5  # s
LONGEST_BACKOFF = 30.0
HOPELESS_BACKOFF = 300.0  # s after Misconfigured: only a person mends that, perhaps while we run
GOOD_RUN = 60.0  # s after which the next failure begins with the first backoff again
QUIET_PERIODS = 10  # a source that says nothing for so many of its own periods hangs
QUIET_LEAST = 30.0  # s
LETTING_GO = 120.0  # s that a source which was taken for hung may take to release its device; nothing but a restart mends it then


class SourceSupervisor:
    """Runs one source until cancelled. ``deliver`` gets every batch, and after a failure each point once as bad:source_fault."""

    def __init__(
        self, entry: ConfiguredSource, node: str, deliver: Callable[[Sequence[Item]], None], *, quiet: float | None = None
    ) -> None:
        """``quiet``: seconds without a batch after which it is taken for hung, instead of `quiet_limit` of its points."""
        self._source = entry.source
        self._name = entry.settings.name
        self._node = node
        self._deliver = deliver
        self._quiet = quiet if quiet is not None else quiet_limit(entry.source.points())
        self._complaint = ""
        self._restarts = 0
        self.mark = Mark(f"source {self._name}", math.inf if self._quiet is None else self._quiet + LETTING_GO)
        self.status = ModuleStatus(module_point(node, "source", self._name), "source_fault")

    def restarted(self) -> int:
        """How often the source failed and was begun again."""
        return self._restarts

    async def run(self) -> None:
        backoff = FIRST_BACKOFF
        while True:
            began = time.monotonic()
            self.mark.turn()
            try:
                await self._read()
                why = "ended by itself"
            except Fatal:
                raise
            except Retry as error:
                why = str(error)
            except Misconfigured as error:
                why, backoff = f"cannot work: {error}", HOPELESS_BACKOFF
            except Exception as error:  # whatever a source raises, the others go on
                why = explain(error)
            if time.monotonic() - began > GOOD_RUN and backoff < HOPELESS_BACKOFF:
                backoff = FIRST_BACKOFF
            self._failed(why, backoff)
            await asyncio.sleep(backoff * random.uniform(0.8, 1.2))
            backoff = min(2 * backoff, LONGEST_BACKOFF)

    async def _read(self) -> None:
        # Sources are async generators: closing one is how its `finally` runs now and not at some collection.
        items = cast("AsyncGenerator[Sequence[Item], None]", self._source.items())
        async with aclosing(items):
            while True:
                try:
                    async with asyncio.timeout(self._quiet) as limit:
                        with self._said_in_time():
                            batch = await anext(items)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    if not limit.expired():
                        raise
                    raise Retry(f"delivered nothing for {self._quiet:g} s") from None
                news = self.status.change(True, clock.now().wall_ns)
                if news:
                    log.info("node=%s source=%s running", self._node, self._name)
                    self._complaint = ""
                    self._deliver(news)
                self.mark.turn()
                self._deliver(batch)

    def _failed(self, why: str, backoff: float) -> None:
        self._restarts += 1
        self.mark.rest()
        text = f"{why}; again in {backoff:g} s"
        level = logging.DEBUG if why == self._complaint else logging.WARNING
        log.log(level, "node=%s source=%s %s", self._node, self._name, text)
        self._complaint = why
        self._fault()

    @contextlib.contextmanager
    def _said_in_time(self) -> Iterator[None]:
        """A source that is told to end because it is silent may be slow to let go, or never do so: it is known to fail from now on."""
        timer = None if self._quiet is None else asyncio.get_running_loop().call_later(self._quiet, self._fault)
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()

    def _fault(self) -> None:
        """Said once: the module's point and each of its source's points."""
        now = clock.now().wall_ns
        news = self.status.change(False, now)
        if news:
            self._deliver([*news, *(Reading(point, now, None, bad("source_fault")) for point in self._source.points())])


def quiet_limit(points: Mapping[str, PointDeclaration]) -> float | None:
    """Seconds after which a source that yields nothing is taken for hung; None where it does not declare how often it reads."""
    periods = [declaration.period for declaration in points.values()]
    known = [period for period in periods if period is not None]
    if not known or len(known) < len(periods):
        return None
    return max(QUIET_LEAST, QUIET_PERIODS * min(known))
