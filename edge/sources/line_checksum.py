"""Checksums at the end of a text line: XOR, sum modulo 256, CRC-16. Pure.

The CRC-16 variants are those of the catalogue of parametrised CRC algorithms (CRC RevEng); their check values, over ``123456789``, are
4B37 (MODBUS), 29B1 (IBM-3740, which devices call CCITT or CCITT-FALSE) and 31C3 (XMODEM).
"""

from collections.abc import Callable
from functools import reduce
from operator import xor
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal["xor", "sum", "crc16-modbus", "crc16-ccitt", "crc16-xmodem"]


def xor8(data: bytes) -> int:
    return reduce(xor, data, 0)


def sum8(data: bytes) -> int:
    return sum(data) % 256


def crc16_modbus(data: bytes) -> int:
    """Polynomial 0x8005 reflected, initial value 0xFFFF."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def crc16_ccitt(data: bytes, initial: int = 0xFFFF) -> int:
    """Polynomial 0x1021, not reflected."""
    crc = initial
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021) & 0xFFFF if crc & 0x8000 else crc << 1
    return crc


def crc16_xmodem(data: bytes) -> int:
    return crc16_ccitt(data, 0)


_FUNCTIONS: dict[Kind, tuple[Callable[[bytes], int], int]] = {
    "xor": (xor8, 2),
    "sum": (sum8, 2),
    "crc16-modbus": (crc16_modbus, 4),
    "crc16-ccitt": (crc16_ccitt, 4),
    "crc16-xmodem": (crc16_xmodem, 4),
}


class LineChecksum(BaseModel):
    """Which checksum a line carries, and where: as hexadecimal digits behind ``before``, or at the very end where there is no mark."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    after: str = Field(
        "", max_length=8, description="What is checked begins behind the last one of these; at the start of the line if empty"
    )
    before: str = Field("", max_length=8, description="What is checked ends at the last one of these, and the digits follow it")
    marks: Literal["excluded", "included"] = Field("excluded", description="Whether after and before are themselves checked")
    byte_order: Literal["big", "little"] = Field("big", description="Of the two bytes of a CRC-16, as written in the line")

    @model_validator(mode="after")
    def _ascii(self) -> Self:
        if not (self.after + self.before).isascii():
            raise ValueError("after and before: write ASCII characters, for example after: '$' and before: '*'")
        return self

    def content(self, line: bytes) -> bytes | None:
        """What the line says, without marks and digits, if the checksum is there and right; else None.

        Garbage in front of ``after`` is left aside: the line behind it is whole, and its checksum says so.
        """
        function, digits = _FUNCTIONS[self.kind]
        after, before = self.after.encode(), self.before.encode()
        if before:
            body, mark, written = line.rpartition(before)
            if not mark:
                return None
        else:
            body, written = line[:-digits], line[-digits:]
        if after:
            _, mark, body = body.rpartition(after)
            if not mark:
                return None
        if len(written) != digits or not all(byte in b"0123456789abcdefABCDEF" for byte in written):
            return None
        number = int.from_bytes(bytes.fromhex(written.decode()), self.byte_order)
        checked = after + body + before if self.marks == "included" else body
        return body if function(checked) == number else None
