"""A TCP connection that a test can spoil: between a source and its device, without either of them being told."""

import asyncio
import contextlib
import random
from typing import Literal

from simulators.field.listener import Listener

Trouble = Literal["silence", "half", "garbage"]


def spoil(data: bytes, trouble: Trouble, dice: random.Random) -> bytes:
    """What arrives of what a device said: nothing, the first half, or other bytes in its place."""
    return {"silence": b"", "half": data[: len(data) // 2], "garbage": dice.randbytes(len(data))}[trouble]


class Cable(Listener):
    """Passes both ways to ``host:port``. While ``trouble`` is set the device's side arrives spoilt; ``half`` spoils what comes first, and then
    nothing comes. Nobody hears that a connection ended: a peer that lost its power says no farewell."""

    def __init__(self, address: str) -> None:
        super().__init__(self._carry)
        host, _, port = address.rpartition(":")
        self._device = host, int(port)
        self._dice = random.Random(1)
        self.trouble: Trouble | None = None

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection(*self._device)
        asking = asyncio.create_task(_pass_on(reader, ours))
        try:
            while data := await theirs.read(65536):
                if self.trouble is not None:
                    data = spoil(data, self.trouble, self._dice)
                    self.trouble = "silence" if self.trouble == "half" else self.trouble
                writer.write(data)
                await writer.drain()
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            ours.transport.abort()
            with contextlib.suppress(OSError):
                await ours.wait_closed()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the source goes; the device then hears of it as it would over a real cable."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.transport.abort()
