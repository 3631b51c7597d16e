"""The loop of every source of lines: bytes to lines to readings, and what silence or nothing but garbage mean."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager

from contract.values import Reading, bad
from edge.errors import Retry
from edge.items import Item
from edge.sources.freshness import Freshness
from edge.sources.line_link import Link
from edge.sources.line_splitter import LineSplitter

log = logging.getLogger("muki.edge.sources.line_reader")

STALE = bad("stale")
MALFORMED = bad("malformed")
Decode = Callable[[bytes, int], list[Reading] | None]
"""The readings of a line that came at a time (Unix ns, whole ms): perhaps none; None where the line is not understood."""


class LineReader:
    """Reads one link again and again. ``lost_lines`` counts, over all connections, the lines that were damaged, too long or not understood."""

    def __init__(self, where: str, points: Sequence[str], *, stale_after: float, every: float, eager: Sequence[str] = ()) -> None:
        self._where = where
        self._points = points
        self._stale_after = stale_after
        self._every = every
        self._eager = eager
        self.lost_lines = 0

    async def read(
        self, link: AbstractAsyncContextManager[Link], splitter: LineSplitter, decode: Decode
    ) -> AsyncGenerator[Sequence[Item], None]:
        """One batch for each piece of the stream that holds readings.

        A point that was silent too long comes out once as ``bad:stale``, or as ``bad:malformed`` where bytes did come and none of them could
        be understood. Raises Retry when the link is lost, and when all that came since it was opened, for ``stale_after`` seconds, was garbage.
        """
        async with link as line:
            now = time.monotonic()
            freshness = Freshness(self._points, now, stale_after=self._stale_after, every=self._every, eager=self._eager)
            understood = False
            garbage = b""  # the last of it since a line was understood, for the message
            while True:
                data = await _within(line, freshness.pause(time.monotonic()))
                now, time_ns = time.monotonic(), time.time_ns() // 1_000_000 * 1_000_000
                readings: list[Reading] = []
                if data:
                    if not understood or data.strip():
                        garbage = data
                    dropped = splitter.dropped
                    for text in splitter.feed(data, now):
                        decoded = decode(text, time_ns)
                        if decoded is None:
                            self._lost(1, text)
                            garbage = text
                        else:
                            readings += freshness.admit(decoded, now)
                            understood, garbage = True, b""
                    self._lost(splitter.dropped - dropped, data)
                silent = freshness.fell_silent(now)
                if silent and garbage and not understood:
                    raise Retry(f"{self._where}: nothing that came is understood; check the line's settings; it ends {garbage[-60:]!r}")
                readings += [Reading(point, time_ns, None, MALFORMED if garbage else STALE) for point in silent]
                if readings:
                    yield readings

    def _lost(self, count: int, what: bytes) -> None:
        if count:
            level = logging.DEBUG if self.lost_lines else logging.INFO  # the first one is news; the counter tells the rest
            self.lost_lines += count
            log.log(level, "%s: a line was not understood, %d in all: %r", self._where, self.lost_lines, what[:60])


async def _within(line: Link, seconds: float | None) -> bytes:
    """What comes, or nothing when the time is over."""
    try:
        async with asyncio.timeout(seconds):
            return await line.read()
    except TimeoutError:
        return b""
