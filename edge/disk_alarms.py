"""What a node says of its disk: whether it takes writes, and the malfunctions ``disk`` (it fills up) and ``disk-refuses`` (it takes nothing)."""

from contract.alarms import AlarmDefinition, Condition, ConditionKind, Priority, SignalClass
from contract.messages import PointDeclaration
from edge.health import PERIOD

NAMES = ("disk", "disk-refuses")
_MB = 1e6


def writes_point(node: str) -> str:
    """1 while the disk takes writes, and 0 with a bad quality while it does not."""
    return f"{node}/disk/writes"


def disk_points(node: str) -> dict[str, PointDeclaration]:
    texts = {"es": "El disco acepta escrituras", "en": "The disk takes writes"}
    return {writes_point(node): PointDeclaration("bool", "digital", (0, 1), node, texts, PERIOD)}


def disk_alarms(node: str, min_free: int) -> list[AlarmDefinition]:
    """``min_free`` in bytes; 0 means that nobody cares how full the disk is."""
    full = AlarmDefinition(
        id="disk",
        point=f"{node}/disk/free",
        condition=Condition(ConditionKind.BELOW, min_free / _MB),
        priority=Priority.MEDIUM,
        signal_class=SignalClass.MALFUNCTION,
        deadband=0.1 * min_free / _MB,
        title={"es": "Falla: queda poco espacio en el disco del nodo", "en": "Malfunction: little room on the node's disk"},
        consequence={
            "es": "La historia sin confirmar no puede crecer y pierde resolución",
            "en": "What is not acknowledged can grow no further and loses resolution",
        },
        action={"es": "Libere espacio en el nodo: registros, archivos ajenos", "en": "Free room on the node: logs, files of others"},
        source="automatic",
    )
    refuses = AlarmDefinition(
        id="disk-refuses",
        point=writes_point(node),
        condition=Condition(ConditionKind.BAD_QUALITY),
        priority=Priority.HIGH,
        signal_class=SignalClass.MALFUNCTION,
        title={"es": "Falla: el disco del nodo no acepta escrituras", "en": "Malfunction: the node's disk takes no writes"},
        consequence={
            "es": "Lo que el gateway no confirma se pierde si el nodo se apaga",
            "en": "What the gateway does not acknowledge is lost if the node goes off",
        },
        action={
            "es": "Mantenga el enlace; libere espacio o cambie la tarjeta de memoria",
            "en": "Keep the link up; free room or replace the memory card",
        },
        source="automatic",
    )
    return [full, refuses] if min_free else [refuses]
