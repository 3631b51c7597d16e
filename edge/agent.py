"""One node: builds its parts, runs each as a named task of one group, and stops them in the order of the data's way."""

import asyncio
import contextlib
import logging
from importlib.metadata import PackageNotFoundError, version

from contract import CONTRACT_VERSION
from contract.frames import to_ms
from contract.messages import Birth, Standing
from edge import clock
from edge.alarm_panel import AlarmPanel
from edge.calibrations import CalibrationFile, due
from edge.config import NodeConfig
from edge.counting import SourceCounters
from edge.disk import Disk
from edge.disk_alarms import writes_point
from edge.errors import EdgeError, Misconfigured, Retry
from edge.evidence import EvidenceDesk, Spool, Witness
from edge.health import PERIOD, Counters, Health, ModuleStatus
from edge.host import Host
from edge.known import Known, peek
from edge.outbox import Outbox
from edge.outbox_file import free_bytes
from edge.pipeline import Pipeline
from edge.publisher import Publisher
from edge.stored import Level
from edge.supervisor import SourceSupervisor
from edge.trust import Trust
from edge.watchdog import Watchdog
from edge.worker import Worker
from rules.engine import AlarmRules, released, removed

log = logging.getLogger("muki.edge.agent")

LAST_COMMIT = 1.0  # s for what is left to reach the disk at a stop


class Agent:
    """The node of one configuration. Construction opens its outbox and raises Misconfigured or Retry when that fails."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        node = config.node
        self._disk, (standing, suppressed, memories) = self._open_disk()
        self._rules = AlarmRules(config.alarms, node, standing, suppressed)
        self._worker = Worker(config.processing, node)
        self._worker.restore(memories)
        witnesses = [entry.processor for entry in config.processing if isinstance(entry.processor, Witness)]
        spool = Spool(config.data_dir / "evidence", min_free=config.outbox.min_free)
        self._desk = EvidenceDesk(witnesses, spool)
        self._publisher = Publisher(config.site, node, config.broker, self._disk, self._birth, evidence=spool)
        self._disk.changed = self._publisher.rewind
        disk_status = ModuleStatus(writes_point(node), "disk_refuses")
        self._panel = AlarmPanel(config.outputs, node, config.alarms, self._rules.standing(), config.silence_button)
        self._trust = Trust(config.points, config.trust, clock.now(), clock_point=f"{node}/clock/synchronised")
        self._calibrations = CalibrationFile(config.data_dir)
        self._read_calibrations()
        self._pipeline = Pipeline(
            node,
            config.points,
            self._rules,
            worker=self._worker,
            disk=self._disk,
            stored=self._publisher.stored,
            flush_every=config.outbox.flush_every,
            panel=self._panel,
            trust=self._trust,
            disk_status=disk_status,
            evidence=self._desk.take,
        )
        self._panel.report_to(self._pipeline.handle)
        self._worker.deliver = self._pipeline.handle
        self._supervisors = [SourceSupervisor(entry, node, self._pipeline.handle) for entry in config.sources]
        self._watchdog = Watchdog(
            marks=[
                self._disk.mark,
                *self._pipeline.marks,
                self._publisher.mark,
                *self._worker.marks,
                *(supervisor.mark for supervisor in self._supervisors),
            ]
        )
        self._counters = [
            SourceCounters(node, entry.settings.name, entry.source, supervisor.restarted, clock.now())
            for entry, supervisor in zip(config.sources, self._supervisors, strict=True)
        ]
        self._host = Host(config.data_dir)
        self._statuses: list[ModuleStatus] = [
            disk_status,
            *(supervisor.status for supervisor in self._supervisors),
            *self._worker.statuses(),
            *self._panel.statuses(),
        ]
        known = {definition.id for definition in config.alarms}
        orphans = [removed(alarm, node, clock.now()) for alarm in standing.values() if alarm.definition not in known]
        orphans += [released(name, point, node, clock.now()) for name, point in suppressed.items() if name not in known]
        if orphans:
            self._pipeline.raise_events(orphans)

    def _open_disk(self) -> tuple[Disk, Known]:
        """A disk that takes nothing now is no reason not to watch: the node begins with what can be read, and its file is opened later."""
        config = self._config

        def opening() -> Outbox:
            return Outbox(config.data_dir, max_bytes=config.outbox.max_bytes, min_free=config.outbox.min_free)

        try:
            outbox = opening()
        except Retry as error:
            log.critical("node=%s starts without its outbox, which is tried again: %s", config.node, error)
            return Disk(None, opening=opening, refusal=str(error)), peek(config.data_dir)
        known = outbox.known()
        if outbox.recovered:
            log.error("node=%s outbox: %s", config.node, outbox.recovered)
            # What was suppressed is forgotten: said again, or ended, once the points tell.
            known.suppressed.update({alarm.id: alarm.point for alarm in config.alarms if alarm.suppress_when})
        return Disk(outbox), known

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop`` is set; then stops cleanly. Raises an ExceptionGroup with Fatal when going on would do harm."""
        config = self._config
        log.info(
            "node=%s site=%s starting: %d points, %d alarms, boot %s, message %d",
            config.node,
            config.site,
            len(config.points),
            len(config.alarms),
            self._disk.boot,
            (self._disk.last_seq(self._disk.boot) or 0) + 1,
        )
        try:
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(self._pipeline.write(), name="outbox-writer")
                publisher = group.create_task(self._publisher.run(), name="publisher")
                inflow = [
                    *(group.create_task(work, name=name) for name, work in self._panel.tasks()),
                    group.create_task(self._pipeline.watch_time(), name="alarm-delays"),
                    group.create_task(self._worker.run(), name="processing"),
                    group.create_task(self._desk.run(), name="evidence"),
                    group.create_task(self._report_health(), name="health"),
                    group.create_task(self._watchdog.run(), name="watchdog"),
                    *(
                        group.create_task(supervisor.run(), name=f"source-{entry.settings.name}")
                        for supervisor, entry in zip(self._supervisors, config.sources, strict=True)
                    ),
                ]
                await stop.wait()
                log.info("node=%s stopping", config.node)
                self._watchdog.tell("STOPPING=1")
                for task in inflow:
                    task.cancel()
                await asyncio.wait(inflow, timeout=LAST_COMMIT)
                self._pipeline.close()
                await asyncio.wait([writer], timeout=LAST_COMMIT)
                writer.cancel()
                publisher.cancel()
        finally:
            with contextlib.suppress(TimeoutError, EdgeError):
                async with asyncio.timeout(LAST_COMMIT):
                    await self._disk.close()
        log.info("node=%s stopped", config.node)

    async def _report_health(self) -> None:
        health = Health(self._config.node)
        while True:
            self._read_calibrations()
            level = await self._level()
            counters = Counters(
                depth=level.depth,
                oldest=level.oldest_age,
                bytes=level.bytes,
                thinned=level.thinned,
                free=level.free,
                shed=self._pipeline.shed + self._worker.shed,
                malformed_acks=self._publisher.malformed_acks,
            )
            now = clock.now()
            readings = health.readings(counters, clock.synchronisation(), self._host.look(), now.wall_ns)
            for counted in self._counters:
                readings += counted.readings(now)
            for status in self._statuses:
                readings += status.current(now.wall_ns)
            self._pipeline.handle(readings)
            await asyncio.sleep(PERIOD)

    async def _level(self) -> Level:
        try:
            # Without readings nothing is committed: what was acknowledged goes from the disk here, before it is counted.
            await self._disk.put([])
            if not self._disk.refusal and (states := self._worker.take_states()):
                await self._disk.remember(states)
            return await self._disk.level()
        except (Retry, Misconfigured):  # it refuses at this moment, which the pipeline says; the rest of the node's health is as true
            return Level(len(self._disk.memory), 0, 0.0, 0, free_bytes(self._config.data_dir))

    def _read_calibrations(self) -> None:
        """`muki edge calibrated` adds to the file while the agent runs."""
        news = self._calibrations.news()
        if news is not None:
            self._trust.know(due(self._config.trust, news))

    def _birth(self) -> Birth:
        return Birth(
            boot=self._disk.boot,
            software=f"muki {software_version()}",
            contract=CONTRACT_VERSION,
            points=self._config.points,
            sent=to_ms(clock.now().wall_ns),
            alarms=self._config.alarms,
            standing=[Standing(alarm.definition, to_ms(alarm.since_ns), alarm.event) for alarm in self._rules.standing()],
            models=self._config.models,
        )


def software_version() -> str:
    try:
        return version("muki")
    except PackageNotFoundError:
        return "unknown"
