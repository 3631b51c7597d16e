"""The registry of nodes: what each declared at birth, and whether it is telling now. Persisted, so that a restarted gateway knows whom to miss."""

import contextlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import BigInteger, Boolean, Column, Engine, LargeBinary, String, Table, delete, insert, select

from contract.messages import Birth, ContractError, NodeState, encode
from contract.payload import from_json
from gateway.database import METADATA
from gateway.store import Series

_NODES = Table(
    "nodes",
    METADATA,
    Column("node", String(32), primary_key=True),
    Column("birth", LargeBinary, nullable=True),
    Column("boot", String(64), nullable=False),
    Column("online", Boolean, nullable=False),
    Column("since_ns", BigInteger, nullable=False),
    Column("last_seen_ns", BigInteger, nullable=False),
)
Limits = tuple[float, float]
_UNLIMITED: Limits = (float("-inf"), float("inf"))


class Status(StrEnum):
    """``unknown``: remembered from before, and not heard since this gateway started."""

    ONLINE = "online"
    OFFLINE = "offline"
    SILENT = "silent"
    UNKNOWN = "unknown"


class NodeView(NamedTuple):
    """One node for people and programs. ``skew_ms``: what the gateway's clock shows minus what the node's shows, None before it is known."""

    node: str
    status: Status
    boot: str
    software: str
    since_ns: int
    last_seen_ns: int
    points: int
    clock_synchronised: bool | None
    skew_ms: float | None
    absent: tuple[str, ...]  # declared points that do not come
    models: tuple[str, ...] = ()  # that run on it, with their versions

    def to_json(self) -> dict[str, object]:
        return {**self._asdict(), "status": str(self.status)}


class Change(NamedTuple):
    """A node whose status is another one than at the last look."""

    view: NodeView
    before: Status


@dataclass(slots=True)
class _Node:
    name: str
    birth: Birth | None = None
    limits: dict[str, Limits] = field(default_factory=dict)
    boot: str = ""
    online: bool = True
    since_ns: int = 0
    last_seen_ns: int = 0
    heard: bool = False
    clock_synchronised: bool | None = None
    skew_ms: float | None = None
    told: Status = Status.UNKNOWN
    absent: tuple[str, ...] = ()


def status_of(*, online: bool, heard: bool, quiet_seconds: float, silence_after: float) -> Status:
    """Offline is what the node or the broker said; silent is what nobody said: it is found by waiting."""
    if not online:
        return Status.OFFLINE
    if quiet_seconds > silence_after:
        return Status.SILENT
    return Status.ONLINE if heard else Status.UNKNOWN


def limits_of(birth: Birth) -> dict[str, Limits]:
    """Every declared point with the range that its readings must keep to."""
    return {name: point.range or _UNLIMITED for name, point in birth.points.items()}


def patience(birth: Birth | None, silence_after: float) -> float:
    """Seconds without a word after which a node is silent: three of its fastest declared periods where that is longer."""
    periods = [point.period for point in birth.points.values() if point.period] if birth else []
    return max(silence_after, 3 * min(periods)) if periods else silence_after


class Nodes:
    """Changed and read on the event loop; ``save`` and ``erase`` block and go to a worker thread."""

    def __init__(self, engine: Engine, *, silence_after: float, now_ns: int) -> None:
        self._engine = engine
        self._silence_after = silence_after
        self._lock = threading.Lock()
        self._nodes: dict[str, _Node] = {}
        self._patience: dict[str, float] = {}
        with engine.connect() as connection:
            for row in connection.execute(select(_NODES)).mappings():
                node = _Node(
                    row["node"], boot=row["boot"], online=row["online"], since_ns=row["since_ns"], last_seen_ns=row["last_seen_ns"]
                )
                if row["birth"] is not None:
                    with contextlib.suppress(ContractError):  # written by another version: the retained birth will say it again
                        node.birth = from_json(row["birth"], Birth)
                        node.limits = limits_of(node.birth)
                node.told = Status.UNKNOWN if node.online else Status.OFFLINE
                self._nodes[node.name] = node
                self._patience[node.name] = patience(node.birth, silence_after)
        self._resumed_ns = now_ns

    def resume(self, now_ns: int) -> None:
        """The gateway hears again (start, broker back): everybody who was not silent before gets the full time."""
        self._resumed_ns = now_ns

    def clock_stepped(self, by_ns: int) -> None:
        """The gateway's own clock was set: what was seen a second ago is still a second ago."""
        self._resumed_ns += by_ns
        for node in self._nodes.values():
            node.last_seen_ns += by_ns

    def born(self, name: str, birth: Birth, *, now_ns: int, retained: bool) -> bool:
        """Takes a birth; False when it is the one known already (a retained one, read again)."""
        node = self._node(name)
        fresh = node.birth is None or (node.birth.boot, node.birth.sent) != (birth.boot, birth.sent)
        node.birth = birth
        node.limits = limits_of(birth)
        self._patience[name] = patience(birth, self._silence_after)
        if node.boot != birth.boot:
            node.boot, node.since_ns = birth.boot, now_ns
        if not retained:
            self.seen(name, now_ns)
        return fresh

    def stated(self, name: str, state: NodeState, *, now_ns: int, retained: bool) -> None:
        """Takes a state. The will of an earlier boot says nothing about the boot that is running."""
        node = self._node(name)
        if not state.online and node.birth is not None and node.boot and state.boot != node.boot:
            return
        if node.online != state.online:
            node.since_ns = now_ns
        node.online = state.online
        if state.online:
            node.clock_synchronised = state.clock_synchronised
            if not retained:
                self.seen(name, now_ns)

    def seen(self, name: str, now_ns: int) -> None:
        """Something came from this node just now (not a retained message): it is telling, whatever was said before."""
        node = self._node(name)
        node.last_seen_ns = max(node.last_seen_ns, now_ns)
        node.heard = True
        if not node.online:
            node.online, node.since_ns = True, now_ns

    def measured(self, name: str, skew_ms: float) -> None:
        self._node(name).skew_ms = skew_ms

    def forget(self, name: str) -> bool:
        """Somebody cleared the retained birth: the node is retired. False when it was not known."""
        self._patience.pop(name, None)
        with self._lock:
            return self._nodes.pop(name, None) is not None

    def limits(self, name: str) -> Mapping[str, Limits] | None:
        """The declared points with their ranges, None for a node without a birth."""
        node = self._nodes.get(name)
        return node.limits if node is not None and node.birth is not None else None

    def clock_synchronised(self, name: str) -> bool | None:
        node = self._nodes.get(name)
        return node.clock_synchronised if node is not None else None

    def look(self, now_ns: int) -> list[Change]:
        """Whose status differs from what the last look told."""
        changes = []
        for node in list(self._nodes.values()):
            status = self._status(node, now_ns)
            if status is not node.told:
                changes.append(Change(self._view(node, status), node.told))
                node.told = status
        return changes

    def is_online(self, name: str) -> bool:
        """Whether it was at the last look."""
        node = self._nodes.get(name)
        return node is not None and node.told is Status.ONLINE

    def lacks(self, name: str, points: Sequence[str]) -> None:
        """Which of the node's points do not come."""
        if (node := self._nodes.get(name)) is not None:
            node.absent = tuple(points)

    def online(self) -> int:
        """How many were online at the last look."""
        return sum(node.told is Status.ONLINE for node in self._nodes.values())

    def views(self, now_ns: int) -> list[NodeView]:
        """Every node, sorted by name. Safe from any thread."""
        with self._lock:
            nodes = sorted(self._nodes.values(), key=lambda node: node.name)
        return [self._view(node, self._status(node, now_ns)) for node in nodes]

    def view(self, name: str, now_ns: int) -> NodeView | None:
        node = self._nodes.get(name)
        return self._view(node, self._status(node, now_ns)) if node is not None else None

    def birth(self, name: str) -> Birth | None:
        node = self._nodes.get(name)
        return node.birth if node is not None else None

    def unit(self, series: Series) -> str | None:
        """In which unit the node declared the point; None where it did not. Safe from any thread."""
        birth = self.birth(series.node)
        declared = birth.points.get(series.point) if birth is not None else None
        return declared.unit if declared is not None else None

    def births(self) -> dict[str, Birth]:
        """The birth of every node that sent one. Safe from any thread."""
        with self._lock:
            return {name: node.birth for name, node in self._nodes.items() if node.birth is not None}

    def save(self, names: Iterable[str]) -> None:
        """Writes these nodes to SQL. Blocks."""
        with self._lock:
            rows = [
                {
                    "node": node.name,
                    "birth": encode(node.birth) if node.birth is not None else None,
                    "boot": node.boot,
                    "online": node.online,
                    "since_ns": node.since_ns,
                    "last_seen_ns": node.last_seen_ns,
                }
                for name in set(names)
                if (node := self._nodes.get(name)) is not None
            ]
        if rows:
            with self._engine.begin() as connection:
                connection.execute(delete(_NODES).where(_NODES.c.node.in_([row["node"] for row in rows])))
                connection.execute(insert(_NODES), rows)

    def erase(self, name: str) -> None:
        """Removes one node from SQL. Blocks."""
        with self._engine.begin() as connection:
            connection.execute(delete(_NODES).where(_NODES.c.node == name))

    def _node(self, name: str) -> _Node:
        node = self._nodes.get(name)
        if node is None:
            with self._lock:
                node = self._nodes[name] = _Node(name)
            self._patience[name] = self._silence_after
        return node

    def _status(self, node: _Node, now_ns: int) -> Status:
        heard_ns = node.last_seen_ns if node.told is Status.SILENT else max(node.last_seen_ns, self._resumed_ns)
        quiet = (now_ns - heard_ns) / 1e9
        limit = self._patience.get(node.name, self._silence_after)
        return status_of(online=node.online, heard=node.heard, quiet_seconds=quiet, silence_after=limit)

    def _view(self, node: _Node, status: Status) -> NodeView:
        software = node.birth.software if node.birth is not None else ""
        points = len(node.birth.points) if node.birth is not None else 0
        return NodeView(
            node.name,
            status,
            node.boot,
            software,
            node.since_ns,
            node.last_seen_ns,
            points,
            node.clock_synchronised,
            node.skew_ms,
            node.absent,
            tuple(f"{model.name} {model.version}" for model in node.birth.models) if node.birth is not None else (),
        )
