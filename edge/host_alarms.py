"""The alarms that a node raises about its own computer. Few, and slow: each is something that a person can mend."""

from contract.alarms import AlarmDefinition, Condition, ConditionKind, Priority, SignalClass

PREFIX = "host-"
_CALM = 600.0  # s for which it must be well again: a supply that sags at each start of a pump is one alarm, not fifty
_HOT = 60.0  # s: a model that starts may throttle for a moment
_UNTIMED = 900.0  # s that a node may take after its start to find a time server
_WORN = 80.0  # % of the rated life: months are left, on most


def host_alarms(node: str) -> list[AlarmDefinition]:
    """``host-undervoltage``, ``host-throttled``, ``host-disk-worn``, ``host-disk-reserve`` and ``host-clock``."""
    return [
        AlarmDefinition(
            id=f"{PREFIX}undervoltage",
            point=f"{node}/host/undervoltage",
            condition=Condition(ConditionKind.EQUALS, 1),
            priority=Priority.MEDIUM,
            signal_class=SignalClass.MALFUNCTION,
            off_delay=_CALM,
            title={"es": f"{node}: alimentación insuficiente", "en": f"{node}: supply voltage too low"},
            consequence={
                "es": "El nodo puede reiniciarse y dañar su tarjeta; los equipos USB fallan",
                "en": "The node may restart and damage its card; USB devices fail",
            },
            action={
                "es": "Revise la fuente (5,1 V en la placa), el cable y lo que cuelga de los puertos USB",
                "en": "Check the supply (5.1 V at the board), its cable, and what hangs on the USB ports",
            },
            source="automatic",
        ),
        AlarmDefinition(
            id=f"{PREFIX}throttled",
            point=f"{node}/host/throttled",
            condition=Condition(ConditionKind.EQUALS, 1),
            priority=Priority.LOW,
            signal_class=SignalClass.MALFUNCTION,
            on_delay=_HOT,
            off_delay=_CALM,
            title={"es": f"{node}: procesador frenado", "en": f"{node}: processor slowed down"},
            consequence={
                "es": "Cámaras y modelos se atrasan y descartan datos",
                "en": "Cameras and models lag behind and drop data",
            },
            action={
                "es": "Revise ventilación, sol directo y alimentación de la caja",
                "en": "Check ventilation, direct sun and the supply of the enclosure",
            },
            source="automatic",
        ),
        AlarmDefinition(
            id=f"{PREFIX}disk-worn",
            point=f"{node}/disk/wear",
            condition=Condition(ConditionKind.ABOVE, _WORN),
            priority=Priority.LOW,
            signal_class=SignalClass.MALFUNCTION,
            title={"es": f"{node}: disco gastado", "en": f"{node}: disk worn"},
            consequence={"es": "El nodo perderá su historia cuando falle", "en": "The node loses its history when it fails"},
            action={"es": "Planifique el cambio del disco", "en": "Plan to replace the disk"},
            source="automatic",
        ),
        AlarmDefinition(
            id=f"{PREFIX}disk-reserve",
            point=f"{node}/disk/reserve",
            condition=Condition(ConditionKind.ABOVE, 1),
            priority=Priority.MEDIUM,
            signal_class=SignalClass.MALFUNCTION,
            title={"es": f"{node}: al disco se le acaban los bloques de reserva", "en": f"{node}: the disk runs out of spare blocks"},
            consequence={"es": "Pronto no podrá escribir", "en": "It will soon take no more writes"},
            action={"es": "Cambie el disco", "en": "Replace the disk"},
            source="automatic",
        ),
        AlarmDefinition(
            id=f"{PREFIX}clock",
            point=f"{node}/clock/synchronised",
            condition=Condition(ConditionKind.EQUALS, 0),
            priority=Priority.LOW,
            signal_class=SignalClass.MALFUNCTION,
            on_delay=_UNTIMED,
            off_delay=60.0,
            title={"es": f"{node}: reloj sin sincronizar", "en": f"{node}: clock not synchronised"},
            consequence={"es": "La hora de sus lecturas puede ser falsa", "en": "The times of its readings may be wrong"},
            action={
                "es": "Revise el servidor de hora (NTP) o el receptor GNSS, y la red hasta él",
                "en": "Check the time server (NTP) or GNSS receiver, and the network to it",
            },
            source="automatic",
        ),
    ]
