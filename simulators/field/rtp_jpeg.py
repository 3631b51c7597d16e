"""JPEG pictures as RTP packets (RFC 3550, RFC 2435), as a network camera sends them."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

PAYLOAD_TYPE = 26
CLOCK_HZ = 90_000
PACKET = 1400  # bytes of JPEG in a packet
_TYPES = {0x21: 0, 0x22: 1}  # sampling of the first component: 4:2:2 and 4:2:0


class Scan(NamedTuple):
    """What RFC 2435 sends of a JPEG: its type, width and height in pixels, quantisation tables in zigzag order, and the coded scan."""

    kind: int
    width: int
    height: int
    tables: bytes
    data: bytes


def scan_of(jpeg: bytes) -> Scan:
    """Takes a baseline JPEG with the usual Huffman tables apart. Raises ValueError for one that RFC 2435 cannot carry."""
    place, tables, kind, width, height = 2, b"", None, 0, 0
    while place + 4 <= len(jpeg):
        mark, marker, length = struct.unpack_from(">BBH", jpeg, place)
        if mark != 0xFF:
            break
        segment = jpeg[place + 4 : place + 2 + length]
        place += 2 + length
        match marker:
            case 0xDB:
                while segment:
                    if segment[0] >> 4:
                        raise ValueError("quantisation tables of 16 bits cannot be sent")
                    tables, segment = tables + segment[1:65], segment[65:]
            case 0xC0:
                height, width = struct.unpack_from(">HH", segment, 1)
                kind = _TYPES.get(segment[7])
            case 0xDD:
                raise ValueError("restart markers are not sent by this camera")
            case 0xDA:
                if kind is None or width % 8 or height % 8 or max(width, height) > 2040:
                    raise ValueError(f"{width} x {height}, sampling {kind}: not a size or a sampling that can be sent")
                return Scan(kind, width, height, tables, jpeg[place : jpeg.rindex(b"\xff\xd9")])
    raise ValueError("no baseline JPEG")


def packets(scan: Scan, *, sequence: int, timestamp: int, source: int) -> Iterator[bytes]:
    """The RTP packets of one picture; the last one bears the marker."""
    tables = struct.pack(">BBH", 0, 0, len(scan.tables)) + scan.tables
    for index, offset in enumerate(range(0, len(scan.data), PACKET)):
        part = scan.data[offset : offset + PACKET]
        last = offset + PACKET >= len(scan.data)
        rtp = struct.pack(">BBHII", 0x80, PAYLOAD_TYPE | (0x80 if last else 0), (sequence + index) & 0xFFFF, timestamp & 0xFFFFFFFF, source)
        head = struct.pack(">I", offset) + bytes((scan.kind, 255, scan.width // 8, scan.height // 8))
        yield rtp + head + (tables if offset == 0 else b"") + part
