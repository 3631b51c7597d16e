"""From bytes to JSON: size, gzip, UTF-8 and shape are checked here, and everything that is refused is refused as a ContractError."""

import gzip
import re
import zlib
from typing import TypeVar

import msgspec

MAX_BYTES = 1 << 20  # as received
MAX_INFLATED_BYTES = 8 << 20  # after gzip: a bomb stops here

_T = TypeVar("_T")
_decoders: dict[type, msgspec.json.Decoder[object]] = {}


class ContractError(ValueError):
    """A message that is refused. ``reason`` is one word for counters, ``where`` the place in the payload, the text says what would be right."""

    def __init__(self, reason: str, where: str, detail: str) -> None:
        super().__init__(f"{detail} (at {where})" if where else detail)
        self.reason = reason
        self.where = where
        self.detail = detail


def inflate(payload: bytes) -> bytes:
    """The payload, decompressed if its first two bytes say gzip. Raises ContractError ``oversized`` or ``malformed``."""
    if len(payload) > MAX_BYTES:
        raise ContractError("oversized", "", f"{len(payload)} bytes: a message has at most {MAX_BYTES}")
    if payload[:2] != b"\x1f\x8b":
        return payload
    try:
        stream = zlib.decompressobj(wbits=31)
        plain = stream.decompress(payload, MAX_INFLATED_BYTES + 1)
    except zlib.error as error:
        raise ContractError("malformed", "gzip", f"the payload begins like gzip but does not decompress: {error}") from None
    if len(plain) > MAX_INFLATED_BYTES:
        raise ContractError("oversized", "gzip", f"more than {MAX_INFLATED_BYTES} bytes after decompression")
    if not stream.eof:
        raise ContractError("malformed", "gzip", "the gzip stream is truncated")
    if stream.unused_data:
        raise ContractError("malformed", "gzip", f"{len(stream.unused_data)} bytes after the end of the gzip stream: send one stream")
    return plain


def deflate(payload: bytes) -> bytes:
    """The payload as gzip, level 1."""
    return gzip.compress(payload, compresslevel=1)


def from_json(plain: bytes, kind: type[_T]) -> _T:
    """The JSON as one kind of struct. Raises ContractError ``not_utf8``, ``malformed`` or ``wrong_shape``, the last with the JSON path."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    try:
        return decoder.decode(plain)  # type: ignore[return-value]  # the decoder was made for this kind
    except msgspec.ValidationError as error:
        raise _wrong_shape(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _not_json(plain, str(error)) from None
    except RecursionError:
        raise ContractError("malformed", "", "JSON nested too deeply") from None


def _wrong_shape(text: str) -> ContractError:
    # The last " - at " is the decoder's own: the text before it may quote the payload. The lookahead of `whole` says nothing to a reader.
    detail, at, where = text.replace(r"(?!\\n)", "").rpartition(" - at `")
    return ContractError("wrong_shape", where.rstrip("`") if at else "$", detail if at else where)


def _not_json(plain: bytes, text: str) -> ContractError:
    try:
        plain.decode()
    except UnicodeDecodeError as error:
        return ContractError("not_utf8", f"byte {error.start}", "the payload is not UTF-8")
    position = re.search(r"\(byte (\d+)\)", text)
    return ContractError("malformed", f"byte {position[1]}" if position else "", f"not JSON: {text}")
