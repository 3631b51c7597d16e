"""A file system of its own, small enough to be filled: what a full memory card does, without harm to this machine. Needs root."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

MIB = 1 << 20


class SmallDisk:
    """A mounted tmpfs. `fill` leaves nothing, as a log that runs away does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "somebody-elses.log"

    @property
    def free(self) -> int:
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    def fill(self, leave: int = 0) -> None:
        """Somebody else takes the room, but for ``leave`` bytes."""
        with self._ballast.open("ab", buffering=0) as ballast, contextlib.suppress(OSError):
            while self.free > leave:
                ballast.write(b"\0" * min(MIB, self.free - leave))

    def make_read_only(self) -> None:
        """As the kernel does with a memory card that it cannot trust any more."""
        subprocess.run(["mount", "-o", "remount,ro", str(self.folder)], check=True)

    def clear(self) -> None:
        """The room is there again."""
        self._ballast.unlink(missing_ok=True)


def why_not() -> str:
    """Why no file system can be mounted here; empty where one can."""
    if os.geteuid() != 0:
        return "mounting a small disk needs root"
    tried = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"mounting is not permitted here: {tried.stderr.strip()}"


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[SmallDisk]:
    """``size`` bytes mounted at ``folder``, gone with everything on it when the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "muki-small-disk", str(folder)], check=True)
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
