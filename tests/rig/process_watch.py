"""What a process holds at a moment: memory, threads, and descriptors by kind, as the kernel counts them."""

import os
import re
import resource
from collections import Counter
from pathlib import Path
from typing import NamedTuple

_PAGE = resource.getpagesize()


class Held(NamedTuple):
    """``rss`` in MB; ``descriptors`` by kind: socket, pipe, file, …"""

    rss: float
    threads: int
    descriptors: dict[str, int]

    @property
    def open(self) -> int:
        return sum(self.descriptors.values())


def held(pid: int) -> Held:
    """Raises OSError when the process is gone."""
    process = Path(f"/proc/{pid}")
    rss = int((process / "statm").read_text().split()[1]) * _PAGE / 1e6
    kinds: Counter[str] = Counter()
    for descriptor in (process / "fd").iterdir():
        try:
            target = os.readlink(descriptor)  # noqa: PTH115 - not a path: socket:[inode]
        except OSError:  # closed since it was listed
            continue
        kinds[_kind(target)] += 1
    return Held(rss, len(list((process / "task").iterdir())), dict(kinds))


def _kind(target: str) -> str:
    special = re.match(r"(?:anon_inode:)?\[?(\w+)\]?:?", target) if not target.startswith("/") else None
    if special:
        return special[1]
    return "terminal" if target.startswith("/dev/pts/") else "device" if target.startswith("/dev/") else "file"
