"""What the computer under the node tells of itself: heat, supply, wear of its disk, memory, load. All of it is read from files of the kernel."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# https://www.raspberrypi.com/documentation/computers/os.html#get_throttled: now in the low bits, since the last look 16 bits higher
_UNDERVOLTAGE = 0x1
_THROTTLED = 0x2 | 0x4 | 0x8  # frequency capped, throttled, soft temperature limit
_SINCE = 16
_SECTOR = 512  # bytes; /sys/block/*/stat counts in it whatever the device's own is
_LIFE_STEP = 10.0  # % for each step of an eMMC's life time estimation (JEDEC JESD84-B51, 7.4.36)
_LIFE_STEPS = range(1, 12)


class HostState(NamedTuple):
    """One look. None: this machine does not tell."""

    temperature: float | None  # °C, the hottest zone
    undervoltage: bool | None
    throttled: bool | None
    memory_available: float | None  # MB
    load: float | None  # of the last minute, in processes for each core
    uptime: float | None  # s
    disk_written: float | None  # MB since the boot, by everybody
    disk_wear: float | None  # % of the rated life that is used up
    disk_reserve: float | None  # 1 normal, 2 most of the spare blocks are used, 3 nearly all


class Host:
    """Looks below ``root`` (``/``, or a tree with the same files). ``data`` is a folder on the disk that the node writes to."""

    def __init__(self, data: Path, root: Path = Path("/")) -> None:
        self._root = root
        self._data = data
        self._flags = 0  # of the last look
        self._device: Path | None = None

    def look(self) -> HostState:
        under, throttled = self._supply()
        disk = self._disk()
        return HostState(
            temperature=temperature(self._root),
            undervoltage=under,
            throttled=throttled,
            memory_available=self._memory(),
            load=self._load(),
            uptime=_number(self._root / "proc/uptime", 0),
            disk_written=_written(disk),
            disk_wear=_wear(disk),
            disk_reserve=_reserve(disk),
        )

    def _supply(self) -> tuple[bool | None, bool | None]:
        """Under-voltage and throttling: now, or since the last look. Kernels that never clear the bits of the past raise nothing for ever."""
        text = _text(self._root / "sys/devices/platform/soc/soc:firmware/get_throttled")
        try:
            flags = int(text, 16)
        except ValueError:
            return self._rail(), None
        past = flags >> _SINCE
        recent = flags | past & ~(self._flags >> _SINCE)
        self._flags = flags
        return bool(recent & _UNDERVOLTAGE) or self._rail() is True, bool(recent & _THROTTLED)

    def _rail(self) -> bool | None:
        """The alarm of the kernel's own driver (Documentation/hwmon/raspberrypi-hwmon)."""
        for monitor in _entries(self._root / "sys/class/hwmon", "hwmon"):
            if _text(monitor / "name") == "rpi_volt":
                alarm = _number(monitor / "in0_lcrit_alarm", 0)
                return None if alarm is None else alarm > 0
        return None

    def _memory(self) -> float | None:
        for line in _text(self._root / "proc/meminfo").splitlines():
            name, _, rest = line.partition(":")
            if name == "MemAvailable":
                try:
                    return round(int(rest.split()[0]) * 1024 / 1e6, 1)
                except (ValueError, IndexError):
                    return None
        return None

    def _load(self) -> float | None:
        load = _number(self._root / "proc/loadavg", 0)
        return None if load is None else round(load / (os.cpu_count() or 1), 2)

    def _disk(self) -> Path | None:
        """The folder of the disk (not of the partition) below /sys/block."""
        if self._device is None:
            try:
                number = self._data.stat().st_dev
                place = (self._root / f"sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve(strict=True)
            except OSError:
                return None
            self._device = place.parent if (place / "partition").exists() else place
        return self._device


def temperature(root: Path = Path("/")) -> float | None:
    """The hottest thermal zone in °C."""
    found = [_number(zone / "temp", 0) for zone in _entries(root / "sys/class/thermal", "thermal_zone")]
    return max((value / 1000 for value in found if value is not None), default=None)


def _written(disk: Path | None) -> float | None:
    """MB written since the boot: the seventh field (Documentation/block/stat)."""
    sectors = None if disk is None else _number(disk / "stat", 6)
    return None if sectors is None else round(sectors * _SECTOR / 1e6, 1)


def _wear(disk: Path | None) -> float | None:
    """The worse of an eMMC's two estimations, as the end of its step: 0x01 is 0 to 10 %. Others, SD cards above all, tell nothing."""
    steps = [int(word, 16) for word in _text(disk / "device/life_time").split() if _is_hex(word)] if disk is not None else []
    told = [step for step in steps if step in _LIFE_STEPS]
    return max(told) * _LIFE_STEP if told else None


def _reserve(disk: Path | None) -> float | None:
    """``PRE_EOL_INFO`` of an eMMC: 1 normal, 2 80 % of the spare blocks are used, 3 90 %."""
    text = _text(disk / "device/pre_eol_info") if disk is not None else ""
    value = int(text, 16) if _is_hex(text) else 0
    return float(value) if value in (1, 2, 3) else None


def _is_hex(text: str) -> bool:
    try:
        int(text, 16)
    except ValueError:
        return False
    return True


def _entries(folder: Path, prefix: str) -> Iterator[Path]:
    try:
        yield from sorted(entry for entry in folder.iterdir() if entry.name.startswith(prefix))
    except OSError:
        return


def _number(path: Path, field: int) -> float | None:
    try:
        return float(_text(path).split()[field])
    except (ValueError, IndexError):
        return None


def _text(path: Path) -> str:
    """The content, or nothing: a driver may be absent, busy, or fail at each read."""
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
