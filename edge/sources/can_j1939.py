"""J1939: identifiers, the parameters (SPN) of a diesel machine and the active trouble codes (DM1). Pure; no I/O.

Bytes count from 0 and numbers are little-endian. Each entry says where it comes from and how certain that is: public decoders disagree
(SPN 183 in PGN 65263, SPN 100 at byte 1, SPN 175 at byte 1 are known mistakes), and the maker of the machine has the last word.
"""

from typing import Final, Literal, NamedTuple

from contract.values import GOOD, Quality, bad

BROADCAST = 255
DM1 = 65226
TIRE = 65268
TIRE_LOCATION = 0  # byte of SPN 929 in PGN 65268

NOT_AVAILABLE = bad("not_available")
SENSOR_ERROR = bad("sensor_error")
RESERVED = bad("reserved_code")
MALFORMED = bad("malformed_frame")

Lamp = Literal["protect", "amber_warning", "red_stop", "malfunction"]
LAMP_BIT: Final[dict[Lamp, int]] = {"protect": 0, "amber_warning": 2, "red_stop": 4, "malfunction": 6}

Decoded = tuple[float | None, Quality]

_DATABASE = "voltage_j1939 database.rs (public decoder of SAE J1939-71)"
_GENERAL = "general knowledge of SAE J1939-71, not checked against the standard"


class Spn(NamedTuple):
    """One parameter: value = number of ``size`` bytes from byte ``at`` * ``scale`` + ``offset``, in ``unit``.

    ``interval``: seconds between transmissions as the standard recommends (general knowledge), None where it is sent on request only.
    """

    number: int
    pgn: int
    at: int
    size: int
    scale: float
    offset: float
    unit: str
    interval: float | None
    es: str
    en: str
    kind: Literal["analog", "counter"] = "analog"
    source: str = _DATABASE
    certainty: Literal["high", "medium"] = "high"
    verify_against: str = "SAE J1939-71 and the manual of the machine"

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest value that the number can carry; above it stand the codes (0xFB… and up)."""
        highest = (0xFB << 8 * (self.size - 1)) - 1
        return self.offset, round(highest * self.scale + self.offset, 8)


_ENTRIES = (
    Spn(190, 61444, 3, 2, 0.125, 0, "rpm", 0.1, "Velocidad del motor", "Engine speed"),
    Spn(110, 65262, 0, 1, 1, -40, "degC", 1, "Temperatura del refrigerante", "Coolant temperature", source=_GENERAL),
    Spn(175, 65262, 2, 2, 0.03125, -273, "degC", 1, "Temperatura del aceite del motor", "Engine oil temperature", source=_GENERAL),
    Spn(98, 65263, 2, 1, 0.4, 0, "%", 0.5, "Nivel de aceite del motor", "Engine oil level"),
    Spn(100, 65263, 3, 1, 4, 0, "kPa", 0.5, "Presión de aceite del motor", "Engine oil pressure"),
    Spn(101, 65263, 4, 2, 1 / 128, -250, "kPa", 0.5, "Presión del cárter", "Crankcase pressure", source=_GENERAL, certainty="medium"),
    Spn(111, 65263, 7, 1, 0.4, 0, "%", 0.5, "Nivel de refrigerante", "Coolant level"),
    Spn(183, 65266, 0, 2, 0.05, 0, "l/h", 0.1, "Consumo de combustible", "Fuel rate"),
    Spn(84, 65265, 1, 2, 1 / 256, 0, "km/h", 0.1, "Velocidad del vehículo", "Vehicle speed"),
    Spn(108, 65269, 0, 1, 0.5, 0, "kPa", 1, "Presión barométrica", "Barometric pressure"),
    Spn(171, 65269, 3, 2, 0.03125, -273, "degC", 1, "Temperatura ambiente", "Ambient temperature"),
    Spn(102, 65270, 1, 1, 2, 0, "kPa", 0.5, "Presión de sobrealimentación", "Boost pressure"),
    Spn(105, 65270, 2, 1, 1, -40, "degC", 0.5, "Temperatura de admisión", "Intake manifold temperature"),
    Spn(107, 65270, 4, 1, 0.05, 0, "kPa", 0.5, "Presión diferencial del filtro de aire", "Air filter differential pressure"),
    Spn(173, 65270, 5, 2, 0.03125, -273, "degC", 0.5, "Temperatura de gases de escape", "Exhaust gas temperature"),
    Spn(168, 65271, 4, 2, 0.05, 0, "V", 1, "Tensión de batería", "Battery voltage"),
    Spn(247, 65253, 0, 4, 0.05, 0, "h", None, "Horas del motor", "Engine hours", kind="counter"),
    Spn(250, 65257, 4, 4, 0.5, 0, "l", None, "Combustible total", "Total fuel used", kind="counter"),
    Spn(241, TIRE, 1, 1, 4, 0, "kPa", 10, "Presión del neumático", "Tire pressure", source=_GENERAL),
    Spn(242, TIRE, 2, 2, 0.03125, -273, "degC", 10, "Temperatura del neumático", "Tire temperature", source=_GENERAL),
)
SPNS: Final[dict[int, Spn]] = {entry.number: entry for entry in _ENTRIES}

DM1_INTERVAL = 1.0  # s while a code is active; general knowledge of SAE J1939-73


class Identifier(NamedTuple):
    """What the 29 bits of an extended CAN identifier say. ``destination`` is 255 where the message is for all."""

    priority: int
    pgn: int
    source: int
    destination: int


def identify(arbitration_id: int) -> Identifier:
    """The parts of a 29-bit identifier (SAE J1939-21): below PDU format 240 the low byte of the PGN field is the destination."""
    pgn, destination = arbitration_id >> 8 & 0x3FFFF, BROADCAST
    if pgn >> 8 & 0xFF < 240:
        pgn, destination = pgn & 0x3FF00, pgn & 0xFF
    return Identifier(arbitration_id >> 26 & 7, pgn, arbitration_id & 0xFF, destination)


def code_of(raw: int, bits: int) -> Quality:
    """What a number of ``bits`` bits says of itself: GOOD where it is a value, else bad with the reason.

    The top byte tells (SAE J1939-71, table of ranges): 0xFF not available, 0xFE error, 0xFB to 0xFD reserved or specific to the parameter.
    Of two bits 3 is not available and 2 error; of four 15 and 14. Other sizes below a byte carry no such codes.
    """
    if bits in (2, 4):
        top = raw + 0x100 - (1 << bits)
        return NOT_AVAILABLE if top == 0xFF else SENSOR_ERROR if top == 0xFE else GOOD
    if bits < 8:
        return GOOD
    top = raw >> bits - 8
    if top < 0xFB:
        return GOOD
    return NOT_AVAILABLE if top == 0xFF else SENSOR_ERROR if top == 0xFE else RESERVED


def decode_spn(spn: Spn, data: bytes) -> Decoded:
    """The value of a parameter in the payload of its PGN, in the unit of the table; None with the reason where there is none."""
    if len(data) < spn.at + spn.size:
        return None, MALFORMED
    raw = int.from_bytes(data[spn.at : spn.at + spn.size], "little")
    quality = code_of(raw, 8 * spn.size)
    if quality is not GOOD:
        return None, quality
    return round(raw * spn.scale + spn.offset, 8), GOOD


class TroubleCode(NamedTuple):
    """One diagnostic trouble code. ``old_method``: its conversion bit is set, so an old controller may have packed the SPN otherwise."""

    spn: int
    fmi: int
    occurrences: int
    old_method: bool


class ActiveCodes(NamedTuple):
    """One DM1: ``lamps`` is the first byte, two bits for each lamp."""

    lamps: int
    codes: tuple[TroubleCode, ...]

    def lamp(self, name: Lamp) -> Decoded:
        """1 where the lamp is lit, else 0; None where the controller does not say (11) or reports an error (10)."""
        state = self.lamps >> LAMP_BIT[name] & 3
        quality = code_of(state, 2)
        return (float(state), GOOD) if quality is GOOD else (None, quality)


def decode_dm1(data: bytes) -> ActiveCodes | None:
    """The lamps and codes of a DM1 (SAE J1939-73): 2 bytes of lamps, then 4 bytes a code. None where it is shorter than one code.

    Four zeros, or four 0xFF of older controllers, stand for "no code".
    """
    if len(data) < 6:
        return None
    codes = []
    for at in range(2, len(data) - 3, 4):
        four = data[at : at + 4]
        if four in (b"\x00\x00\x00\x00", b"\xff\xff\xff\xff"):
            continue
        spn = four[0] | four[1] << 8 | four[2] >> 5 << 16
        codes.append(TroubleCode(spn, four[2] & 0x1F, four[3] & 0x7F, bool(four[3] & 0x80)))
    return ActiveCodes(data[0], tuple(codes))
