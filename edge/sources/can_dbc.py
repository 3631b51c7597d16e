"""DBC files of the site, read with cantools: which frame carries a signal, and what its number means."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from contract.units import UNITS
from contract.values import GOOD, bad
from edge.errors import Misconfigured
from edge.sources.can_j1939 import BROADCAST, MALFORMED, Decoded, code_of, identify
from edge.sources.can_settings import CanPoint, nearest

if TYPE_CHECKING:
    from cantools.database.can import Database, Message, Signal

SENSOR_FAULT = bad("sensor_fault")
_ANY_SENDER = 254  # J1939 null address: what a DBC writes where the sender is left open


class DbcSignal(NamedTuple):
    """Where a signal stands. ``pgn`` is set for J1939 messages, which are told by it and not by the whole identifier.

    ``decode`` gives None where the frame does not carry the signal (another page of a multiplexed message).
    """

    frame_id: int
    extended: bool
    pgn: int | None
    source: int | None
    multiplexed: bool
    decode: Callable[[bytes], Decoded | None]


def load_dbc(path: Path, written: str) -> "Database":
    """The file as cantools reads it. Raises Misconfigured where it is absent or no DBC."""
    from cantools.database import load_file
    from cantools.database.can import Database
    from cantools.database.errors import UnsupportedDatabaseFormatError

    if not path.is_file():
        raise Misconfigured(f"dbc {written}: there is no such file ({path})")
    try:
        # Old tools write cp1252; strict is off because files of makers often have signals that overlap.
        database = load_file(path, database_format="dbc", encoding="cp1252", strict=False)
    except (UnsupportedDatabaseFormatError, ValueError, LookupError, OSError) as error:
        raise Misconfigured(f"dbc {written}: cannot be read as a DBC file: {error}") from error
    if not isinstance(database, Database) or not database.messages:
        raise Misconfigured(f"dbc {written}: describes no message")
    return database


def find_signal(database: "Database", name: str, point: CanPoint) -> DbcSignal:
    """Raises Misconfigured where the file has no such message or signal, or gives its signal another unit than the point has."""
    messages = {message.name: message for message in database.messages}
    message = messages.get(point.message or "")
    if message is None:
        raise Misconfigured(f"point {name}: the DBC file has no message {point.message}; {nearest(point.message or '', list(messages))}")
    signals = {signal.name: signal for signal in message.signals}
    signal = signals.get(point.signal or "")
    if signal is None:
        raise Misconfigured(
            f"point {name}: message {message.name} has no signal {point.signal}; {nearest(point.signal or '', list(signals))}"
        )
    if signal.unit in UNITS and point.unit != signal.unit:
        raise Misconfigured(f"point {name}: the DBC file gives {signal.name} in {signal.unit}, not {point.unit}; write unit: {signal.unit}")
    j1939 = message.protocol == "j1939"
    pgn = source = None
    if j1939:
        identifier = identify(message.frame_id)
        pgn = identifier.pgn
        source = None if identifier.source in (_ANY_SENDER, BROADCAST) else identifier.source
    return DbcSignal(
        message.frame_id,
        bool(message.is_extended_frame),
        pgn,
        source,
        bool(signal.multiplexer_ids),
        _decoder(message, signal, codes=j1939),
    )


def _decoder(message: "Message", signal: "Signal", *, codes: bool) -> Callable[[bytes], Decoded | None]:
    from cantools.database import DecodeError

    name = signal.name

    def decode(data: bytes) -> Decoded | None:
        try:
            numbers = message.decode(data, decode_choices=False, scaling=False, allow_truncated=True)
        except (DecodeError, ValueError, KeyError):
            return (None, MALFORMED) if not signal.multiplexer_ids else None  # a page that the file does not know
        raw = numbers.get(name) if isinstance(numbers, dict) else None
        if not isinstance(raw, int | float):
            return (None, MALFORMED) if not signal.multiplexer_ids else None
        if codes and isinstance(raw, int) and not signal.is_signed:
            quality = code_of(raw, signal.length)
            if not quality.good:
                return None, quality
        value = signal.raw_to_scaled(raw, decode_choices=False)
        number = float(value) if isinstance(value, int | float) else float("nan")
        if not -1.7976931348623157e308 <= number <= 1.7976931348623157e308:
            return None, SENSOR_FAULT
        return round(number, 9), GOOD

    return decode
