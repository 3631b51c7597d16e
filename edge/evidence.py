"""Pictures of alarm events: made when an event begins, kept in a bounded folder until the gateway says that it has them."""

import asyncio
import contextlib
import logging
import os
import re
import shutil
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from contract.alarms import AlarmEvent, Transition

log = logging.getLogger("muki.edge.evidence")

MAX_BYTES = 64 << 20  # of the folder: some 250 of the largest pictures
MAX_WAITING = 64  # events whose picture is not made yet
_EVENT = re.compile(r"[0-9A-Za-z-]{1,64}")


@runtime_checkable
class Witness(Protocol):
    """A processor that can show what it saw."""

    def evidence(self, point: str, time_ns: int) -> bytes | None:
        """A JPEG of what made ``point`` what it was at that time; None where it has none. Called in a thread of its own."""


class Spool:
    """Pictures by the id of their event. All methods block, and may be called from any thread."""

    def __init__(self, folder: Path, *, min_free: int, max_bytes: int = MAX_BYTES) -> None:
        self._folder = folder
        self._min_free = min_free
        self._max_bytes = max_bytes
        self._lock = threading.Lock()

    def put(self, event: str, data: bytes) -> bool:
        """Durable when it returns True. The oldest make room; a disk that has little left, or refuses, gets none (False, and the log says so)."""
        if not _EVENT.fullmatch(event):
            raise ValueError(f"event {event!r}: 1 to 64 of 0-9, A-Z, a-z and '-'")
        with self._lock:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._make_room(len(data))
                if shutil.disk_usage(self._folder).free < self._min_free + len(data):
                    log.error("evidence of %s is not kept: the disk has less than %d bytes left", event, self._min_free)
                    return False
                part = self._folder / f"{event}.part"
                with part.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(self._folder / f"{event}.jpg")
            except OSError as error:
                log.warning("evidence of %s is not kept: %s", event, error)
                return False
        return True

    def waiting(self) -> list[str]:
        """Events, the oldest first."""
        return [path.stem for path in self._files()]

    def read(self, event: str) -> bytes | None:
        try:
            return (self._folder / f"{event}.jpg").read_bytes()
        except OSError:
            return None

    def done(self, events: Iterable[str]) -> None:
        """The gateway has them."""
        for event in events:
            if _EVENT.fullmatch(event):
                with contextlib.suppress(OSError):
                    (self._folder / f"{event}.jpg").unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        found = []
        for path in self._folder.glob("*.jpg"):
            with contextlib.suppress(OSError):
                found.append((path.stat().st_mtime_ns, path))
        return [path for _, path in sorted(found)]

    def _make_room(self, size: int) -> None:
        for part in self._folder.glob("*.part"):  # of a node that was killed while it wrote
            part.unlink(missing_ok=True)
        files = [(path, path.stat().st_size) for path in self._files()]
        used = sum(length for _, length in files)
        for path, length in files:
            if used + size <= self._max_bytes:
                return
            log.warning("evidence of %s goes unsent: the folder is at its limit of %d bytes", path.stem, self._max_bytes)
            path.unlink(missing_ok=True)
            used -= length


class EvidenceDesk:
    """Asks the witnesses when an alarm begins. `take` never blocks; `run` works until cancelled."""

    def __init__(self, witnesses: Sequence[Witness], spool: Spool) -> None:
        self._witnesses = witnesses
        self._spool = spool
        self._queue: asyncio.Queue[AlarmEvent] = asyncio.Queue(MAX_WAITING)

    def take(self, events: Sequence[AlarmEvent]) -> None:
        if not self._witnesses:
            return
        for event in events:
            if event.transition is Transition.ACTIVE:
                with contextlib.suppress(asyncio.QueueFull):
                    self._queue.put_nowait(event)

    async def run(self) -> None:
        while True:
            event = await self._queue.get()
            await asyncio.to_thread(self._make, event)

    def _make(self, event: AlarmEvent) -> None:
        for witness in self._witnesses:
            try:
                data = witness.evidence(event.point, event.time_ns)
            except Exception as error:  # whatever a picture does to the library under it, the alarm is told
                log.warning("no evidence of %s: %s: %s", event.definition, type(error).__name__, error)
                continue
            if data is not None:
                self._spool.put(event.id, data)
                return
