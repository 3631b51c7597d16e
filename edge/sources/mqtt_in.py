"""MQTT in: points that come from another broker, so that sensors which publish already join without rewiring."""

import asyncio
import contextlib
import logging
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from contract.messages import PointDeclaration
from contract.values import Quality, Reading, bad
from edge.clock import SECOND, whole_ms
from edge.errors import Retry
from edge.items import Item
from edge.sources import SourceContext, SourceSettings
from edge.sources.inbox import Inbox
from edge.sources.mqtt_in_message import MALFORMED, Malformed, Payload, interpret
from edge.sources.mqtt_in_settings import MqttInSettings, MqttPoint, matches
from edge.sources.staleness import Staleness

if TYPE_CHECKING:
    import aiomqtt

log = logging.getLogger("muki.edge.sources.mqtt_in")

STALE = bad("stale")
NO_CONNECTION = bad("no_connection")
WAITING = 5000  # messages that may wait to be read; the oldest go first
_TOPICS = 5000  # topics whose points are remembered
_GOODBYE = 1.0  # s
_REFUSED = 0x80  # a return code of SUBACK from here on (3.1.1, section 3.9.3)


class _ClosedOnFailure(ssl.SSLSocket):
    """Paho leaves the socket of a handshake that failed to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


class MqttInSource:
    """One other broker. ``malformed`` counts, by point, the messages that were not what the configuration says; ``dropped_messages`` those
    that came too fast."""

    Settings: ClassVar[type[SourceSettings]] = MqttInSettings

    def __init__(self, settings: SourceSettings, context: SourceContext) -> None:
        if not isinstance(settings, MqttInSettings):
            raise TypeError(f"MqttInSource takes MqttInSettings, not {type(settings).__name__}")
        self._settings = settings
        self._folder = context.folder
        self._identifier = settings.client_id or f"muki-{context.node}-{settings.name}"
        self._where = f"mqtt {settings.host}:{settings.effective_port}"
        self._by_topic: dict[str, list[tuple[str, MqttPoint]]] = {}
        self._origins: dict[str, str] = {}
        self.malformed: Counter[str] = Counter()
        self.dropped_messages = 0

    def points(self) -> Mapping[str, PointDeclaration]:
        return {name: point.declaration(name) for name, point in self._settings.points.items()}

    def counters(self) -> Mapping[str, int]:
        return {"malformed": self.malformed.total(), "dropped_messages": self.dropped_messages}

    async def items(self) -> AsyncIterator[Sequence[Item]]:
        """First an empty batch, once everything is subscribed to; then what messages say, and ``bad:stale`` once for each point that falls
        silent. Raises Retry when the broker does not answer or refuses, and when the connection is lost, after a batch of
        ``bad:no_connection``.
        """
        settings = self._settings
        inbox: Inbox[aiomqtt.Message] = Inbox(WAITING)
        async with self._connected() as client:
            feeder = asyncio.create_task(_feed(client, inbox), name=f"{settings.name} messages")
            try:
                await self._subscribe(client)
                limits = {name: point.stale_after for name, point in settings.points.items() if point.stale_after is not None}
                staleness = Staleness(limits, time.monotonic())
                yield []
                dropped = 0
                while True:
                    try:
                        messages = await inbox.take(staleness.pause(time.monotonic()))
                    except Exception as error:
                        yield _all_of(settings.points, NO_CONNECTION)
                        raise Retry(f"{self._where}: the connection was lost ({error})") from None
                    if inbox.dropped > dropped:
                        log.warning("%s: %d messages came too fast and were dropped", settings.name, inbox.dropped - dropped)
                        self.dropped_messages += inbox.dropped - dropped
                        dropped = inbox.dropped
                    readings = [reading for message in messages for reading in self._readings(message, staleness)]
                    readings += _all_of(staleness.fell(time.monotonic()), STALE)
                    if readings:
                        yield readings
            finally:
                feeder.cancel()
                await asyncio.gather(feeder, return_exceptions=True)

    def _readings(self, message: "aiomqtt.Message", staleness: Staleness) -> list[Reading]:
        topic, received_ns = message.topic.value, time.time_ns()
        payload = Payload(message.payload if isinstance(message.payload, bytes) else b"")
        readings = []
        for name, point in self._points_of(topic):
            try:
                reading = interpret(name, point, payload, retained=bool(message.retain), received_ns=received_ns)
            except Malformed as error:
                self.malformed[name] += 1
                level = logging.WARNING if self.malformed[name] == 1 else logging.DEBUG
                log.log(level, "%s: point %s, message on %s: %s", self._settings.name, name, topic, error)
                readings.append(Reading(name, whole_ms(received_ns), None, MALFORMED))
                continue
            if reading is None:
                continue
            dated = reading.time_ns != whole_ms(received_ns)
            if not message.retain or dated:  # what the broker kept is fresh only as far as its own time says so
                age = (received_ns - reading.time_ns) / SECOND if message.retain else 0.0
                staleness.fresh(name, time.monotonic(), max(0.0, age))
            readings.append(reading)
        return readings

    def _points_of(self, topic: str) -> list[tuple[str, MqttPoint]]:
        found = self._by_topic.get(topic)
        if found is None:
            if len(self._by_topic) >= _TOPICS:
                self._by_topic.clear()
            found = self._by_topic[topic] = [(name, point) for name, point in self._settings.points.items() if matches(point.topic, topic)]
            for name, _ in found:
                first = self._origins.setdefault(name, topic)
                if first != topic:
                    log.warning("%s: point %s is fed by two topics, %s and %s", self._settings.name, name, first, topic)
        return found

    async def _subscribe(self, client: "aiomqtt.Client") -> None:
        import aiomqtt

        for topic in dict.fromkeys(point.topic for point in self._settings.points.values()):
            try:
                granted = await client.subscribe(topic, qos=1)
            except aiomqtt.MqttError as error:
                raise Retry(f"{self._where}: does not take the subscription to {topic}: {error}") from None
            codes = [code if isinstance(code, int) else code.value for code in granted]
            if any(code >= _REFUSED for code in codes):
                raise Retry(f"{self._where}: refuses the subscription to {topic}; may this user read it?")

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator["aiomqtt.Client"]:
        import aiomqtt

        settings = self._settings
        client = aiomqtt.Client(
            settings.host,
            settings.effective_port,
            username=settings.username,
            password=_password(self._folder / settings.password_file) if settings.password_file else None,
            tls_context=await asyncio.to_thread(self._tls) if settings.secure else None,
            identifier=self._identifier,
            protocol=aiomqtt.ProtocolVersion.V311,
            clean_session=True,
            keepalive=settings.keepalive,
            timeout=settings.timeout,
            max_queued_incoming_messages=WAITING,
        )
        client._client.connect_timeout = settings.timeout
        try:
            try:
                await client.__aenter__()
            except (aiomqtt.MqttError, OSError, ValueError) as error:  # ValueError: a host name that is none
                raise Retry(f"{self._where}: {self._explain(str(error))}") from None
            yield client
        finally:
            try:
                with contextlib.suppress(aiomqtt.MqttError, TimeoutError):
                    async with asyncio.timeout(_GOODBYE):
                        if client._connected.done() and not client._connected.cancelled() and client._connected.exception() is None:
                            await client.__aexit__(None, None, None)
            finally:
                await _release(client)

    def _tls(self) -> ssl.SSLContext:
        settings = self._settings
        files = {key: self._folder / path for key in ("tls_ca", "tls_cert", "tls_key") if (path := getattr(settings, key)) is not None}
        for key, path in files.items():
            if not path.is_file():
                raise Retry(f"{self._where}: {key} {path}: there is no such file")
        try:
            context = ssl.create_default_context(cafile=files.get("tls_ca"))
            if "tls_cert" in files:
                context.load_cert_chain(files["tls_cert"], files["tls_key"])
        except (OSError, ValueError) as error:
            raise Retry(f"{self._where}: {', '.join(str(path) for path in files.values())}: no PEM files that fit ({error})") from None
        context.sslsocket_class = _ClosedOnFailure
        return context

    def _explain(self, text: str) -> str:
        settings = self._settings
        if "Not authorized" in text or "Bad user name" in text:
            return f"the broker refuses this user ({text}): check username and password_file"
        if "certificate" in text.lower():
            return f"the certificate is not accepted ({text}): check tls_ca, and that host is the name in the certificate"
        if "Name or service not known" in text or "name resolution" in text:
            return f"the name is not known here ({text}): check host and the network"
        if "timed out" in text:
            return (
                f"no answer within {settings.timeout:g} s; is it an MQTT broker, and the port right{' for TLS' if settings.secure else ''}?"
            )
        return f"{text or 'no connection'}; is the broker on, and the port right (1883, or 8883 with TLS)?"


async def _feed(client: "aiomqtt.Client", inbox: "Inbox[aiomqtt.Message]") -> None:
    try:
        async for message in client.messages:
            inbox.put(message)
    except Exception as error:  # the connection is lost: what was read before is still good
        inbox.end(error)


async def _release(client: "aiomqtt.Client") -> None:
    """Closes what aiomqtt leaves open when a connection attempt is cancelled or times out: the socket, its keep-alive task, its future."""
    inner = client._client
    inner.on_disconnect = inner.on_socket_open = None  # an attempt that still runs in its thread must not reach the loop any more
    inner._sock_close()
    await asyncio.sleep(0)  # the keep-alive task is made by a call that may still wait in the loop
    if client._misc_task is not None:
        client._misc_task.cancel()
        await asyncio.gather(client._misc_task, return_exceptions=True)
    for future in (client._connected, client._disconnected):
        if future.done() and not future.cancelled():
            future.exception()  # else asyncio reports it as never retrieved


def _password(path: Path) -> str:
    """The first line of the file. Raises Retry when it cannot be read: whoever provisions the node may still be writing it."""
    try:
        return path.read_text("utf-8").split("\n", 1)[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Retry(f"password_file {path}: {error}") from None


def _all_of(points: Iterable[str], quality: Quality) -> list[Reading]:
    now = whole_ms(time.time_ns())
    return [Reading(name, now, None, quality) for name in points]
