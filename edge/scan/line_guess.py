"""What the bytes of a serial line are: NMEA sentences, lines of text, Modbus frames, something binary; and the entry that would read them. Pure."""

import re
from collections.abc import Sequence
from functools import reduce
from operator import xor
from typing import Any, Literal, NamedTuple

from edge.scan.modbus_traffic import overheard

Nature = Literal["silence", "nmea", "text", "modbus", "binary"]

RECEIVER = frozenset({"GGA", "GNS", "RMC", "VTG", "ZDA"})  # what the source `nmea` reads
MIN_BYTES = 8  # fewer may be noise of plugging in
MAX_KINDS, MAX_COLUMNS = 6, 16  # of a first configuration: a person goes through it
SHOWN = 80  # characters of a line that is shown
_SENTENCE = re.compile(rb"[$!]([A-Z0-9]{3,8},[\x20-\x7e]*)\*([0-9A-Fa-f]{2})")
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
_PRINTABLE = frozenset(range(0x20, 0x7F)) | {0x09, 0x0A, 0x0D, 0x02, 0x03}


class Guess(NamedTuple):
    """``lines`` are the whole ones, ``sentences`` the NMEA types, ``units`` those of Modbus frames.

    ``parity`` is E or O, with 7 data bits, where the eighth bit proves it.
    """

    nature: Nature
    lines: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    parity: Literal["N", "E", "O"] = "N"
    checksums: bool = False  # every line carries that of NMEA
    units: tuple[int, ...] = ()

    @property
    def certain(self) -> bool:
        """A wrong line speed makes neither checksums nor lines of text."""
        return self.nature in ("nmea", "text", "modbus")


def guess(data: bytes) -> Guess:
    """What was heard at one line speed with 8 data bits and no parity. The first line may be half: it counts only where it is the only one."""
    if len(data) < MIN_BYTES:
        return Guess("silence")
    parity = _seven_bits(data)
    if parity is not None:
        data = bytes(byte & 0x7F for byte in data)
    ended = [line for line in re.split(rb"[\r\n]+", data)[:-1] if line]
    whole = ended[1:] or ended
    proved = [found for line in ended if (found := _SENTENCE.search(line)) and _checked(found)]
    if len(proved) * 2 > len(whole):
        types = sorted({_type(found[1].partition(b",")[0].decode()) for found in proved})
        lines = tuple(found[0].decode() for found in proved)
        return Guess("nmea" if RECEIVER & set(types) else "text", lines, tuple(types), parity or "N", checksums=True)
    printable = sum(byte in _PRINTABLE for byte in data) / len(data)
    if printable < 0.98 or not whole:
        frames = overheard(data)
        return Guess("binary") if frames is None else Guess("modbus", units=frames.units)
    return Guess("text", tuple(line.decode("ascii", "replace").strip("\x02\x03 ") for line in whole), (), parity or "N")


def line_kinds(asset: str, lines: Sequence[str]) -> list[dict[str, Any]]:
    """The kinds of line as the source `serial-line` has them, every number a point without unit; none where no line holds a number."""
    kinds: dict[tuple[str, str, int], dict[str, Any]] = {}
    for line in lines:
        body = re.sub(r"^[$!](.*)\*[0-9A-Fa-f]{2}$", r"\1", line)
        separator = _separator(body)
        cells = body.split(None if separator == " " else separator)
        if not cells:  # a blank line
            continue
        head = cells[0] if not _NUMBER.fullmatch(cells[0].strip()) else ""
        key = head, separator, len(cells)
        if key in kinds or len(kinds) >= MAX_KINDS:
            continue
        number = len(kinds) + 1
        columns = [at for at, cell in enumerate(cells, 1) if _NUMBER.fullmatch(cell.strip())][:MAX_COLUMNS]
        if columns:
            kind: dict[str, Any] = {"select": re.escape(head + (separator if separator != " " else ""))} if head else {}
            kind |= {"separator": separator, "columns": len(cells)}
            kind["points"] = {f"{asset}/line-{number}/column-{at}": {"column": at, "unit": "1"} for at in columns}
            kinds[key] = kind
        elif pattern := _pattern(body):
            groups = sorted(re.compile(pattern).groupindex)
            kinds[key] = {
                "pattern": pattern,
                "points": {f"{asset}/line-{number}/number-{group[1:]}": {"group": group, "unit": "1"} for group in groups},
            }
    return list(kinds.values())


def _seven_bits(data: bytes) -> Literal["E", "O"] | None:
    """The parity that every byte keeps, where some have the eighth bit set: chance makes that once in 2^n."""
    if not any(byte & 0x80 for byte in data) or not all(byte & 0x7F in _PRINTABLE for byte in data):
        return None
    odd = {byte.bit_count() % 2 for byte in data}
    return ("O" if odd == {1} else "E") if len(odd) == 1 else None


def _checked(sentence: re.Match[bytes]) -> bool:
    return reduce(xor, sentence[1], 0) == int(sentence[2], 16)


def _type(address: str) -> str:
    """GGA of GNGGA; a maker's own sentence keeps its name."""
    return address if address.startswith("P") else address[-3:]


def _separator(body: str) -> str:
    for candidate in (",", ";", "\t"):
        if candidate in body:
            return candidate
    return " "


def _pattern(body: str) -> str:
    """The line with each number as a group and each run of blanks as any: for CO=12.3ppm. Empty where there is no number."""
    parts: list[str] = []
    at = number = 0
    for found in _NUMBER.finditer(body):
        if number == MAX_COLUMNS:
            break
        number += 1
        parts += [_blanks(body[at : found.start()]), rf"(?P<n{number}>[-+]?\d+(?:\.\d+)?)"]
        at = found.end()
    return "".join([*parts, _blanks(body[at:])]) if number else ""


def _blanks(text: str) -> str:
    return r"\s*".join(re.escape(part) for part in re.split(r"\s+", text))
