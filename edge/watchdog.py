"""systemd's notification protocol (sd_notify(3)): ready, alive, stopping. Without systemd it does nothing.

The sign of life is progress, not a timer: it stops as soon as one part stands still (`edge.progress`), and systemd restarts the node after
``WatchdogSec``. It is given by a thread of its own, because an event loop that hangs could not say so.
"""

import asyncio
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence

from edge.progress import Mark, Standstill, standing_still

log = logging.getLogger("muki.edge.watchdog")

LOOP_LIMIT = 30.0  # s that the event loop may not turn
_BEAT = 1.0  # s between two turns that it shows
_LONGEST_LOOK = 10.0  # s between two looks at the parts


class Watchdog:
    """Sends to the socket that ``NOTIFY_SOCKET`` names; an address that begins with @ is in the abstract namespace."""

    def __init__(self, environment: Mapping[str, str] = os.environ, marks: Sequence[Mark] = (), *, loop_limit: float = LOOP_LIMIT) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        limit = environment.get("WATCHDOG_USEC", "")
        # Half of the limit, as sd_watchdog_enabled(3) recommends.
        self.every = int(limit) / 1e6 / 2 if limit.isdecimal() and int(limit) > 0 else None
        self._loop = Mark("the event loop", loop_limit)
        self._marks = (self._loop, *marks)
        self._end = threading.Event()

    def tell(self, text: str) -> None:
        """``READY=1``, ``WATCHDOG=1`` or ``STOPPING=1``. A systemd that does not listen is no reason to stop."""
        if not self._address:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
                notify.setblocking(False)
                notify.sendto(text.encode(), address)
        except OSError:
            pass

    async def run(self) -> None:
        """Ready now, and alive until cancelled or until a part stands still."""
        self.tell("READY=1")
        if not self._address or self.every is None:
            return
        self._loop.turn()
        loop_thread = threading.get_ident()
        watcher = threading.Thread(target=self._watch, args=(self.every, loop_thread), name="watchdog", daemon=True)
        watcher.start()
        try:
            while True:
                await asyncio.sleep(min(_BEAT, self.every))
                self._loop.turn()
        finally:
            self._end.set()

    def _watch(self, every: float, loop_thread: int) -> None:
        told, said = float("-inf"), ""
        while not self._end.wait(0 if told < 0 else max(0.0, min(_LONGEST_LOOK, told + every - time.monotonic()))):
            now = time.monotonic()
            still = standing_still(self._marks, now)
            news = ", ".join(each.part for each in still)
            if news != said:
                self._log(still, loop_thread)
                said = news
            if still:
                told = now - every + min(_LONGEST_LOOK, every)  # look again soon: it may get on before systemd loses its patience
            elif now >= told + every - 1e-3:
                self.tell("WATCHDOG=1")
                told = told + every if now - told < 2 * every else now

    def _log(self, still: Sequence[Standstill], loop_thread: int) -> None:
        if not still:
            log.warning("everything gets on again; the sign of life is given again")
            return
        where = f"; the loop is at {_place(loop_thread)}" if any(each.part == self._loop.part for each in still) else ""
        log.critical("%s%s; the sign of life is withheld, systemd will restart this node", "; ".join(map(str, still)), where)


def _place(thread: int) -> str:
    """Where a thread is in the code just now."""
    frame = sys._current_frames().get(thread)
    return "an unknown place" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
