"""The gateway put together: its rooms wired to each other, started, watched, and stopped without losing what they hold."""

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Sequence
from importlib.metadata import version
from types import TracebackType

from sqlalchemy.exc import SQLAlchemyError

from contract.alarms import AlarmDefinition, AlarmEvent
from contract.frames import to_ms
from contract.messages import Ack, encode
from contract.topics import node_topic
from gateway import audit
from gateway.accounts.passes import Passes
from gateway.accounts.throttle import Throttle
from gateway.accounts.users import Users
from gateway.aggregation import Aggregation, periods
from gateway.alarms.journal import Journal
from gateway.annunciator import Annunciator
from gateway.approvals import UNAPPROVED, Approvals
from gateway.batcher import WAITING_VALUES, Batcher
from gateway.config import GatewayConfig
from gateway.database import open_database
from gateway.dead_letters import DeadLetters
from gateway.evidence import Evidence, Picture
from gateway.ingest import Ingest
from gateway.ledger import Entry, Ledger
from gateway.live import LiveBus, LiveEvent
from gateway.malfunctions import BROKER_LOST, CLOCK, GATEWAY_NODE, OF_A_NODE, OF_THE_GATEWAY, POINTS, STORE_DOWN, event, silence
from gateway.metrics import Metrics
from gateway.nodes import Change, Nodes, NodeView, Status
from gateway.notify.receipts import Receipts
from gateway.notify.room import Notifications
from gateway.notify.siren import Siren
from gateway.opening import open_links, open_parts
from gateway.rejects import Refused, Rejects
from gateway.services import Services
from gateway.session import Incoming, Session
from gateway.sign_ins import SignIns
from gateway.site_rules import SiteRules
from gateway.store import Retention, Sample, Series, StoreFrame, StoreUnavailable, TimeSeriesStore
from gateway.upkeep import keep_up
from rules.moment import Instant

log = logging.getLogger(__name__)

DAY_NS = 86_400_000_000_000
LOOK_EVERY = 1.0  # seconds between looks at who is silent
SAVE_EVERY = 30.0  # seconds between saves of when each node was last seen
CLOCK_STEP_NS = 1_000_000_000  # NTP slews smaller errors away slowly
POINTS_EVERY_NS = 5_000_000_000  # between looks at which points do not come
CLOCK_WRONG_NS = 60_000_000_000  # after the last reading with an impossible time; a node says its readings every few seconds
DEAF_AFTER = 3.0  # seconds without the broker that are no alarm yet
STOP_SECONDS = 1.2  # for what is in the queues when the gateway is told to stop


class Gateway:
    """``async with Gateway(config) as gateway`` runs it: leaving the block stops it, committing what is in its queues first."""

    def __init__(self, config: GatewayConfig, *, store: TimeSeriesStore | None = None, waiting_values: int = WAITING_VALUES) -> None:
        """Opens the database and, unless one is given, the store. Raises CannotStart."""
        links = open_links(config)
        if store is None:
            engine, store = open_parts(config)
        else:
            config.data_dir.mkdir(parents=True, exist_ok=True)
            engine = open_database(config.database_url)
        metrics, bus, ledger, journal = Metrics(), LiveBus(), Ledger(engine), Journal(engine)
        nodes = Nodes(engine, silence_after=config.silence_after, now_ns=time.time_ns())
        self.aggregation = Aggregation(config.aggregates, store, periods(config.shifts, config.time_zone), nodes.unit, told=self._figure)
        self.approvals = Approvals(engine, required=config.approve_nodes)
        self._silence = silence(config.silence_after)
        self._deaf_since: float | None = time.monotonic()
        self.session = Session(config.broker, config.site, handle=self._handle, connected=self._connected)
        acknowledge = self.session.acknowledge
        self.rejects = Rejects(engine, ledger, metrics, site=config.site, publish=self.session.publish, acknowledge=acknowledge)
        annunciator = Annunciator(
            config.site,
            journal,
            ledger,
            bus,
            metrics,
            publish=self._retain,
            acknowledge=acknowledge,
            unjournalable=self._unjournalable,
        )
        self.batcher = Batcher(
            store,
            ledger,
            metrics,
            commit_every=config.commit_every,
            dead_letters=DeadLetters(config.data_dir, config.dead_letters_mb << 20),
            alarms_first=annunciator.first,
            acknowledge=acknowledge,
            refused=self._store_refused,
            store_up=lambda up: self._malfunction(GATEWAY_NODE, STORE_DOWN, active=not up),
            waiting_values=waiting_values,
        )
        self.rules = SiteRules(
            config.rules,
            late_after=config.late_after,
            told=self._rule_told,
            malfunction=lambda definition, active: self._malfunction(GATEWAY_NODE, definition, active=active),
        )
        parts = (journal, nodes, bus, metrics, annunciator, self.rejects, self.approvals, self.aggregation)
        people = (Users(engine), Passes(engine, idle_after=config.idle_after), Throttle(), Receipts(engine))
        self.evidence = Evidence(
            engine,
            config.data_dir / "evidence",
            metrics,
            days=config.evidence_days,
            acknowledge=self._evidence_kept,
            refused=self._evidence_refused,
        )
        self.notifications = Notifications(
            config.notify,
            people[-1],
            site=config.site,
            language=config.language,
            time_zone=config.time_zone,
            standing=annunciator.standing,
            malfunction=lambda definition, active: self._malfunction(GATEWAY_NODE, definition, active=active),
            links=links,
        )
        self.sirens = [
            Siren(one, annunciator.standing, lambda definition, active: self._malfunction(GATEWAY_NODE, definition, active=active))
            for one in config.notify.sirens
        ]
        self.services = Services(config, engine, store, ledger, *parts, *people, self.evidence, SignIns(engine, people[0]), links)
        self.ingest = Ingest(
            config.site,
            nodes=nodes,
            ledger=ledger,
            batcher=self.batcher,
            annunciator=annunciator,
            rejects=self.rejects,
            rules=self.rules,
            approvals=self.approvals,
            evidence=self.evidence,
            bus=bus,
            metrics=metrics,
            silence_after=config.silence_after,
            late_after=config.late_after,
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._active: set[tuple[str, str]] = set()
        self._points_again_ns = 0

    async def __aenter__(self) -> "Gateway":
        annunciator = self.services.annunciator
        await asyncio.to_thread(audit.note, self.services.engine, self._started())
        views = await asyncio.to_thread(annunciator.load)
        self._active = {(view.node, view.definition.id) for view in views if view.now.active}
        telling = [*self.notifications.definitions, *(siren.definition for siren in self.sirens)]
        annunciator.declared(GATEWAY_NODE, [*OF_THE_GATEWAY, *self.rules.definitions, *telling], None, now_ns=time.time_ns())
        self.rules.resume(views, await asyncio.to_thread(self._newest_for_rules), _now(), telling)
        self._malfunction(GATEWAY_NODE, STORE_DOWN, active=False)
        self.ingest.wrong_clocks = {view.node: time.time_ns() for view in views if view.now.active and view.definition.id == CLOCK.id}
        self.services.nodes.resume(time.time_ns())
        rooms = {
            "mqtt": self.session.run(),
            "ingest": self.ingest.run(),
            "batcher": self.batcher.run(),
            "annunciator": annunciator.run(),
            "rejects": self.rejects.run(),
            "liveness": self._watch(),
            "figures": self.aggregation.run(),
            "notify": self.notifications.run(),
            **{f"siren-{place}": siren.run() for place, siren in enumerate(self.sirens)},
            "upkeep": keep_up(self.services.store, _retention(self.services.config)),
            "evidence": self.evidence.run(),
            "sign-ins": self.services.sign_ins.run(),
        }
        self._tasks = [asyncio.create_task(room, name=f"gateway-{name}") for name, room in rooms.items()]
        return self

    def _started(self) -> audit.Entry:
        """With which configuration: its hash says whether it is the one of another day."""
        told = self.services.config.model_dump_json()
        what = {"software": version("muki"), "configuration_sha256": hashlib.sha256(told.encode()).hexdigest()}
        return audit.Entry(time.time_ns(), "gateway.start", audit.GATEWAY, self.services.config.site, what)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.ingest.closed = True
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await asyncio.gather(self.batcher.drained(), self.services.annunciator.drained(), self.rejects.drained())
                await self.session.drained(0.5)
        except TimeoutError:
            log.warning("stopped before everything was committed: the nodes send the rest again")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self.services.sign_ins.settle(time.time_ns(), ending=True)
        with contextlib.suppress(SQLAlchemyError):
            self.services.nodes.save(view.node for view in self.services.nodes.views(time.time_ns()))
        self.services.store.close()
        self.services.engine.dispose()

    async def wait(self) -> None:
        """Returns never: raises when a room of the gateway has failed."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        raise RuntimeError(f"ended without being asked to: {', '.join(task.get_name() for task in done)}")

    def _handle(self, incoming: Incoming) -> None:
        self.ingest.handle(incoming)

    def _evidence_kept(self, node: str, event: str) -> None:
        birth = self.services.nodes.birth(node)
        ack = Ack(birth.boot if birth is not None else "unknown", [], [event])
        self.session.publish(node_topic(self.services.config.site, node, "ack"), encode(ack))

    def _evidence_refused(self, picture: Picture, why: str) -> None:
        topic = node_topic(self.services.config.site, picture.node, "evidence", picture.event)
        self.rejects.refuse(Refused(picture.node, topic, "bad_evidence", "payload", why, picture.received_ns, picture.data[:64]))

    def _retain(self, topic: str, payload: bytes) -> None:
        if self.session.up:  # while it is not, everything is published again when it is
            self.session.publish(topic, payload, retain=True)

    def _newest_for_rules(self) -> dict[Series, Sample]:
        """Blocks. A store that does not answer now is no reason to start later: the next readings tell."""
        series = self.rules.series()
        try:
            return self.services.store.latest(series) if series else {}
        except StoreUnavailable as error:
            log.warning("rules begin without the newest values: %s", error)
            return {}

    def _figure(self, frame: StoreFrame) -> None:
        data = {"node": frame.node, "time": to_ms(frame.time_ns), "values": dict(frame.values), "quality": dict(frame.quality)}
        self.services.bus.publish(LiveEvent("readings", data))

    def _rule_told(self, what: AlarmEvent) -> None:
        log.info("rule=%s %s value=%s quality=%s", what.definition, what.transition, what.value, what.quality)
        self.services.annunciator.happened(what, received_ns=time.time_ns(), late=False, entry=None)

    def _connected(self, up: bool) -> None:
        self.services.metrics.broker_connected.set(up)
        if up:
            self.rules.listen_again(_now())
            self.services.nodes.resume(time.time_ns())
            self.ingest.expected.begin_all(time.time_ns())
            self.services.annunciator.republish()
            self._malfunction(GATEWAY_NODE, BROKER_LOST, active=False)
        self._deaf_since = None if up else time.monotonic()

    def _malfunction(self, node: str, definition: AlarmDefinition, *, active: bool, value: float | None = None) -> None:
        """Raises or clears, once."""
        key = (node, definition.id)
        if active == (key in self._active):
            return
        (self._active.add if active else self._active.discard)(key)
        now_ns = time.time_ns()
        what = event(node, definition, active=active, now_ns=now_ns, value=value)
        self.services.annunciator.happened(what, received_ns=now_ns, late=False, entry=None)

    def _store_refused(self, frames: Sequence[StoreFrame], reason: str) -> None:
        for node in {frame.node for frame in frames}:
            self._refuse(node, "data", "store_refused", f"{reason}; kept in the dead letters", None)

    def _unjournalable(self, what: AlarmEvent, entry: Entry | None, reason: str) -> None:
        if entry is not None:
            self._refuse(what.node, "alarm", "journal_refused", f"event {what.id}: {reason}", entry)

    def _refuse(self, node: str, kind: str, reason: str, detail: str, entry: Entry | None) -> None:
        boot, seq = (entry.boot, entry.seq) if entry is not None else (None, None)
        topic = node_topic(self.services.config.site, node, kind)
        self.rejects.refuse(Refused(node, topic, reason, "", detail, time.time_ns(), b"", boot, seq, whole=entry is not None))

    async def _watch(self) -> None:
        """Looks at who is silent, ends shelving, saves the registry."""
        saved = time.monotonic()
        offset_ns = time.time_ns() - time.monotonic_ns()
        while True:
            await asyncio.sleep(min(LOOK_EVERY, self.services.config.silence_after / 4))
            now_ns = time.time_ns()
            if abs(step_ns := now_ns - time.monotonic_ns() - offset_ns) > CLOCK_STEP_NS:
                log.warning("this machine's clock was set by %.1f s", step_ns / 1e9)
                offset_ns += step_ns
                self.services.nodes.clock_stepped(step_ns)
                self.ingest.clock_stepped()
            self.services.annunciator.tick(now_ns)
            self.ingest.tell_counts()
            if self._deaf_since is None:  # a gateway that hears nobody cannot say who is silent
                self._look(now_ns)
            elif time.monotonic() - self._deaf_since > DEAF_AFTER:
                self._malfunction(GATEWAY_NODE, BROKER_LOST, active=True)
            names, self.ingest.touched = self.ingest.touched, set()
            retired, self.ingest.retired = self.ingest.retired, set()
            if time.monotonic() - saved > SAVE_EVERY:
                names |= {view.node for view in self.services.nodes.views(now_ns)}
                saved = time.monotonic()
            try:
                await asyncio.to_thread(self._save, names, retired)
                for name in await asyncio.to_thread(self.approvals.reload):
                    self.ingest.approved(name, now_ns=time.time_ns())
            except SQLAlchemyError as error:
                log.warning("the registry of nodes cannot be saved now: %s", error)
                self.ingest.touched |= names
                self.ingest.retired |= retired

    def _save(self, names: set[str], retired: set[str]) -> None:
        self.services.nodes.save(names)
        for name in retired:
            self.services.nodes.erase(name)

    def _look(self, now_ns: int) -> None:
        nodes = self.services.nodes
        for change in nodes.look(now_ns):
            self._tell(change)
        if self.approvals.required:
            self._ask_for_approval(nodes.views(now_ns))
        told = {name: nodes.view(name, now_ns) for name in self.rules.links}
        links = {
            name: view.status is Status.ONLINE for name, view in told.items() if view is not None and view.status is not Status.UNKNOWN
        }
        self.rules.tick(links, _now())
        self._points(now_ns)
        for name, last_ns in list(self.ingest.wrong_clocks.items()):
            wrong = now_ns - last_ns < CLOCK_WRONG_NS and name not in self.ingest.retired
            self._clock(name, wrong=wrong)
        for name in self.ingest.retired:
            for definition in (self._silence, POINTS):
                self._malfunction(name, definition, active=False)
            self.services.bus.publish(LiveEvent("node", {"node": name, "status": "retired"}))
        self.services.metrics.nodes_online.set(nodes.online())

    def _points(self, now_ns: int) -> None:
        """What nodes that tell do not tell of."""
        if now_ns < self._points_again_ns:
            return
        self._points_again_ns = now_ns + POINTS_EVERY_NS
        nodes, expected = self.services.nodes, self.ingest.expected
        for name, birth in nodes.births().items():
            if not nodes.is_online(name) or not self.approvals.approved(name):
                continue
            away = expected.missing(name, birth.points, now_ns)
            if away is not None:
                self.services.nodes.lacks(name, away)
                self._malfunction(name, POINTS, active=bool(away), value=float(len(away)) if away else None)

    def _clock(self, node: str, *, wrong: bool) -> None:
        if wrong and self.services.nodes.birth(node) is None:
            self.services.annunciator.declared(node, [self._silence, *OF_A_NODE], None, now_ns=time.time_ns())
        self._malfunction(node, CLOCK, active=wrong)
        if not wrong:
            del self.ingest.wrong_clocks[node]

    def _ask_for_approval(self, views: Sequence[NodeView]) -> None:
        for view in views:
            unknown = not self.approvals.approved(view.node)
            if unknown and self.services.nodes.birth(view.node) is None:
                self.services.annunciator.declared(view.node, [self._silence, *OF_A_NODE, UNAPPROVED], None, now_ns=time.time_ns())
            self._malfunction(view.node, UNAPPROVED, active=unknown)

    def _tell(self, change: Change) -> None:
        view = change.view
        self.services.bus.publish(LiveEvent("node", {**view.to_json(), "approved": self.approvals.approved(view.node)}))
        if view.status is Status.UNKNOWN:
            return
        if view.status is Status.ONLINE:
            self.ingest.expected.begin(view.node, time.time_ns())
        gone = view.status in {Status.OFFLINE, Status.SILENT}
        if gone and self.services.nodes.birth(view.node) is None:
            self.services.annunciator.declared(view.node, [self._silence, *OF_A_NODE], None, now_ns=time.time_ns())
        self._malfunction(view.node, self._silence, active=gone)
        self.ingest.touched.add(view.node)


def _retention(config: GatewayConfig) -> Retention:
    kept = config.retention
    return Retention(*(None if days is None else round(days * DAY_NS) for days in (kept.raw_days, kept.minute_days, kept.hour_days)))


def _now() -> Instant:
    return Instant(time.time_ns(), time.monotonic_ns())
