"""How the Linux kernel lays out one scan of an IIO buffer: the type of each channel, its place, and its numbers. Pure; no I/O.

Source: Documentation/iio/iio_devbuf.rst and Documentation/ABI/testing/sysfs-bus-iio of the kernel.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

_TYPE = re.compile(r"(be|le):([su])(\d+)/(\d+)(?:X(\d+))?>>(\d+)")


class Element(NamedTuple):
    """One channel of a scan: ``bits`` of ``storage`` bits count, after shifting right by ``shift``."""

    name: str
    place: int
    big_endian: bool
    signed: bool
    bits: int
    storage: int
    shift: int


def parse_element(name: str, index: str, kind: str) -> Element:
    """From the texts of ``in_NAME_index`` and ``in_NAME_type``, for example ``3`` and ``le:s16/16>>0``. Raises ValueError saying what is wrong."""
    found = _TYPE.fullmatch(kind.strip())
    if not found:
        raise ValueError(f"in_{name}_type says {kind.strip()[:40]!r}; something like le:s16/16>>0 was expected")
    if not index.strip().isdecimal():
        raise ValueError(f"in_{name}_index says {index.strip()[:40]!r}; a number was expected")
    bits, storage, repeat, shift = int(found[3]), int(found[4]), int(found[5] or 1), int(found[6])
    if storage not in {8, 16, 32, 64} or not 1 <= bits <= storage or shift + bits > storage or repeat != 1:
        raise ValueError(f"in_{name}_type says {kind.strip()}: 8, 16, 32 or 64 bits of storage without repetition can be read")
    return Element(name, int(index), found[1] == "be", found[2] == "s", bits, storage, shift)


class Layout:
    """Scans of these elements: in the order of their index, each aligned to its own size, the whole to the largest."""

    def __init__(self, elements: Sequence[Element]) -> None:
        self.elements = sorted(elements, key=lambda element: element.place)
        offset, largest, offsets = 0, 1, []
        for element in self.elements:
            width = element.storage // 8
            offset = -(-offset // width) * width
            offsets.append(offset)
            offset += width
            largest = max(largest, width)
        self.size = -(-offset // largest) * largest  # bytes
        names = [element.name for element in self.elements]
        formats = [f"{'>' if element.big_endian else '<'}u{element.storage // 8}" for element in self.elements]
        self._dtype = np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": self.size})

    def numbers(self, data: bytes) -> dict[str, np.ndarray[Any, np.dtype[np.int64]]]:
        """The number of each channel in whole scans, by name; shape (n,)."""
        scans = np.frombuffer(data, self._dtype)
        return {element.name: _number(element, scans[element.name]) for element in self.elements}


def _number(element: Element, raw: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.int64]]:
    if element.bits == element.storage:
        native = raw.astype(f"=u{element.storage // 8}")
        return (native.view(f"=i{element.storage // 8}") if element.signed else native).astype(np.int64)
    bits = (raw.astype(np.uint64) >> np.uint64(element.shift) & np.uint64((1 << element.bits) - 1)).astype(np.int64)
    sign = np.int64(1 << (element.bits - 1))
    return (bits ^ sign) - sign if element.signed else bits
