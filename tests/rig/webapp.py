"""The web application on a real socket, with real services and a memory store: what a browser or an HTTP client talks to."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path

import uvicorn

from contract.alarms import AlarmDefinition, AlarmEvent, Condition, ConditionKind, Priority, SignalClass, Transition
from contract.frames import to_ms
from contract.messages import Birth, ModelUse, NodeState, PointDeclaration
from contract.values import GOOD, Quality
from gateway.accounts.passes import Passes
from gateway.accounts.throttle import Throttle
from gateway.accounts.users import Users
from gateway.aggregation import Aggregation, periods
from gateway.alarms.journal import Journal
from gateway.annunciator import Annunciator
from gateway.api.app import create_app
from gateway.api.stream import end_streams
from gateway.approvals import Approvals
from gateway.config import GatewayConfig
from gateway.database import open_database
from gateway.evidence import Evidence
from gateway.ledger import Entry, Ledger
from gateway.live import LiveBus, LiveEvent
from gateway.metrics import Metrics
from gateway.nodes import Nodes
from gateway.notify.receipts import Receipts
from gateway.opening import open_links
from gateway.rejects import Rejects
from gateway.services import Services
from gateway.sign_ins import SignIns
from gateway.store import StoreFrame
from gateway.store.memory import MemoryStore
from tests.rig.processes import free_port

NODE = "gas-north"
CO_HIGH = AlarmDefinition(
    id="co-high",
    point="gas-2/co",
    condition=Condition(ConditionKind.ABOVE, 25.0),
    priority=Priority.CRITICAL,
    title={"es": "CO alto en la galería norte", "en": "CO high in the north drift"},
    consequence={"es": "Intoxicación en minutos.", "en": "Poisoning within minutes."},
    action={"es": "Retire al personal y aumente la ventilación.", "en": "Withdraw the crew and increase the ventilation."},
    response_time=120.0,
)
O2_LOW = AlarmDefinition(
    id="o2-low",
    point="gas-2/o2",
    condition=Condition(ConditionKind.BELOW, 19.5),
    priority=Priority.HIGH,
    signal_class=SignalClass.ALERT,
    title={"es": "Oxígeno bajo", "en": "Oxygen low"},
)
POINTS = {
    "gas-2/co": PointDeclaration(unit="ppm", range=(0, 100), description={"es": "Monóxido de carbono", "en": "Carbon monoxide"}, period=1),
    "gas-2/o2": PointDeclaration(unit="%vol", range=(0, 25), description={"es": "Oxígeno", "en": "Oxygen"}, period=1),
}


class WebSite:
    """One site behind one web application."""

    def __init__(self, folder: Path, port: int, *, language: str = "es", **more: object) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        config = GatewayConfig.model_validate(
            {"site": "mina-sur", "data_dir": folder, "http": {"port": port}, "language": language, "time_zone": "America/Santiago", **more}
        )
        engine = open_database(config.database_url)
        self.published: list[tuple[str, bytes]] = []
        self.journal, self.bus, self.store, metrics = Journal(engine), LiveBus(), MemoryStore(), Metrics()
        ledger = Ledger(engine)
        self.nodes = Nodes(engine, silence_after=config.silence_after, now_ns=time.time_ns())
        self.annunciator = Annunciator(
            config.site,
            self.journal,
            ledger,
            self.bus,
            metrics,
            publish=lambda topic, payload: self.published.append((topic, payload)),
            acknowledge=_nothing,
            unjournalable=_nothing,
        )
        rejects = Rejects(engine, ledger, metrics, site=config.site, publish=_nothing, acknowledge=_nothing)
        approvals = Approvals(engine, required=config.approve_nodes)
        aggregation = Aggregation(config.aggregates, self.store, periods(config.shifts, config.time_zone), self.nodes.unit)
        parts = (self.journal, self.nodes, self.bus, metrics, self.annunciator, rejects, approvals, aggregation)
        people = (Users(engine), Passes(engine, idle_after=config.idle_after), Throttle(), Receipts(engine))
        self.evidence = Evidence(
            engine,
            folder / "evidence",
            metrics,
            days=30.0,
            acknowledge=lambda node, event: self.kept.append((node, event)),
            refused=lambda picture, why: self.refused.append((picture.event, why)),
        )
        self.kept: list[tuple[str, str]] = []
        self.refused: list[tuple[str, str]] = []
        self.services = Services(
            config, engine, self.store, ledger, *parts, *people, self.evidence, SignIns(engine, people[0]), open_links(config)
        )
        self.app = create_app(self.services)
        self._events = 0

    def born(
        self,
        node: str = NODE,
        points: Mapping[str, PointDeclaration] = POINTS,
        alarms: Sequence[AlarmDefinition] = (CO_HIGH, O2_LOW),
        models: Sequence[ModelUse] = (),
    ) -> None:
        """A node says what it is."""
        now = time.time_ns()
        birth = Birth(f"boot-{node}", "muki-edge 0.1.0", 1, dict(points), to_ms(now), list(alarms), models=list(models))
        self.nodes.born(node, birth, now_ns=now, retained=False)
        self.nodes.stated(node, NodeState(online=True, boot=birth.boot, since=to_ms(now)), now_ns=now, retained=False)
        self.journal.declare(node, alarms)
        self.services.ledger.commit([Entry(node, birth.boot, 1)])

    def read(self, values: Mapping[str, float], *, node: str = NODE, quality: Mapping[str, str] | None = None, ago: float = 0.0) -> None:
        """Readings come in: stored, and live on the bus."""
        now = time.time_ns() - int(ago * 1e9)
        self.store.write([StoreFrame(node, now, values, quality or {})])
        self.nodes.seen(node, now)
        self.bus.publish(LiveEvent("readings", {"node": node, "time": to_ms(now), "values": dict(values), "quality": dict(quality or {})}))

    def event(
        self,
        definition: AlarmDefinition = CO_HIGH,
        *,
        node: str = NODE,
        active: bool = True,
        value: float | None = 41.5,
        ago: float = 0.0,
        quality: Quality = GOOD,
    ) -> str:
        """A condition began or ended; journaled and announced as the ingest does. Returns the alarm's key."""
        self._events += 1
        now = time.time_ns()
        transition = Transition.ACTIVE if active else Transition.NORMAL
        event = AlarmEvent(f"e{self._events:05}", definition.id, node, definition.point, now - int(ago * 1e9), transition, value, quality)
        recorded = self.journal.record(event, received_ns=now, late=False)
        if recorded.view is not None:
            self.annunciator.announce(recorded.view, news=recorded.announce)
        return f"{node}.{definition.id}"

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """The HTTP server, until the block is left; leaving it takes no longer than two seconds, streams or not."""
        settings = uvicorn.Config(self.app, host="127.0.0.1", port=self.port, log_config=None, lifespan="on")
        server = _Server(settings)
        task = asyncio.create_task(server.serve(), name="web server")
        while not server.started:
            assert not task.done(), "the web server did not start"
            await asyncio.sleep(0.01)
        try:
            yield
        finally:
            end_streams(self.app)
            server.should_exit = True
            async with asyncio.timeout(2):
                await task

    def restart(self) -> None:
        """A new application on the same services, as after a restart of the gateway: the old one's streams have ended for good."""
        self.app = create_app(self.services)

    def close(self) -> None:
        self.store.close()
        self.services.engine.dispose()


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:  # the signals stay with the test runner
        yield


def _nothing(*_: object, **__: object) -> None:
    """Nobody is at the other end."""


@contextlib.asynccontextmanager
async def website(
    folder: Path, *, language: str = "es", born: bool = True, port: int | None = None, **more: object
) -> AsyncIterator[WebSite]:
    """A site that is being served; ``more`` of its configuration."""
    site = WebSite(folder, port or free_port(), language=language, **more)
    try:
        if born:
            site.born()
        async with site.serving():
            yield site
    finally:
        site.close()
