"""Which programs hold a device file open: a port that somebody reads must not be read by a second one, which would take bytes from it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_OTHER_END = {"/dev/ptmx", "/dev/pts/ptmx"}


class Holder(NamedTuple):
    """A program; ``agent`` says that it is a Muki agent."""

    pid: int
    name: str
    agent: bool

    def __str__(self) -> str:
        return f"a Muki agent that runs (process {self.pid})" if self.agent else f"{self.name} (process {self.pid})"


def holders(device: Path, processes: Path = Path("/proc")) -> list[Holder]:
    """The programs that have the device open, without this one. Of other users' programs only root sees what they hold.

    Of a pseudo-terminal the program that has its other end is no reader: it is the device.
    """
    real = os.path.realpath(device)
    others = ((each, _open_files(each)) for each in _numbers(processes) if each.name != str(os.getpid()))
    return [_named(each) for each, files in others if real in files and not (real.startswith("/dev/pts/") and _OTHER_END & files)]


def why_not(device: Path) -> str | None:
    """Why a port is better not touched, or None: the kernel's console is there, or another program has it open."""
    if console(device):
        return "the kernel's console is there: not touched; to use the port switch the console off (raspi-config, Serial Port)"
    held = holders(device) if device.exists() else []
    return f"in use by {', '.join(map(str, held))}: not touched; stop it, and scan again" if held else None


def console(device: Path, list_: Path = Path("/proc/consoles")) -> bool:
    """Whether the kernel writes its log there, or a person may log in there at the start."""
    try:
        lines = list_.read_text("ascii", "replace").splitlines()
    except OSError:
        return False
    return os.path.basename(os.path.realpath(device)) in [line.split()[0] for line in lines if line.strip()]  # noqa: PTH119


def _numbers(processes: Path) -> Iterator[Path]:
    return (each for each in processes.iterdir() if each.name.isdecimal())


def _open_files(process: Path) -> set[str]:
    found = set()
    try:
        for each in (process / "fd").iterdir():
            try:
                found.add(os.readlink(each))  # noqa: PTH115 - also pipe:[…], which is no path
            except OSError:
                continue
    except OSError:  # gone, or of another user
        return set()
    return found


def _named(process: Path) -> Holder:
    try:
        name = (process / "comm").read_text("utf-8", "replace").strip()
        words = (process / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return Holder(int(process.name), "a program", agent=False)
    # Nothing else of the command line is shown: people write passwords there.
    agent = any(Path(word).name in ("muki", "muki.py") and words[at + 1 : at + 3] == ["edge", "run"] for at, word in enumerate(words))
    return Holder(int(process.name), name, agent)
