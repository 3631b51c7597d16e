"""Time for chrony: samples of a reference clock through its SOCK driver (chrony.conf(5), ``refclock SOCK``).

chrony judges and filters them and governs the clock; a node never sets the clock by itself.
"""

import logging
import socket
import struct
from pathlib import Path

from edge.clock import SECOND

log = logging.getLogger("muki.edge.sources.chrony_sock")

# struct sock_sample of chrony's refclock_sock.c: timeval, offset in s, pulse, leap, padding, magic
_SAMPLE = struct.Struct("@lldiiii")
_MAGIC = 0x534F434B


def sample(time_ns: int, offset_ns: int) -> bytes:
    """A datagram: at ``time_ns`` of this machine's clock (Unix) the true time was ``offset_ns`` ahead of it."""
    return _SAMPLE.pack(time_ns // SECOND, time_ns % SECOND // 1000, offset_ns / SECOND, 0, 0, 0, _MAGIC)


class ChronySock:
    """Sends to the socket that chrony made. While there is none, nothing is sent: chrony may be started later."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._complaint = ""

    def send(self, time_ns: int, offset_ns: int) -> bool:
        """Whether chrony took the sample. One line in the log when it begins to, or stops."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outlet:
                outlet.setblocking(False)
                outlet.sendto(sample(time_ns, offset_ns), str(self._path))
        except OSError as error:
            self._complain(f"{error.strerror or error}")
            return False
        if self._complaint != "taken":
            log.info("chrony %s: takes the time", self._path)
        self._complaint = "taken"
        return True

    def _complain(self, why: str) -> None:
        if why != self._complaint:
            log.warning("chrony %s: takes no time: %s; is there a line refclock SOCK %s in chrony.conf?", self._path, why, self._path)
        self._complaint = why
