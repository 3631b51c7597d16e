"""NMEA 0183 sentences of a satellite receiver as readings: position, movement, quality of the fix, and the offset of the host's clock.

Fields after NMEA 0183 as IEC 61162-1 has them: GGA and GNS for the fix, RMC and VTG for movement, RMC and ZDA for the time.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal

from contract.messages import PointDeclaration
from contract.values import GOOD, Quality, Reading, bad, uncertain

Output = Literal["latitude", "longitude", "altitude", "speed", "course", "satellites", "hdop", "fix", "fix_type", "clock_offset"]

OUTPUTS: Mapping[Output, PointDeclaration] = {
    "latitude": PointDeclaration("deg", range=(-90.0, 90.0), description={"es": "Latitud (WGS 84)", "en": "Latitude (WGS 84)"}),
    "longitude": PointDeclaration("deg", range=(-180.0, 180.0), description={"es": "Longitud (WGS 84)", "en": "Longitude (WGS 84)"}),
    "altitude": PointDeclaration("m", description={"es": "Altitud sobre el nivel medio del mar", "en": "Altitude above mean sea level"}),
    "speed": PointDeclaration("m/s", description={"es": "Velocidad sobre el suelo", "en": "Speed over ground"}),
    "course": PointDeclaration("deg", range=(0.0, 360.0), description={"es": "Rumbo verdadero", "en": "True course over ground"}),
    "satellites": PointDeclaration("1", description={"es": "Satélites en uso", "en": "Satellites in use"}),
    "hdop": PointDeclaration("1", description={"es": "Dilución horizontal de la precisión", "en": "Horizontal dilution of precision"}),
    "fix": PointDeclaration("bool", "digital", description={"es": "Tiene posición", "en": "Has a fix"}),
    "fix_type": PointDeclaration("1", description={"es": "Tipo de posición, 0 a 8", "en": "Kind of fix, 0 to 8"}),
    "clock_offset": PointDeclaration(
        "ms", description={"es": "Hora GNSS menos reloj del equipo", "en": "GNSS time minus clock of the node"}
    ),
}

NO_FIX, BAD_NO_FIX = uncertain("no_fix"), bad("no_fix")
MALFORMED = bad("malformed")
NOT_MOVING = bad("not_moving")
WEEK_ROLLOVER = uncertain("week_rollover")
KNOT = 1852 / 3600  # m/s
# GGA field 6: 1 autonomous, 2 differential, 3 precise, 4 RTK, 5 float RTK, 6 dead reckoning, 7 set by hand, 8 simulator
_FIX_QUALITY = {0: NO_FIX, 6: uncertain("estimated"), 7: uncertain("set_by_hand"), 8: uncertain("simulated")}
_MODES = {"R": 4, "F": 5, "P": 3, "D": 2, "A": 1, "E": 6, "M": 7, "S": 8, "N": 0}  # best first: GNS has one letter for each system
_ANGLE = re.compile(r"(\d{1,3})(\d\d(?:\.\d*)?)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ROLLOVER_NS = 1024 * 7 * 86_400 * 10**9  # the week number of GPS L1 C/A has ten bits
_DAY_NS = 86_400 * 10**9
_PATIENCE = 2  # sentences of the second choice before it is listened to


class SentenceDecoder:
    """The readings of each sentence, under ``under``; ``latency`` is what a sentence usually comes late, in seconds.

    Position is taken from GGA or GNS, movement from RMC; RMC and VTG step in where those do not come.
    """

    def __init__(self, under: str, latency: float = 0.0) -> None:
        self._under = under
        self._latency_ns = round(latency * 1e9)
        self._without_gga = self._without_rmc = 0
        self._kind = 0  # of the last fix
        self._second: int | None = None
        self._readers: dict[str, Callable[[Any, int], list[Reading]]] = {
            "GGA": self._gga,
            "GNS": self._gns,
            "RMC": self._rmc,
            "VTG": self._vtg,
            "ZDA": self._clock,
        }

    def decode(self, line: bytes, time_ns: int) -> list[Reading] | None:
        """The readings of a line that came at ``time_ns`` (Unix): none for a sound sentence of another kind; None where none is sound.

        Garbage before the last ``$`` is left aside. A sentence without a checksum is not believed.
        """
        import pynmea2  # type: ignore[import-untyped]  # has no types

        try:
            text = line[line.rfind(b"$") + 1 :].decode("ascii") if b"$" in line else ""
        except UnicodeDecodeError:
            return None
        body, _, digits = text.rpartition("*")
        if not re.fullmatch("[0-9A-Fa-f]{2}", digits) or pynmea2.NMEASentence.checksum(body) != int(digits, 16):
            return None
        # P begins a maker's own sentence, whose name may look like one of these: Garmin's PGRMC is no RMC.
        reader = self._readers.get(body[2:5]) if body[5:6] == "," and not body.startswith("P") else None
        if reader is None:
            return []
        try:
            return reader(pynmea2.parse(f"${text}", check=True), time_ns)
        except pynmea2.ParseError:
            return None

    def _gga(self, sentence: Any, time_ns: int) -> list[Reading]:
        # what is no number counts as no fix
        kind = sentence.gps_qual if isinstance(sentence.gps_qual, int) and 0 <= sentence.gps_qual <= 9 else 0
        return self._fix(sentence, kind, sentence.horizontal_dil, time_ns)

    def _gns(self, sentence: Any, time_ns: int) -> list[Reading]:
        kind = next((kind for letter, kind in _MODES.items() if letter in sentence.mode_indicator), 0)
        return self._fix(sentence, kind, sentence.hdop, time_ns)

    def _fix(self, sentence: Any, kind: int, hdop: object, time_ns: int) -> list[Reading]:
        self._without_gga = 0
        quality = _FIX_QUALITY.get(kind, GOOD)
        return [
            *self._position(sentence, kind, time_ns),
            self._number("altitude", time_ns, sentence.altitude, quality),
            self._number("satellites", time_ns, sentence.num_sats, GOOD),
            self._number("hdop", time_ns, hdop, quality),
            self._reading("fix_type", time_ns, float(kind)),
        ]

    def _position(self, sentence: Any, kind: int, time_ns: int) -> list[Reading]:
        self._kind = kind
        quality = _FIX_QUALITY.get(kind, GOOD)
        return [
            self._angle("latitude", time_ns, sentence.lat, sentence.lat_dir, quality),
            self._angle("longitude", time_ns, sentence.lon, sentence.lon_dir, quality),
            self._reading("fix", time_ns, float(kind > 0)),
        ]

    def _rmc(self, sentence: Any, time_ns: int) -> list[Reading]:
        self._without_rmc = 0
        mode = sentence.mode_indicator  # since NMEA 2.3; empty before
        kind = (_MODES.get(mode, 1) if mode else 1) if sentence.status == "A" else 0
        self._without_gga += 1
        position = []
        if self._without_gga > _PATIENCE:
            position = [*self._position(sentence, kind, time_ns), self._reading("fix_type", time_ns, float(kind))]
        speed, course = sentence.spd_over_grnd, sentence.true_course
        return [*position, *self._movement(speed, course, _FIX_QUALITY.get(kind, GOOD), time_ns), *self._clock(sentence, time_ns, kind)]

    def _vtg(self, sentence: Any, time_ns: int) -> list[Reading]:
        self._without_rmc += 1
        if self._without_rmc <= _PATIENCE:
            return []
        kind = _MODES.get(sentence.faa_mode, 1) if sentence.faa_mode else self._kind
        return self._movement(sentence.spd_over_grnd_kts, sentence.true_track, _FIX_QUALITY.get(kind, GOOD), time_ns)

    def _movement(self, knots: object, course: object, quality: Quality, time_ns: int) -> list[Reading]:
        if course in (None, "") and quality is not NO_FIX:
            direction = self._reading("course", time_ns, None, NOT_MOVING)  # receivers leave it out when they stand
        else:
            direction = self._number("course", time_ns, course, quality)
        return [self._number("speed", time_ns, knots, quality, KNOT), direction]

    def _clock(self, sentence: Any, time_ns: int, kind: int | None = None) -> list[Reading]:
        """GNSS time minus the clock of this node, once for each second of the receiver; nothing while the receiver has no date."""
        if not isinstance(sentence.timestamp, time):
            return []
        try:
            day = sentence.datestamp
            if not isinstance(day, date):
                return []
            moment = datetime.combine(day, sentence.timestamp)
        except (ValueError, TypeError):  # ZDA builds its date from three fields, which may be empty
            return []
        gnss_ns = (moment - _EPOCH) // timedelta(microseconds=1) * 1000
        if gnss_ns // 10**9 == self._second:
            return []
        self._second = gnss_ns // 10**9
        offset_ns = gnss_ns + self._latency_ns - time_ns
        quality = _FIX_QUALITY.get(
            self._kind if kind is None else kind, GOOD
        )  # without a fix it is the receiver's own quartz, or a simulator
        if abs(offset_ns) > _DAY_NS and (abs(offset_ns) + _DAY_NS) % _ROLLOVER_NS < 2 * _DAY_NS:
            quality = WEEK_ROLLOVER
        return [self._reading("clock_offset", time_ns, round(offset_ns / 1e6, 3), quality)]

    def _angle(self, output: Output, time_ns: int, written: str, side: str, quality: Quality) -> Reading:
        """Degrees from ``dddmm.mmm`` and N, S, E or W."""
        if not written:
            return self._reading(output, time_ns, None, BAD_NO_FIX)
        letters, most = ("NS", 90) if output == "latitude" else ("EW", 180)
        match = _ANGLE.fullmatch(written)
        if match is None or float(match[2]) >= 60 or side not in tuple(letters):
            return self._reading(output, time_ns, None, MALFORMED)
        degrees = int(match[1]) + float(match[2]) / 60
        if degrees > most:
            return self._reading(output, time_ns, None, MALFORMED)
        return self._reading(output, time_ns, -degrees if side == letters[1] else degrees, quality)

    def _number(self, output: Output, time_ns: int, written: Any, quality: Quality, scale: float = 1.0) -> Reading:
        if written in (None, ""):
            return self._reading(output, time_ns, None, BAD_NO_FIX)
        try:
            value = float(written) * scale
        except ValueError:
            return self._reading(output, time_ns, None, MALFORMED)
        if not abs(value) < 1e9:
            return self._reading(output, time_ns, None, MALFORMED)
        return self._reading(output, time_ns, value, quality)

    def _reading(self, output: Output, time_ns: int, value: float | None, quality: Quality = GOOD) -> Reading:
        return Reading(f"{self._under}/{output}", time_ns, value, quality)
