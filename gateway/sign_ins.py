"""Sign-ins that failed, in the audit: the first of them one by one, the rest of ten minutes as one entry, so that no flood of them fills the disk.

What was typed as a password is never written down, and neither is a name that nobody has here: people type passwords where names belong.
"""

import asyncio
import logging
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from contract.frames import to_ms
from gateway import audit
from gateway.accounts.users import Users

log = logging.getLogger(__name__)

WINDOW_NS = 600_000_000_000
ALONE = 10  # of a window that have an entry of their own
SHOWN = 10  # names and addresses that the entry of the others has
EVERY = 5.0  # seconds between looks at whether a window is over


@dataclass
class _Window:
    began_ns: int = 0
    alone: int = 0
    last_ns: int = 0
    why: Counter[str] = field(default_factory=Counter)
    names: Counter[str] = field(default_factory=Counter)
    addresses: Counter[str] = field(default_factory=Counter)


class SignIns:
    """Every method but ``run`` blocks; safe from any thread. A database that takes nothing refuses nobody: what it did not take is counted."""

    def __init__(self, engine: Engine, users: Users) -> None:
        self._engine = engine
        self._users = users
        self._lock = threading.Lock()
        self._window = _Window()

    def refused(self, name: str, address: str, why: str, *, now_ns: int) -> None:
        """``why``: `wrong_password`; `too_often`, when the password was not even looked at; or an `oidc_…` of whom the provider knows."""
        looked = why == "wrong_password"
        with self._lock:
            self._settle(now_ns, ending=False)
            window = self._window
            window.began_ns = window.began_ns or now_ns
            try:
                known = looked and self._users.known(name)
                if looked and window.alone < ALONE:
                    what = {"why": why, "address": address[:100], "known": known}
                    audit.note(self._engine, audit.Entry(now_ns, "session.refused", audit.GATEWAY, name if known else "", what))
                    window.alone += 1
                    return
            except SQLAlchemyError as error:
                log.warning("a failed sign-in is in no entry of its own: %s", error)
                known = False
            window.last_ns = now_ns
            window.why[why] += 1
            if looked:
                _count(window.names, name if known else "")
            _count(window.addresses, address[:100])

    def settle(self, now_ns: int, *, ending: bool = False) -> None:
        """Writes what was counted, once its ten minutes are over; ``ending``: at once."""
        with self._lock:
            self._settle(now_ns, ending=ending)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            await asyncio.to_thread(self.settle, time.time_ns())

    def _settle(self, now_ns: int, *, ending: bool) -> None:
        window = self._window
        if not window.began_ns or (0 <= now_ns - window.began_ns < WINDOW_NS and not ending):
            return
        if window.why:
            what = {
                "why": dict(window.why),
                "names": dict(window.names),
                "addresses": dict(window.addresses),
                "from": to_ms(window.began_ns),
                "to": to_ms(window.last_ns),
            }
            try:
                audit.note(self._engine, audit.Entry(now_ns, "session.refused_many", audit.GATEWAY, "", what))
            except SQLAlchemyError as error:
                log.warning("failed sign-ins wait for the database: %s", error)
                return
        self._window = _Window()


def _count(counter: Counter[str], text: str) -> None:
    counter[text if text in counter or len(counter) < SHOWN else "others"] += 1
