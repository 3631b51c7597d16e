"""Sirens and beacons at the gateway: on while an alarm that they are for waits for somebody, off when each was acknowledged.

What to switch is a program of the site, called with the words that the configuration says: a GPIO line, a relay on USB or Modbus, a lamp on the
network. Its exit status says whether it was done. It is called again until it is, and once at the start, so that a gateway that was killed finds
the siren as it must be. A gateway that ends leaves it as it is: what stands still stands.
"""

import asyncio
import logging
import subprocess
import time
from collections.abc import Callable, Iterable

from contract.alarms import AlarmDefinition
from gateway.alarms.view import AlarmView
from gateway.notify.due import UNACKNOWLEDGED
from gateway.notify.room import EVERY, TELLING_FAILURES, failing
from gateway.notify.settings import SirenSettings

log = logging.getLogger(__name__)
PATIENCE = 10.0  # s for the program
BACKOFF = (1.0, 30.0)  # s: first and longest


class Siren:
    """``standing`` gives what is not normal; ``malfunction`` hears whether it can be switched. ``every``, ``backoff``: seconds, first and longest."""

    def __init__(
        self,
        settings: SirenSettings,
        standing: Callable[[], Iterable[AlarmView]],
        malfunction: Callable[[AlarmDefinition, bool], None],
        *,
        every: float = EVERY,
        backoff: tuple[float, float] = BACKOFF,
    ) -> None:
        self._settings = settings
        self._standing = standing
        self._malfunction = malfunction
        self._every, self._backoff = every, backoff
        self._is_on: bool | None = None  # as the program last said
        self._failures = 0
        self._next_try = 0.0  # steady s

    @property
    def definition(self) -> AlarmDefinition:
        return failing(self._settings.name, "siren")

    def wanted(self) -> bool:
        """What was raised by late events alone is history and calls nobody."""
        return any(view.state in UNACKNOWLEDGED and not view.now.unseen and self._settings.takes(view) for view in self._standing())

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            wanted = self.wanted()
            if wanted is not self._is_on and time.monotonic() >= self._next_try:
                await self._switch(wanted)
            await asyncio.sleep(self._every)

    async def _switch(self, wanted: bool) -> None:
        words = self._settings.start if wanted else self._settings.stop
        try:
            await asyncio.to_thread(_call, words)
        except (OSError, subprocess.SubprocessError) as error:
            self._failures += 1
            pause = min(self._backoff[1], self._backoff[0] * 2.0 ** min(self._failures - 1, 20))
            self._next_try = time.monotonic() + pause
            log.warning("siren=%s could not be switched %s: %s; again in %.0f s", self._settings.name, _word(wanted), error, pause)
            if self._failures >= TELLING_FAILURES:
                self._malfunction(self.definition, True)
        else:
            log.info("siren=%s is %s", self._settings.name, _word(wanted))
            self._is_on, self._failures = wanted, 0
            self._malfunction(self.definition, False)


def _call(words: list[str]) -> None:
    subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=PATIENCE, check=True)


def _word(on: bool) -> str:
    return "on" if on else "off"
