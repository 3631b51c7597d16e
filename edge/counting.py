"""What a source counts, as ordinary points: ``NODE/source/NAME/timeouts``, per slave ``NODE/source/NAME/unit-3/crc_errors``.

Counters only grow, from 0 at the start of the agent: a gap in the history loses nothing. Beside them stands how many of them were faults
in the last minute, so that an alarm rule can watch a line that gets worse long before it fails.
"""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from contract.messages import PointDeclaration
from contract.values import Reading, bad, check_point
from edge.clock import SECOND, Instant
from edge.sources import Counting, Source

log = logging.getLogger("muki.edge.counting")

WINDOW = 60.0  # s that ``errors_per_minute`` looks back
COUNT_FAULT = bad("source_fault")


class Kind(NamedTuple):
    """What a counter counts. ``fault``: each one is an error, and goes into ``errors_per_minute``."""

    unit: str
    es: str
    en: str
    fault: bool = True


RESTARTS = "restarts"
RATE = "errors_per_minute"

_RATE = Kind("1/min", "Errores por minuto", "Errors a minute")
KINDS: Mapping[str, Kind] = {
    RESTARTS: Kind("restarts", "Reinicios", "Restarts"),
    "requests": Kind("requests", "Consultas", "Requests", fault=False),
    "timeouts": Kind("requests", "Consultas sin respuesta", "Requests without an answer"),
    "exceptions": Kind("requests", "Consultas rechazadas por el equipo (excepción)", "Requests that the device refused (exception)"),
    "crc_errors": Kind("requests", "Respuestas dañadas en la línea (CRC)", "Answers damaged on the line (CRC)"),
    "malformed": Kind("messages", "Respuestas o mensajes que no se entienden", "Answers or messages that make no sense"),
    "missed_polls": Kind("polls", "Consultas omitidas por atraso", "Polls left out because earlier ones took too long"),
    "lost_lines": Kind("lines", "Líneas dañadas o ilegibles", "Lines damaged or not understood"),
    "frames": Kind("frames", "Tramas recibidas", "Frames received", fault=False),
    "dropped_frames": Kind("frames", "Tramas perdidas por sobrecarga", "Frames lost because this computer was busy"),
    "error_frames": Kind("frames", "Errores que informa el controlador CAN", "Errors that the CAN controller reports"),
    "unreadable_frames": Kind("frames", "Tramas ilegibles", "Frames that could not be read"),
    "lost_messages": Kind("messages", "Mensajes de varias tramas incompletos", "Messages of several frames that stayed incomplete"),
    "lost_samples": Kind("samples", "Muestras perdidas", "Samples lost"),
    "missed_snapshots": Kind("snapshots", "Registros omitidos por atraso", "Snapshots left out because this computer was busy"),
    "dropped_pictures": Kind("pictures", "Imágenes reemplazadas por otra más nueva", "Pictures that a newer one replaced", fault=False),
    "dropped_messages": Kind("messages", "Mensajes perdidos por sobrecarga", "Messages lost because they came too fast"),
    "bad_values": Kind("values", "Valores con estado malo", "Values with a bad status"),
    "overflows": Kind("values", "Valores perdidos en la cola del servidor", "Values lost in the server's queue"),
    "dropped_values": Kind("values", "Valores perdidos por sobrecarga", "Values lost because they came too fast"),
}


def counter_points(node: str, name: str, source: Source, period: float) -> dict[str, PointDeclaration]:
    """The declarations of a source's counters; each comes every ``period`` seconds. Raises ValueError for a name that is none."""
    base = f"{node}/source/{name}"
    found: dict[str, PointDeclaration] = {}
    for key in (RESTARTS, *_names(source), RATE):
        where, _, what = key.rpartition("/")
        kind = _RATE if key == RATE else KINDS.get(what, Kind("1", what.replace("_", " "), what.replace("_", " ")))
        of = f"{name}, {where}" if where else name
        found[check_point(f"{base}/{key}")] = PointDeclaration(
            unit=kind.unit,
            kind="analog" if key == RATE else "counter",
            asset=node,
            description={"es": f"{kind.es}: {of}", "en": f"{kind.en}: {of}"},
            period=period,
        )
    return found


def _names(source: Source) -> list[str]:
    return list(source.counters()) if isinstance(source, Counting) else []


class SourceCounters:
    """The counters of one source as readings; ``restarts`` is what its supervisor counts."""

    def __init__(self, node: str, name: str, source: Source, restarts: Callable[[], int], now: Instant) -> None:
        self._base = f"{node}/source/{name}"
        self._name = name
        self._source = source
        self._restarts = restarts
        self._known = _names(source)
        self._past: deque[tuple[float, int]] = deque([(now.steady_ns / SECOND, 0)])  # steady s, faults until then
        self._complained = False

    def readings(self, now: Instant) -> list[Reading]:
        """One reading for each of `counter_points`."""
        counts = self._counts()
        if counts is None:
            names = [RESTARTS, *self._known, RATE]
            return [Reading(f"{self._base}/{name}", now.wall_ns, None, COUNT_FAULT) for name in names]
        rate = self._rate(sum(count for key, count in counts.items() if is_fault(key)), now.steady_ns / SECOND)
        values = {**counts, RATE: rate}
        return [Reading(f"{self._base}/{name}", now.wall_ns, float(value)) for name, value in values.items()]

    def _counts(self) -> dict[str, int] | None:
        counts = {RESTARTS: self._restarts()}
        if isinstance(self._source, Counting):
            try:
                told = self._source.counters()
                counts |= {key: told[key] for key in self._known}
            except Exception as error:  # a source of another package: whatever it raises, the node goes on
                if not self._complained:
                    log.warning("source=%s cannot tell its counters: %s: %s", self._name, type(error).__name__, error)
                self._complained = True
                return None
        return counts

    def _rate(self, faults: int, now: float) -> float:
        while len(self._past) > 1 and self._past[1][0] <= now - WINDOW:
            self._past.popleft()
        since, before = self._past[0]
        self._past.append((now, faults))
        return round(60.0 * max(0, faults - before) / max(now - since, 1.0), 2)


def is_fault(key: str) -> bool:
    """Whether a counter counts errors: one that is not known here does."""
    kind = KINDS.get(key.rpartition("/")[2])
    return kind is None or kind.fault
