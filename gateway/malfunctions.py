"""The malfunctions that only the gateway can see: a node that stopped telling, a broker it cannot reach, a store that takes nothing."""

import uuid

from contract.alarms import AlarmDefinition, AlarmEvent, Condition, ConditionKind, Priority, SignalClass, Transition
from contract.values import GOOD

GATEWAY_NODE = "_gateway"  # no node can have this name: identifiers begin with a letter or digit
SILENCE_POINT = "node/link"

CLOCK = AlarmDefinition(
    id="clock",
    point="node/clock",
    condition=Condition(ConditionKind.BAD_QUALITY),
    priority=Priority.MEDIUM,
    signal_class=SignalClass.MALFUNCTION,
    title={"es": "El reloj del nodo está mal", "en": "The node's clock is wrong"},
    consequence={
        "es": "Sus valores llegan con una hora imposible: quedan apartados en el gateway y no se ven en los gráficos. Sus alarmas siguen.",
        "en": "Its values arrive with an impossible time: they are set aside in the gateway and no chart shows them. Its alarms go on.",
    },
    action={
        "es": "Ponga en hora el nodo (NTP o GPS); después recupere lo apartado con «muki gateway dead-letters».",
        "en": "Set the node's clock (NTP or GPS); afterwards bring back what was set aside with `muki gateway dead-letters`.",
    },
    response_time=3600.0,
    source="Muki",
)

POINTS = AlarmDefinition(
    id="points",
    point="node/points",
    condition=Condition(ConditionKind.SILENCE),
    priority=Priority.MEDIUM,
    signal_class=SignalClass.MALFUNCTION,
    title={"es": "Faltan mediciones del nodo", "en": "Measurements of the node do not come"},
    consequence={
        "es": "El nodo informa, pero no dice nada de algunos de sus puntos: lo que miden no se ve.",
        "en": "The node reports, but says nothing of some of its points: what they measure is a blind spot.",
    },
    action={
        "es": "Vea en la lista de nodos qué puntos faltan; revise el sensor, su cable y la configuración del nodo.",
        "en": "See in the list of nodes which points are missing; check the sensor, its cable and the node's configuration.",
    },
    response_time=1800.0,
    source="30 CFR 75.351: malfunction signals",
)


def silence(silence_after: float) -> AlarmDefinition:
    """A node that is offline or says nothing: what it watches over is a blind spot."""
    return AlarmDefinition(
        id="silence",
        point=SILENCE_POINT,
        condition=Condition(ConditionKind.SILENCE, silence_after),
        priority=Priority.HIGH,
        signal_class=SignalClass.MALFUNCTION,
        title={"es": "El nodo no informa", "en": "The node is not reporting"},
        consequence={
            "es": "Lo que este nodo vigila no se ve: sus valores y alarmas no llegan.",
            "en": "What this node watches is a blind spot: its values and alarms do not arrive.",
        },
        action={
            "es": "Avise a quienes trabajan en la zona que no hay monitoreo; revise la energía y la red del nodo.",
            "en": "Tell those who work there that it is not monitored; check the node's power and network.",
        },
        response_time=600.0,
        source="30 CFR 75.351: malfunction signals",
    )


BROKER_LOST = AlarmDefinition(
    id="broker-lost",
    point="gateway/broker",
    condition=Condition(ConditionKind.SILENCE),
    priority=Priority.CRITICAL,
    signal_class=SignalClass.MALFUNCTION,
    title={"es": "Sin conexión con el broker MQTT", "en": "No connection to the MQTT broker"},
    consequence={
        "es": "No llega nada de ningún nodo. Las alarmas locales siguen funcionando; esta pantalla está ciega.",
        "en": "Nothing arrives from any node. The local alarms go on; this screen is blind.",
    },
    action={
        "es": "Revise el broker y la red del servidor; avise a los frentes por radio.",
        "en": "Check the broker and the server's network; tell the working places by radio.",
    },
    response_time=300.0,
    source="30 CFR 75.351: malfunction signals",
)

STORE_DOWN = AlarmDefinition(
    id="store-down",
    point="gateway/store",
    condition=Condition(ConditionKind.BAD_QUALITY),
    priority=Priority.MEDIUM,
    signal_class=SignalClass.MALFUNCTION,
    title={"es": "No se guarda el historial", "en": "History is not being stored"},
    consequence={
        "es": "Los valores esperan en los nodos. Las alarmas siguen llegando.",
        "en": "Values wait on the nodes. Alarms still arrive.",
    },
    action={
        "es": "Revise la base de datos de historial y el espacio en disco.",
        "en": "Check the history database and the disk space.",
    },
    response_time=3600.0,
    source="Muki",
)

OF_A_NODE = (CLOCK, POINTS)  # and `silence`
RESERVED = frozenset({"silence", *(one.id for one in OF_A_NODE)})  # what the gateway says about a node, no node says of itself
OF_THE_GATEWAY = (BROKER_LOST, STORE_DOWN)


def event(node: str, definition: AlarmDefinition, *, active: bool, now_ns: int, value: float | None = None) -> AlarmEvent:
    """The event that says that a malfunction began or ended."""
    transition = Transition.ACTIVE if active else Transition.NORMAL
    return AlarmEvent(uuid.uuid4().hex, definition.id, node, definition.point, now_ns, transition, value, GOOD)
