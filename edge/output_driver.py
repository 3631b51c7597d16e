"""Keeps one output in the state that the standing alarms demand; what it raises becomes a malfunction and never reaches another output."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence

from contract.alarms import AlarmDefinition
from contract.values import Reading
from edge import clock
from edge.errors import Misconfigured, Retry
from edge.health import ModuleStatus, module_point
from edge.outputs import ConfiguredOutput
from edge.outputs.pattern import Demand, Show
from edge.worker import explain

log = logging.getLogger("muki.edge.output")

LIMIT = 2.0  # s for one command
LAST_WORD = 0.5  # s for de-energising at a stop
FIRST_BACKOFF = 0.1  # s
LONGEST_BACKOFF = 5.0
HOPELESS_BACKOFF = 300.0  # s after Misconfigured: only a person mends that
LEAST = 0.001  # s: the end of a beat is never reached too early


class OutputDriver:
    """Runs one output until cancelled; then it is de-energised. Set ``deliver`` before `run`: it gets the readings of the output's status."""

    def __init__(
        self, entry: ConfiguredOutput, node: str, definitions: Iterable[AlarmDefinition], *, wall: Callable[[], float] = time.time
    ) -> None:
        """``wall`` tells the Unix seconds by which self-tests are due."""
        self.settings, self._output = entry
        self._node = node
        drivers = [definition for definition in definitions if self.settings.drives.takes(definition)]
        self.demand = Demand(drivers, self.settings.rhythms(), silenceable=self.settings.role == "horn")
        self.status = ModuleStatus(module_point(node, "output", self.settings.name), "output_fault")
        self.deliver: Callable[[Sequence[Reading]], None] = lambda _: None
        self._wake = asyncio.Event()
        self._complaint = ""
        self._lost = False  # one failure after a good run: tried again before it is called one
        self._wall = wall
        self._looked = wall()  # at the calendar of self-tests
        self._test_until = 0.0  # steady s

    def raised(self, definition: str) -> None:
        if self.demand.raised(definition, time.monotonic()):
            self._wake.set()

    def cleared(self, definition: str) -> None:
        if self.demand.cleared(definition, time.monotonic()):
            self._wake.set()

    def silence(self) -> bool:
        if not self.demand.silence(time.monotonic()):
            return False
        self._wake.set()
        return True

    async def run(self) -> None:
        backoff = FIRST_BACKOFF
        while True:
            self._wake.clear()
            try:
                await self._hold()
            except Retry as error:
                why = str(error)
            except Misconfigured as error:
                why, backoff = f"cannot work: {error}", HOPELESS_BACKOFF
            except TimeoutError:
                why = f"took no command within {LIMIT:g} s"
            except Exception as error:  # whatever an output raises, the others go on
                why = explain(error)
            if self._lost:
                self._lost = False
                backoff = FIRST_BACKOFF
                log.debug("node=%s output=%s %s; trying again at once", self._node, self.settings.name, why)
                continue
            self._failed(why)
            await asyncio.sleep(FIRST_BACKOFF)  # alarms that come and go must not make the loop spin
            await _within(backoff, self._wake)  # a new alarm is a reason to try at once
            backoff = min(2 * backoff, LONGEST_BACKOFF)

    async def _hold(self) -> None:
        try:
            async with asyncio.timeout(LIMIT):
                await self._output.open()
            await self._follow()
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(LAST_WORD):
                    await self._output.write(False)
            raise
        finally:
            await self._output.close()

    async def _follow(self) -> None:
        """Writes each change at once, and the same again after ``refresh`` seconds."""
        written: bool | None = None
        refresh_at = 0.0
        while True:
            self._wake.clear()
            now = time.monotonic()
            show = self._show(now)
            energised = show.on is not self.settings.de_energise_to_alarm
            if energised is not written or now >= refresh_at:
                async with asyncio.timeout(LIMIT):
                    await self._output.write(energised)
                written, refresh_at = energised, now + self.settings.refresh
                self._works()
            until = refresh_at if show.until is None else min(show.until, refresh_at)
            await _within(max(LEAST, until - time.monotonic()), self._wake)

    def _show(self, now: float) -> Show:
        self._look_at_calendar(now)
        if now < self._test_until:
            return Show(on=True, until=self._test_until)
        return self.demand.at(now)

    def _look_at_calendar(self, now: float) -> None:
        test, last, self._looked = self.settings.self_test, self._looked, self._wall()
        if test is None or not test.due(last, self._looked):
            return
        if self.demand.standing:
            log.info("node=%s output=%s no self-test: an alarm stands", self._node, self.settings.name)
            return
        log.info("node=%s output=%s self-test: %g s", self._node, self.settings.name, test.seconds)
        self._test_until = now + test.seconds

    def _works(self) -> None:
        self._lost = True
        news = self.status.change(True, clock.now().wall_ns)
        if news:
            log.info("node=%s output=%s works", self._node, self.settings.name)
            self._complaint = ""
            self.deliver(news)

    def _failed(self, why: str) -> None:
        level = logging.DEBUG if why == self._complaint else logging.WARNING
        log.log(level, "node=%s output=%s %s", self._node, self.settings.name, why)
        self._complaint = why
        news = self.status.change(False, clock.now().wall_ns)
        if news:
            self.deliver(news)


async def _within(seconds: float, event: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
