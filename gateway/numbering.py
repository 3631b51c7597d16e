"""The number of a message that is refused: what its node must hear to stop sending it."""

import contextlib
import re
import zlib

import msgspec

from contract.messages import ContractError, inflate


class _Numbered(msgspec.Struct):
    """What must be readable of a refused message, so that its node can be told to stop sending it."""

    boot: str = ""
    seq: int = 0


_numbered = msgspec.json.Decoder(_Numbered)
_SEARCHED = 1 << 16  # bytes
_BOOT = re.compile(rb'"boot"\s*:\s*"([0-9A-Za-z-]{1,64})"')
_SEQ = re.compile(rb'"seq"\s*:\s*([1-9][0-9]{0,15})\b')


def _beginning(payload: bytes) -> bytes:
    with contextlib.suppress(zlib.error):
        return zlib.decompressobj(wbits=31).decompress(payload, _SEARCHED)
    return payload


def numbered(payload: bytes, *, whole: bool = True) -> tuple[str, int] | None:
    """The boot and seq of a message that cannot be read as a whole; None where they cannot be read either.

    A payload that is no JSON to its end may still begin with both. Not ``whole``: only its first bytes are unpacked.
    """
    if whole:
        with contextlib.suppress(ContractError):
            payload = inflate(payload)
    else:
        payload = _beginning(payload)
    try:
        found = _numbered.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        boot, seq = _BOOT.search(payload[:_SEARCHED]), _SEQ.search(payload[:_SEARCHED])
        return (boot[1].decode(), int(seq[1])) if boot and seq else None
    valid = _BOOT.fullmatch(b'"boot":"%s"' % found.boot.encode()) is not None and 0 < found.seq < 1 << 53
    return (found.boot, found.seq) if valid else None
