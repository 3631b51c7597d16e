"""Which nodes a person has let in. Where the site asks for it, what others send is neither stored nor acknowledged: it waits on the node."""

import threading
import time

from sqlalchemy import BigInteger, Column, Engine, String, Table, Text, delete, insert, select

from contract.alarms import AlarmDefinition, Condition, ConditionKind, Priority, SignalClass
from gateway import audit
from gateway.database import METADATA, reading

_APPROVALS = Table(
    "node_approval",
    METADATA,
    Column("node", String(32), primary_key=True),
    Column("who", String(200), nullable=False),
    Column("note", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
)

UNAPPROVED = AlarmDefinition(
    id="unapproved",
    point="node/approval",
    condition=Condition(ConditionKind.EQUALS, 0.0),
    priority=Priority.MEDIUM,
    signal_class=SignalClass.ALERT,
    title={"es": "Nodo sin aprobar", "en": "Node not approved"},
    consequence={
        "es": "Lo que envía no se guarda ni se muestra; espera en el nodo.",
        "en": "What it sends is neither stored nor shown; it waits on the node.",
    },
    action={
        "es": "Averigüe quién lo instaló; si es de la mina, apruébelo: muki gateway approve.",
        "en": "Find out who installed it; if it is the mine's, approve it: muki gateway approve.",
    },
    source="Muki",
)


class Approvals:
    """``approved`` answers from memory and never blocks; the others block. ``required`` False: everybody is let in."""

    def __init__(self, engine: Engine, *, required: bool) -> None:
        self.required = required
        self._engine = engine
        self._lock = threading.Lock()
        self._approved: frozenset[str] = frozenset()
        self.reload()

    def approved(self, node: str) -> bool:
        return not self.required or node in self._approved

    def reload(self) -> frozenset[str]:
        """Reads what people decided, here or in the shell; returns those who are let in since the last time."""
        with self._lock, reading(self._engine) as connection:
            found = frozenset(connection.execute(select(_APPROVALS.c.node)).scalars())
            new, self._approved = found - self._approved, found
        return new

    def approve(self, node: str, *, who: str, note: str, now_ns: int) -> None:
        """Raises ValueError for nobody's approval. Approved again, the newer name stands."""
        if not who.strip():
            raise ValueError("an approval has a name on it: say who")
        with self._engine.begin() as connection:
            connection.execute(delete(_APPROVALS).where(_APPROVALS.c.node == node))
            connection.execute(insert(_APPROVALS).values(node=node, who=who.strip(), note=note, at_ns=now_ns))
            audit.record(connection, audit.Entry(now_ns, "node.approve", who.strip(), node, {"note": note}))

    def withdraw(self, node: str) -> bool:
        """False where it was not approved."""
        with self._engine.begin() as connection:
            withdrawn = connection.execute(delete(_APPROVALS).where(_APPROVALS.c.node == node)).rowcount > 0
            if withdrawn:
                audit.record(connection, audit.Entry(time.time_ns(), "node.withdraw", audit.SHELL, node, {}))
        return withdrawn

    def by(self) -> dict[str, str]:
        """Who let each node in."""
        with reading(self._engine) as connection:
            return {row.node: row.who for row in connection.execute(select(_APPROVALS.c.node, _APPROVALS.c.who))}
