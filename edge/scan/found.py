"""What a scan says of one place: what is there, or why it cannot be told; and the entry of a configuration that would read it."""

import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

Kind = Literal["serial", "can", "camera", "modbus"]
Say = Callable[[str], None]
"""Takes a line of progress for the person who waits."""

MAX_NAME = 32  # characters of a name, `contract.values.IDENTIFIER`


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One place. ``trouble`` is why nothing can be told of it; ``says`` are lines for people, ``data`` is the same for machines.

    ``source`` and ``processing`` are entries of a node's configuration; ``fill_in`` says what of them only a person can know.
    ``asked`` is set where somebody named the place.
    """

    kind: Kind
    where: str
    found: bool
    says: tuple[str, ...] = ()
    trouble: str | None = None
    data: Mapping[str, Any] = {}
    source: Mapping[str, Any] | None = None
    processing: Mapping[str, Any] | None = None
    fill_in: tuple[str, ...] = ()
    asked: bool = False


def name_for(kind: Kind, place: str) -> str:
    """The name of a source after the place where it is, `serial-ttyusb0`: one place, one name, also where it is too long and is cut."""
    text = f"{kind}-{re.sub(r'[^a-z0-9]+', '-', place.removeprefix('/dev/').lower()).strip('-')}"
    if len(text) <= MAX_NAME:
        return text
    mark = f"{zlib.crc32(place.encode()):08x}"[:6]
    return f"{text[: MAX_NAME - 7].rstrip('-')}-{mark}"
