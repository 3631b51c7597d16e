"""Readings that the store did not get: refused by it for ever, or with a time that cannot be. They stay on disk until somebody replays them.

Two files of JSON lines, oldest first: when ``dead-letters.jsonl`` has half of what may be kept, it becomes ``dead-letters.old.jsonl``, and
what that one held is lost, and counted. A lock makes room for the command that replays while the gateway runs.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from contract.frames import to_ns
from contract.values import IDENTIFIER
from gateway.store import StoreFrame

CURRENT, OLD, LOCK = "dead-letters.jsonl", "dead-letters.old.jsonl", "dead-letters.lock"


class Letter(msgspec.Struct, frozen=True, omit_defaults=True):
    """One frame and why it is here. ``time_ns`` is what the node said, Unix nanoseconds; ``received_ns`` when the gateway got it."""

    reason: str
    node: str
    time_ns: int
    values: dict[str, float] = {}
    quality: dict[str, str] = {}
    received_ns: int = 0

    def frame(self, shift_ns: int = 0) -> StoreFrame:
        """As the store takes it, with the time moved."""
        return StoreFrame(self.node, self.time_ns + shift_ns, self.values, self.quality)


def stored_ns(ms: float) -> int:
    """A node's time as a letter carries it: within what 64 bits hold, the years 1677 to 2262."""
    return max(-(2**63), min(2**63 - 1, to_ns(ms)))


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Letter)


class DeadLetters:
    """``kept_bytes`` bounds both files together. Everything blocks."""

    def __init__(self, folder: Path, kept_bytes: int) -> None:
        self._folder = folder
        self._kept_bytes = kept_bytes

    def bury(self, letters: Iterable[Letter]) -> int:
        """Appends; durable when it returns. Returns how many older ones had to go. Raises OSError, and then nothing may be acknowledged."""
        with self._locked():
            lost = self._turn_over()
            self._append(letters)
        return lost

    def _append(self, letters: Iterable[Letter]) -> None:
        path = self._folder / CURRENT
        created = not path.exists()
        with path.open("ab") as file:
            if file.tell() and not _ends_with_newline(path):
                file.write(b"\n")  # power was lost in the middle of a line
            file.writelines(_encoder.encode(letter) + b"\n" for letter in letters)
            file.flush()
            os.fsync(file.fileno())
        if created:
            _sync(self._folder)

    def _turn_over(self) -> int:
        current, old = self._folder / CURRENT, self._folder / OLD
        if not current.exists() or current.stat().st_size < self._kept_bytes // 2:
            return 0
        lost = sum(1 for _ in _lines(old))
        current.replace(old)
        return lost

    def letters(self, node: str | None = None) -> Iterator[Letter]:
        """Oldest first. A line that was cut off by a loss of power is passed over."""
        for name in (OLD, CURRENT):
            for line in _lines(self._folder / name):
                letter = _letter(line)
                if letter is not None and node in (None, letter.node):
                    yield letter

    @contextlib.contextmanager
    def taken(self, node: str | None = None) -> Iterator[list[Letter]]:
        """The letters to work on, of one node or all. Those left in the list at the end stay; the others are gone from the files.

        Nothing changes when the block raises. The gateway waits meanwhile with what it has to bury.
        """
        with self._locked():
            everything = list(self.letters())
            mine = [letter for letter in everything if node in (None, letter.node)]
            taken = list(mine)
            yield taken
            left = {id(letter) for letter in taken}
            done = {id(letter) for letter in mine} - left
            kept = [letter for letter in everything if id(letter) not in done]
            fresh = self._folder / "dead-letters.new"
            with fresh.open("wb") as file:
                file.writelines(_encoder.encode(letter) + b"\n" for letter in kept)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._folder / CURRENT)
            (self._folder / OLD).unlink(missing_ok=True)
            _sync(self._folder)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._folder / LOCK).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _letter(line: bytes) -> Letter | None:
    try:
        letter = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return letter if IDENTIFIER.fullmatch(letter.node) else None


def _lines(path: Path) -> Iterator[bytes]:
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        yield from file


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _sync(folder: Path) -> None:
    """The folder itself, so that a file's new name survives a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
