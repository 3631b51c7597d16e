"""An output that only says what it would do: a dry run of patterns and wiring, on a machine that has no horn."""

import logging
from typing import ClassVar

from edge.outputs import OutputContext, OutputSettings

log = logging.getLogger("muki.edge.outputs.log")


class LogOutput:
    """Each change is a line of the log."""

    Settings: ClassVar[type[OutputSettings]] = OutputSettings

    def __init__(self, settings: OutputSettings, context: OutputContext) -> None:
        self._name = settings.name
        self._node = context.node
        self._energised: bool | None = None

    async def open(self) -> None:
        self._energised = None

    async def write(self, energised: bool) -> None:
        if energised is not self._energised:
            log.info("node=%s output=%s %s", self._node, self._name, "energised" if energised else "de-energised")
        self._energised = energised

    async def close(self) -> None:
        pass
