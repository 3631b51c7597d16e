"""systemd's notification protocol (sd_notify(3)): ready, alive, stopping. Without systemd it does nothing.

A unit with ``Type=notify`` and ``WatchdogSec=30`` restarts an agent whose event loop stands still: the sign of life comes from the loop.
"""

import asyncio
import os
import socket
from collections.abc import Mapping


class Watchdog:
    """Sends to the socket that ``NOTIFY_SOCKET`` names; an address that begins with @ is in the abstract namespace."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        limit = environment.get("WATCHDOG_USEC", "")
        # Half of the limit, as sd_watchdog_enabled(3) recommends.
        self.every = int(limit) / 1e6 / 2 if limit.isdecimal() and int(limit) > 0 else None

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
        """Ready now, and alive until cancelled."""
        self.tell("READY=1")
        while self._address and self.every is not None:
            self.tell("WATCHDOG=1")
            await asyncio.sleep(self.every)
