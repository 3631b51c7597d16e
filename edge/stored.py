"""A message that has its number, and how full the place is where such messages wait."""

from typing import NamedTuple

DATA = 0
ALARM = 1


class Stored(NamedTuple):
    """A message with its place. ``id`` orders all of them, oldest first; ``boot`` and ``seq`` are what the wire says."""

    id: int
    boot: str
    seq: int
    kind: int
    time_ms: int
    payload: bytes

    def wire(self, sent_ms: int) -> bytes:
        """The message as it is published, stamped with the time of sending."""
        name = b"event" if self.kind == ALARM else b"frames"
        return b'{"boot":"%s","seq":%d,"sent":%d,"%s":%s}' % (self.boot.encode(), self.seq, sent_ms, name, self.payload)


class Level(NamedTuple):
    """How full it is: messages, payload bytes with their rows, age of the oldest in seconds, frames thinned since the start."""

    depth: int
    bytes: int
    oldest_age: float
    thinned: int
    free: int | None = None  # bytes that the file system has for the agent; None where it does not tell
