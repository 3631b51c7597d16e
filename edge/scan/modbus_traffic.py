"""Modbus RTU overheard: the units that a master asks or that answer it, told by the checksums of whole frames. Pure."""

from typing import NamedTuple

MIN_FRAMES = 2  # one may be chance: 1 in 65536 for each place where a frame could begin
_READS, _SINGLE, _MANY = (1, 2, 3, 4), (5, 6), (15, 16)


class Overheard(NamedTuple):
    """``frames`` with a right checksum, and the ``units`` in them."""

    frames: int
    units: tuple[int, ...]


def overheard(data: bytes) -> Overheard | None:
    """What of the bytes are Modbus RTU frames, or None where there are not enough to be sure."""
    units: set[int] = set()
    frames = at = 0
    while at + 5 <= len(data):
        size = next((size for size in _sizes(data[at : at + 7]) if at + size <= len(data) and crc(data[at : at + size]) == 0), 0)
        if size:
            frames += 1
            units.add(data[at])
        at += size or 1
    return Overheard(frames, tuple(sorted(units))) if frames >= MIN_FRAMES else None


def _sizes(head: bytes) -> list[int]:
    """How long a frame that begins so may be (Modbus Application Protocol V1.1b3, section 6): request, answer or exception."""
    unit, function = head[0], head[1]
    if not 1 <= unit <= 247:
        return []
    if function & 0x80:
        return [5] if function & 0x7F in (*_READS, *_SINGLE, *_MANY) else []
    if function in _READS:
        return [8, 5 + head[2]]
    if function in _SINGLE:
        return [8]
    return [8, *([9 + head[6]] if len(head) > 6 else [])] if function in _MANY else []


def crc(frame: bytes) -> int:
    """CRC-16 of Modbus over Serial Line V1.02, 6.2.2; 0 over a frame with its own checksum."""
    value = 0xFFFF
    for byte in frame:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return value
