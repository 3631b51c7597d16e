"""A silence button on a pin of this device."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from contract.values import Reading
from edge import clock
from edge.errors import Misconfigured, Retry
from edge.health import ModuleStatus, module_point
from edge.outputs.silence import BUTTON, Press, SilenceSettings
from edge.worker import explain

log = logging.getLogger("muki.edge.silence")

LOOK = 0.05  # s between looks at the pin; two in a row must agree, which is longer than a contact bounces
BACKOFF = 5.0  # s


class PinButton:
    """Watches a pin until cancelled. A pin that cannot be read is a malfunction, and is tried again."""

    def __init__(self, settings: SilenceSettings, node: str, pressed: Callable[[], None]) -> None:
        self._settings = settings
        self._node = node
        self._pressed = pressed
        self._complaint = ""
        self.status = ModuleStatus(module_point(node, "output", BUTTON), "output_fault")
        self.deliver: Callable[[Sequence[Reading]], None] = lambda _: None

    async def run(self) -> None:
        while True:
            try:
                await self._watch()
            except (Retry, Misconfigured) as error:
                self._failed(str(error))
            except Exception as error:  # whatever the library raises, the horn goes on
                self._failed(explain(error))
            await asyncio.sleep(BACKOFF)

    async def _watch(self) -> None:
        from edge.outputs.gpio import pins

        device: Any = pins().InputDevice(self._settings.gpio, pull_up=self._settings.pull == "up")
        press, before = Press(), None
        try:
            while True:
                now = bool(device.is_active)
                if press.update(now if now is before else None):
                    self._pressed()
                before = now
                news = self.status.change(True, clock.now().wall_ns)
                if news:
                    self._complaint = ""
                    self.deliver(news)
                await asyncio.sleep(LOOK)
        finally:
            device.close()

    def _failed(self, why: str) -> None:
        level = logging.DEBUG if why == self._complaint else logging.WARNING
        log.log(level, "node=%s %s: %s", self._node, BUTTON, why)
        self._complaint = why
        news = self.status.change(False, clock.now().wall_ns)
        if news:
            self.deliver(news)
