"""A file system on a block device of its own, so that the kernel counts what is written to it and by nobody else. Needs root."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

_SECTOR = 512  # bytes, in /sys/block/*/stat whatever the device says


class LoopDisk:
    """An ext4 as a memory card has it."""

    def __init__(self, folder: Path, device: str) -> None:
        self.folder = folder
        self._counters = Path("/sys/block") / Path(device).name / "stat"

    def written(self) -> int:
        """Bytes that reached the device, the journal of the file system among them, once all that is dirty has been written."""
        subprocess.run(["sync", "-f", str(self.folder)], check=True)
        return int(self._counters.read_text().split()[6]) * _SECTOR


@contextlib.contextmanager
def loop_disk(folder: Path, size: int) -> Iterator[LoopDisk]:
    """``size`` bytes in a file beside ``folder``, mounted there. Raises CalledProcessError where that is not permitted."""
    folder.mkdir(parents=True, exist_ok=True)
    image = folder.with_suffix(".image")
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(image)], check=True, capture_output=True)
    device = subprocess.run(["losetup", "--find", "--show", str(image)], check=True, capture_output=True, text=True).stdout.strip()
    try:
        subprocess.run(["mount", device, str(folder)], check=True, capture_output=True)
        try:
            yield LoopDisk(folder, device)
        finally:
            subprocess.run(["umount", str(folder)], check=True)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)
        image.unlink()
