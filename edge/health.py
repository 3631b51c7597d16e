"""What a node says of itself: metrics as ordinary points each 10 s, and for each source and processor a point and a malfunction alarm."""

import resource
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from contract.alarms import AlarmDefinition, Condition, ConditionKind, Priority, SignalClass
from contract.messages import PointDeclaration
from contract.values import GOOD, Reading, bad
from edge.clock import Synchronisation
from edge.host import HostState

PERIOD = 10.0  # seconds between health readings
OFF_DELAY = 5.0  # seconds a module must run before its malfunction clears: a flapping line is one alarm, not fifty

_PAGE = resource.getpagesize()

_POINTS: dict[str, tuple[str, str, str, str]] = {  # signal -> unit, kind, es, en
    "outbox/depth": ("messages", "analog", "Mensajes sin confirmar", "Messages not acknowledged"),
    "outbox/oldest": ("s", "analog", "Antigüedad del mensaje más viejo", "Age of the oldest message"),
    "outbox/bytes": ("B", "analog", "Tamaño de la bandeja de salida", "Size of the outbox"),
    "outbox/thinned": ("frames", "counter", "Instantes descartados por falta de espacio", "Frames thinned for lack of room"),
    "disk/free": ("MB", "analog", "Espacio libre en el disco", "Free room on the disk"),
    "agent/rss": ("MB", "analog", "Memoria del agente", "Memory of the agent"),
    "agent/cpu": ("%", "analog", "CPU del agente, de un núcleo", "CPU of the agent, of one core"),
    "agent/shed": ("items", "counter", "Elementos descartados por sobrecarga", "Items shed under load"),
    "agent/malformed_acks": ("messages", "counter", "Confirmaciones ilegibles", "Acknowledgements that could not be read"),
    "host/temperature": ("degC", "analog", "Temperatura del procesador", "Temperature of the processor"),
    "host/undervoltage": ("bool", "digital", "Alimentación insuficiente", "Supply voltage too low"),
    "host/throttled": ("bool", "digital", "Procesador frenado", "Processor slowed down by heat or supply"),
    "host/memory_available": ("MB", "analog", "Memoria disponible", "Memory available"),
    "host/load": ("1", "analog", "Carga por núcleo, último minuto", "Load of each core, last minute"),
    "host/uptime": ("s", "analog", "Tiempo desde el arranque", "Time since the boot"),
    "disk/written": ("MB", "counter", "Escrito en el disco desde el arranque", "Written to the disk since the boot"),
    "disk/wear": ("%", "analog", "Vida útil gastada del disco", "Life of the disk that is used up"),
    "disk/reserve": (
        "1",
        "analog",
        "Bloques de reserva del disco: 1 normal, 2 pocos, 3 casi ninguno",
        "Spare blocks of the disk: 1 normal, 2 few, 3 hardly any",
    ),
    "clock/offset": ("ms", "analog", "Desvío del reloj", "Clock offset"),
    "clock/synchronised": ("bool", "digital", "Reloj sincronizado", "Clock synchronised"),
}
_RANGES: dict[str, tuple[float, float]] = {
    "host/temperature": (-40, 125),
    **dict.fromkeys(("host/undervoltage", "host/throttled", "clock/synchronised"), (0.0, 1.0)),
}


def health_points(node: str) -> dict[str, PointDeclaration]:
    """The declarations of the node's own metrics."""
    return {
        f"{node}/{signal}": PointDeclaration(
            unit=unit, kind=kind, range=_RANGES.get(signal), asset=node, description={"es": es, "en": en}, period=PERIOD
        )
        for signal, (unit, kind, es, en) in _POINTS.items()
    }


def module_point(node: str, kind: str, name: str) -> str:
    """``NODE/source/NAME`` or ``NODE/processor/NAME``: 1 running, and 0 with a bad quality when it is not."""
    return f"{node}/{kind}/{name}"


def module_points(node: str, modules: Iterable[tuple[str, str]]) -> dict[str, PointDeclaration]:
    titles = {
        "source": ("Fuente {} en marcha", "Source {} running"),
        "processor": ("Proceso {} en marcha", "Processor {} running"),
        "output": ("Salida {} en servicio", "Output {} in service"),
    }
    return {
        module_point(node, kind, name): PointDeclaration(
            unit="bool",
            kind="digital",
            range=(0, 1),
            asset=node,
            description={"es": titles[kind][0].format(name), "en": titles[kind][1].format(name)},
            period=PERIOD,
        )
        for kind, name in modules
    }


def malfunction_alarm(kind: str, name: str, point: str) -> AlarmDefinition:
    """The automatic alarm ``source-NAME``, ``processor-NAME`` or ``output-NAME``: bad quality of the module's point."""
    if kind == "output":
        return _output_alarm(name, point)
    es, en = ("la fuente", "source") if kind == "source" else ("el proceso", "processor")
    return AlarmDefinition(
        id=f"{kind}-{name}",
        point=point,
        condition=Condition(ConditionKind.BAD_QUALITY),
        priority=Priority.MEDIUM,
        signal_class=SignalClass.MALFUNCTION,
        off_delay=OFF_DELAY,
        title={"es": f"Falla: {es} {name} no entrega datos", "en": f"Malfunction: {en} {name} delivers nothing"},
        consequence={"es": "Sus puntos no se vigilan", "en": "Its points are not watched"},
        action={
            "es": "Revise alimentación, cable y dirección del equipo; el nodo reintenta solo",
            "en": "Check the device's power, cable and address; the node keeps trying by itself",
        },
        source="automatic",
    )


def _output_alarm(name: str, point: str) -> AlarmDefinition:
    """Higher than the others: the people at the place are not warned, and cannot know it."""
    return AlarmDefinition(
        id=f"output-{name}",
        point=point,
        condition=Condition(ConditionKind.BAD_QUALITY),
        priority=Priority.HIGH,
        signal_class=SignalClass.MALFUNCTION,
        off_delay=OFF_DELAY,
        title={"es": f"Falla: la salida {name} no responde", "en": f"Malfunction: output {name} does not respond"},
        consequence={"es": "En el lugar no suena ni se ve la alarma", "en": "At the place the alarm is neither heard nor seen"},
        action={
            "es": "Avise al lugar por radio; revise alimentación, cable y dirección, y pruebe con muki edge test-outputs",
            "en": "Warn the place by radio; check power, cable and address, and try it with muki edge test-outputs",
        },
        source="automatic",
    )


class Counters(NamedTuple):
    """What the node knows and the kernel does not."""

    depth: int
    oldest: float  # s
    bytes: int
    thinned: int
    free: int | None  # bytes
    shed: int
    malformed_acks: int


class Health:
    """Remembers the CPU time between two calls."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._cpu = time.process_time()
        self._at = time.monotonic()

    def readings(self, counters: Counters, clock: Synchronisation, host: HostState, time_ns: int) -> list[Reading]:
        """One reading for each of `health_points`; what this machine does not tell is bad:not_available."""
        cpu, at = time.process_time(), time.monotonic()
        share = 100.0 * (cpu - self._cpu) / max(at - self._at, 1e-3)
        self._cpu, self._at = cpu, at
        values: dict[str, float | None] = {
            "outbox/depth": counters.depth,
            "outbox/oldest": round(counters.oldest, 3),
            "outbox/bytes": counters.bytes,
            "outbox/thinned": counters.thinned,
            "disk/free": None if counters.free is None else round(counters.free / 1e6, 3),
            "agent/rss": round(rss_bytes() / 1e6, 2),
            "agent/cpu": round(share, 2),
            "agent/shed": counters.shed,
            "agent/malformed_acks": counters.malformed_acks,
            "host/temperature": host.temperature,
            "host/undervoltage": _bit(host.undervoltage),
            "host/throttled": _bit(host.throttled),
            "host/memory_available": host.memory_available,
            "host/load": host.load,
            "host/uptime": host.uptime,
            "disk/written": host.disk_written,
            "disk/wear": host.disk_wear,
            "disk/reserve": host.disk_reserve,
            "clock/offset": clock.offset_ms,
            "clock/synchronised": _bit(clock.synchronised),
        }
        return [
            Reading(f"{self._node}/{signal}", time_ns, value, bad("not_available") if value is None else GOOD)
            for signal, value in values.items()
        ]


class ModuleStatus:
    """Whether one source or processor runs: its point's reading at each change, and the same again with each health round."""

    def __init__(self, point: str, reason: str) -> None:
        self._point = point
        self._reason = reason
        self._runs: bool | None = None  # None: neither has delivered nor failed yet

    def change(self, runs: bool, time_ns: int) -> list[Reading]:
        """A reading when this is news."""
        if runs is self._runs:
            return []
        self._runs = runs
        return self.current(time_ns)

    def current(self, time_ns: int) -> list[Reading]:
        if self._runs is None:
            return []
        return [Reading(self._point, time_ns, float(self._runs), GOOD if self._runs else bad(self._reason))]


def rss_bytes() -> int:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def _bit(state: bool | None) -> float | None:
    return None if state is None else float(state)
