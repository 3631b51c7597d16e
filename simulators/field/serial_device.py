"""A device that sends lines of text over a serial adapter: a pseudo-terminal behind a stable link, which can be unplugged, come back under
another name, babble, break off in the middle of a line and spoil a checksum."""

import asyncio
import contextlib
import os
import random
import tty
from collections import deque
from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import reduce
from operator import xor
from pathlib import Path
from typing import Self

END = b"\r\n"


class LineFault(StrEnum):
    """What can happen to one line."""

    SPOILT = "spoilt"  # one bit of it arrives wrong
    HALF = "half"  # its second half never arrives, nor its end
    NOISE = "noise"  # bytes that mean nothing come before it
    ENDLESS = "endless"  # 100 kB without an end come instead
    MUTE = "mute"  # nothing comes


def xor_line(body: str) -> bytes:
    """``$body*HH`` and the end of the line; HH is the XOR of the body's bytes."""
    return f"${body}*{reduce(xor, body.encode('latin-1'), 0):02X}".encode("latin-1") + END


def faulty(line: bytes, fault: LineFault, dice: random.Random) -> bytes:
    """What arrives of a line, its end included."""
    body = line.rstrip(END)
    match fault:
        case LineFault.SPOILT:
            at = dice.randrange(len(body))
            return body[:at] + bytes([body[at] ^ 1 << dice.randrange(4)]) + body[at + 1 :] + END  # low bits: an end stays an end
        case LineFault.HALF:
            return body[: len(body) // 2]
        case LineFault.NOISE:
            return bytes(byte for byte in dice.randbytes(40) if byte not in END) + line
        case LineFault.ENDLESS:
            return b"U" * 100_000
        case LineFault.MUTE:
            return b""


class SerialDevice:
    """Says what ``line`` returns (its end included) every ``every`` seconds, and again from the beginning of a line whenever it is plugged in.

    ``link`` is the stable name, as /dev/serial/by-id/… is. ``said`` counts the lines that were sent whole and unharmed.
    """

    def __init__(self, link: Path, line: Callable[[], bytes], *, every: float = 0.05, seed: int = 1) -> None:
        self.link = link
        self.said = 0
        self._line = line
        self._every = every
        self._dice = random.Random(seed)
        self._faults: deque[LineFault] = deque()
        self._pair: tuple[int, int] | None = None  # ours, and the port's own side
        self._last_name = ""
        self._task: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """The device file that the link leads to; empty while unplugged."""
        return os.ttyname(self._pair[1]) if self._pair is not None else ""

    def next_faults(self, faults: Iterable[LineFault]) -> None:
        """What happens to the next lines, one each."""
        self._faults.extend(faults)

    async def __aenter__(self) -> Self:
        self.plug()
        self._task = asyncio.create_task(self._speak(), name="serial device")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.unplug()

    def plug(self) -> None:
        """The adapter appears, never under the name that it had last."""
        if self._pair is not None:
            return
        passed_over = []
        while True:
            master, slave = os.openpty()
            if os.ttyname(slave) != self._last_name:
                break
            passed_over += [master, slave]
        for descriptor in passed_over:
            os.close(descriptor)
        tty.setraw(slave)
        os.set_blocking(master, False)
        self._pair = master, slave
        self._last_name = os.ttyname(slave)
        if self.link.is_symlink():
            self.link.unlink()
        self.link.symlink_to(self._last_name)

    def unplug(self) -> None:
        """The adapter is pulled out: its name goes, and whoever reads it sees it hang up."""
        if self._pair is None:
            return
        self.link.unlink(missing_ok=True)
        for descriptor in self._pair:
            os.close(descriptor)
        self._pair = None

    def write(self, data: bytes) -> None:
        """Puts bytes on the wire now. Nobody listening: what the line cannot hold is gone, as on copper."""
        if self._pair is not None:
            with contextlib.suppress(BlockingIOError):
                os.write(self._pair[0], data)

    async def _speak(self) -> None:
        while True:
            line = self._line()
            if self._faults:
                damaged = faulty(line, self._faults.popleft(), self._dice)
                for at in range(0, len(damaged), 2048):  # a port holds 4096 bytes
                    self.write(damaged[at : at + 2048])
                    await asyncio.sleep(0.002)
            else:
                self.write(line)
                self.said += self._pair is not None
            await asyncio.sleep(self._every)
