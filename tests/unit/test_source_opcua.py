"""OPC UA: status codes become qualities, source timestamps are kept, nodes come and go, users and certificates are checked."""

import asyncio
import datetime as dt
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncua
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pydantic import ValidationError

from contract.values import GOOD, Level, Quality, Reading, bad, uncertain
from edge.clock import SECOND
from edge.errors import Retry
from edge.items import Item
from edge.sources import SourceContext
from edge.sources.measured_point import MeasuredPoint
from edge.sources.opcua import OpcUaSource, interpret
from edge.sources.opcua_settings import OpcUaSettings
from edge.sources.opcua_status import overflowed, quality_of
from simulators.field.listener import Listener
from simulators.field.opcua_server import OpcUaServer

ua: Any = asyncua.ua
PATIENCE = 20.0  # s
NOW = 1_795_000_000 * SECOND
MOMENT = dt.datetime.fromtimestamp(1_795_000_000, dt.UTC)


# --- status codes ---


def all_codes() -> Iterator[tuple[str, int]]:
    for name, code in vars(ua.StatusCodes).items():
        if name.startswith(("Good", "Uncertain", "Bad")):
            yield name, code


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Good", GOOD),
        ("GoodOverload", GOOD),
        ("GoodLocalOverride", uncertain("local_override")),
        ("Uncertain", uncertain("unspecified")),
        ("UncertainSensorNotAccurate", uncertain("sensor_not_accurate")),
        ("UncertainEngineeringUnitsExceeded", uncertain("out_of_range")),
        ("UncertainLastUsableValue", uncertain("stale")),
        ("Bad", bad("unspecified")),
        ("BadSensorFailure", bad("sensor_fault")),
        ("BadWaitingForInitialData", bad("waiting_for_initial_data")),
        ("BadNodeIdUnknown", bad("node_id_unknown")),
        ("BadTcpServerTooBusy", bad("tcp_server_too_busy")),
        ("BadEdited_OutOfRange", bad("edited_out_of_range")),
    ],
)
def test_a_status_code_is_a_quality(name: str, expected: Quality) -> None:
    assert quality_of(getattr(ua.StatusCodes, name), name) == expected


def test_every_code_of_the_standard_keeps_its_severity_and_fits_the_contract() -> None:
    levels = {"Good": Level.GOOD, "Uncertain": Level.UNCERTAIN, "Bad": Level.BAD}
    codes = list(all_codes())
    assert len(codes) > 250
    for name, code in codes:
        quality = quality_of(code, name)
        assert Quality.parse(str(quality)) == quality
        expected = levels[next(prefix for prefix in levels if name.startswith(prefix))]
        if quality.level is not expected:
            assert (expected, quality.level) == (Level.GOOD, Level.UNCERTAIN), name


def test_an_unknown_code_has_the_level_of_its_severity() -> None:
    assert quality_of(0x8FFF_0000, "Bad") == bad("unspecified")
    assert quality_of(0xC000_0000, "Bad") == bad("unspecified")  # reserved: treated as bad
    assert quality_of(0x4FFF_0000, "Uncertain") == uncertain("unspecified")


def test_an_overflow_is_told_by_its_flags() -> None:
    assert overflowed(0x0000_0480)
    assert not overflowed(0x0000_0400)
    assert not overflowed(0x0000_0080)  # a flag of something else than a data value


# --- values ---


def value(
    said: Any,
    *,
    status: int = 0,
    source: dt.datetime | None = MOMENT,
    server: dt.datetime | None = None,
    point: MeasuredPoint | None = None,
) -> tuple[float | None, Quality, int]:
    data = ua.DataValue(
        ua.Variant(said) if said is not None else None, ua.StatusCode(status), SourceTimestamp=source, ServerTimestamp=server
    )
    reading = interpret("a/b", point or MeasuredPoint(unit="1"), data, NOW)
    return reading.value, reading.quality, reading.time_ns


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (2.5, (2.5, GOOD)),
        (7, (7.0, GOOD)),
        (True, (1.0, GOOD)),
        (None, (None, bad("no_value"))),
        (float("nan"), (None, bad("sensor_fault"))),
        (float("inf"), (None, bad("sensor_fault"))),
        ("12", (None, bad("not_a_number"))),
        ([1.0, 2.0], (None, bad("not_a_number"))),
    ],
)
def test_what_a_value_says(said: Any, expected: tuple[float | None, Quality]) -> None:
    assert value(said)[:2] == expected


def test_scaling_range_and_the_worse_of_two_doubts() -> None:
    point = MeasuredPoint(unit="A", scale=0.1, range=(0, 10))
    assert value(3, point=point)[:2] == (0.3, GOOD)
    assert value(300, point=point)[:2] == (30.0, uncertain("out_of_range"))
    assert value(3, point=point, status=ua.StatusCodes.BadSensorFailure)[:2] == (None, bad("sensor_fault"))
    assert value(300, point=point, status=ua.StatusCodes.Uncertain)[:2] == (30.0, uncertain("unspecified"))
    assert value(3, status=ua.StatusCodes.UncertainSubNormal | 0x480)[:2] == (3.0, uncertain("sub_normal"))


def test_the_source_timestamp_is_kept_unless_it_cannot_be() -> None:
    hour = dt.timedelta(hours=1)
    assert value(1, source=MOMENT - hour)[1:] == (GOOD, NOW - 3600 * SECOND)
    assert value(1, source=MOMENT + dt.timedelta(minutes=4, microseconds=1_500))[1:] == (GOOD, NOW + 240 * SECOND + 1_000_000)
    assert value(1, source=MOMENT + dt.timedelta(minutes=6))[1:] == (uncertain("clock_unsure"), NOW)
    assert value(1, source=dt.datetime(1601, 1, 1, tzinfo=dt.UTC))[1:] == (uncertain("clock_unsure"), NOW)
    assert value(1, source=None, server=MOMENT - hour)[1:] == (GOOD, NOW - 3600 * SECOND)
    assert value(1, source=None)[1:] == (GOOD, NOW)


# --- settings ---


def settings(points: dict[str, Any] | None = None, **more: Any) -> OpcUaSettings:
    points = points or {"crusher-1/current": {"node": "ns=2;s=Crusher.Current", "unit": "A"}}
    return OpcUaSettings.model_validate({"name": "plc", "type": "opcua", "url": "opc.tcp://127.0.0.1:4840", "points": points} | more)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"url": "http://a:4840"}, "write opc.tcp://host:port/path"),
        ({"url": "opc.tcp://a:999999"}, "write opc.tcp://host:port/path"),
        ({"url": "opc.tcp://user:secret@a"}, "write the user as username and password_file"),
        ({"password_file": "secret"}, "password_file needs a username"),
        ({"security": {"policy": "Basic128Rsa15", "certificate": "a.der", "key": "a.pem"}}, "write one of Basic256Sha256"),
        ({"security": {"mode": "None", "certificate": "a.der", "key": "a.pem"}}, "write one of Sign, SignAndEncrypt"),
        ({"points": {"a/b": {"unit": "1"}}}, "one of the two"),
        ({"points": {"a/b": {"unit": "1", "node": "ns=2;s=x", "path": "2:x"}}}, "one of the two"),
        ({"points": {"a/b": {"unit": "1", "node": "Crusher.Current"}}}, "write for example ns=2;s=Crusher.Current"),
        ({"points": {"a/b": {"unit": "1", "node": "ns=2;i=x"}}}, "write for example ns=2;s=Crusher.Current"),
        ({"points": {"a/b": {"unit": "1", "path": "2:Crusher//2:x"}}}, "'' is no browse name"),
        ({"points": {"a/b": {"unit": "amp", "node": "i=1"}}}, "did you mean 'A'"),
    ],
)
def test_a_wrong_setting_says_what_would_be_right(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        settings(**wrong)


@pytest.mark.parametrize(
    "node", ["i=2258", "ns=3;i=1001", "ns=2;s=a;b=c d", "nsu=urn:maker;s=x", "ns=1;g=09087e75-8e5e-499b-954f-f2a9603db28a", "ns=1;b=QUJD"]
)
def test_node_ids_of_every_kind(node: str) -> None:
    assert settings({"a/b": {"unit": "1", "node": node}}).points["a/b"].node == node


def test_the_usual_port_is_added() -> None:
    assert settings(url="opc.tcp://plc.mine/server").url == "opc.tcp://plc.mine:4840/server"


# --- a server ---


def source(server: OpcUaServer, points: dict[str, Any], folder: Path = Path(), **more: Any) -> OpcUaSource:
    made = settings(points, **({"url": server.url, "publish_every": 0.05, "timeout": 3.0} | more))
    return OpcUaSource(made, SourceContext("node", folder))


async def upto(items: AsyncIterator[Sequence[Item]], count: int) -> list[Reading]:
    readings: list[Reading] = []
    async with asyncio.timeout(PATIENCE):
        while len(readings) < count:
            readings += [item for item in await anext(items) if isinstance(item, Reading)]
    return readings


async def until(items: AsyncIterator[Sequence[Item]], point: str, value: float | None) -> Reading:
    """The next reading of the point that has this value."""
    async with asyncio.timeout(PATIENCE):
        while True:
            for item in await anext(items):
                if isinstance(item, Reading) and item.point == point and item.value == value:
                    return item


@asynccontextmanager
async def running(opcua: OpcUaSource) -> AsyncIterator[AsyncIterator[Sequence[Item]]]:
    async with aclosing(opcua.items()) as items:  # type: ignore[type-var]  # the protocol says iterator; each source is a generator
        yield items


async def test_reports_carry_the_time_and_the_status_of_the_server() -> None:
    async with OpcUaServer() as server:
        node = await server.add("Crusher/Motor/Current", 1.5)
        points = {
            "crusher-1/current": {"node": node, "unit": "A"},
            "crusher-1/by_path": {"path": "2:Crusher/2:Motor/2:Current", "unit": "A"},
            "crusher-1/by_uri": {"node": "nsu=urn:muki:simulator;s=Crusher.Motor.Current", "unit": "A"},
        }
        opcua = source(server, points)
        async with running(opcua) as items:
            first = await upto(items, 3)
            assert {reading.point: reading.value for reading in first} == dict.fromkeys(points, 1.5)
            then = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=4)
            for status, quality in (("UncertainSensorNotAccurate", uncertain("sensor_not_accurate")), ("Good", GOOD)):
                await server.write(node, 2.5, status=status, source_time=then)
                for reading in await upto(items, 3):
                    assert (reading.value, reading.quality) == (2.5, quality)
                    assert reading.time_ns == int(then.timestamp() * 1000) * 1_000_000
            # the same value and status with a new time is a new measurement
            await server.write(node, 2.5, source_time=then + dt.timedelta(seconds=1))
            assert {reading.time_ns for reading in await upto(items, 3)} == {int(then.timestamp() * 1000) * 1_000_000 + SECOND}
            before = time.time_ns()
            await server.write(node, 3.5, source_time=dt.datetime.now(dt.UTC) + dt.timedelta(minutes=6))
            for reading in await upto(items, 3):
                assert (reading.value, reading.quality) == (3.5, uncertain("clock_unsure"))
                assert before - 1_000_000 <= reading.time_ns <= time.time_ns()
            await server.write(node, 0.0, status="BadSensorFailure")
            assert {(reading.value, reading.quality) for reading in await upto(items, 3)} == {(None, bad("sensor_fault"))}
            await server.write(node, 4.5, flags=0x480)
            assert {(reading.value, reading.quality) for reading in await upto(items, 3)} == {(4.5, GOOD)}
            assert opcua.overflows == 3
            assert opcua.counters() == {"bad_values": 3, "overflows": 3, "dropped_values": 0}


async def test_a_burst_is_not_thinned_to_its_last_value() -> None:
    async with OpcUaServer() as server:
        node = await server.add("Crusher/Current", 0)
        async with running(source(server, {"crusher-1/current": {"node": node, "unit": "A"}}, publish_every=0.2, queue=50)) as items:
            await upto(items, 1)
            for number in range(1, 21):
                await server.write(node, number)
            assert [reading.value for reading in await upto(items, 20)] == [float(number) for number in range(1, 21)]


async def test_a_node_that_is_not_there_is_said_and_the_others_come(caplog: pytest.LogCaptureFixture) -> None:
    async with OpcUaServer() as server:
        node = await server.add("Crusher/Current", 1.5)
        points = {
            "crusher-1/current": {"node": node, "unit": "A"},
            "crusher-1/gone": {"node": "ns=2;s=Crusher.Gone", "unit": "A"},
            "crusher-1/lost": {"path": "2:Crusher/2:Lost", "unit": "A"},
            "crusher-1/alien": {"node": "nsu=urn:nobody;s=x", "unit": "A"},
        }
        async with running(source(server, points, missing_every=0.1)) as items:
            readings = {reading.point: (reading.value, reading.quality) for reading in await upto(items, 4)}
            absent = (None, bad("node_id_unknown"))
            assert readings == dict.fromkeys(points, absent) | {"crusher-1/current": (1.5, GOOD)}
            assert "crusher-1/gone (BadNodeIdUnknown)" in caplog.text
            await server.remove(node)
            await until(items, "crusher-1/current", None)
            await server.add("Crusher/Current", 2.5)
            await server.add("Crusher/Lost", 3.5)
            await until(items, "crusher-1/current", 2.5)
            await server.write(node, 4.5)
            assert (await until(items, "crusher-1/current", 4.5)).quality == GOOD


async def test_a_lost_connection_is_said_before_the_source_ends() -> None:
    async with OpcUaServer() as server:
        node = await server.add("Crusher/Current", 1.5)
        opcua = source(server, {"crusher-1/current": {"node": node, "unit": "A"}})
        async with running(opcua) as items:
            await upto(items, 1)
            await server.drop_connections()
            (last,) = await upto(items, 1)
            assert (last.value, last.quality) == (None, bad("no_connection"))
            with pytest.raises(Retry, match="the connection was lost"):
                await anext(items)
        async with running(opcua) as items:
            assert [reading.value for reading in await upto(items, 1)] == [1.5]


async def test_a_server_that_hangs_is_noticed_though_the_connection_stays() -> None:
    stalled = asyncio.Event()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if not stalled.is_set():
                writer.write(data)

    async def bridge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ours, theirs = await asyncio.open_connection(server.host, server.port)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(forward(reader, theirs))
                both.create_task(forward(ours, writer))
        finally:
            theirs.transport.abort()

    async with OpcUaServer() as server, Listener(bridge) as line:
        node = await server.add("Crusher/Current", 1.5)
        points = {"crusher-1/current": {"node": node, "unit": "A"}}
        async with running(source(server, points, url=f"opc.tcp://{line.address}", timeout=1.0)) as items:
            await upto(items, 1)
            stalled.set()
            begun = time.monotonic()
            (last,) = await upto(items, 1)
            assert last.quality == bad("no_connection")
            assert time.monotonic() - begun < 8
            with pytest.raises(Retry, match="the connection was lost"):
                await anext(items)


async def test_a_subscription_that_the_server_forgot_is_renewed() -> None:
    """Session and connection stand and nobody is told: without a new subscription the points would keep their last value for ever."""
    async with OpcUaServer() as server:
        node = await server.add("Crusher/Current", 1.5)
        async with running(source(server, {"crusher-1/current": {"node": node, "unit": "A"}})) as items:
            assert [reading.value for reading in await upto(items, 1)] == [1.5]
            await server.forget_subscriptions()
            await server.write(node, 2.5)
            begun = time.monotonic()
            assert [reading.value for reading in await upto(items, 1)] == [2.5]
            assert time.monotonic() - begun < 12  # 4.5 s on a quiet machine


async def test_a_user_needs_the_right_password(tmp_path: Path) -> None:
    async with OpcUaServer(users={"muki": "right"}) as server:
        node = await server.add("Crusher/Current", 1.5)
        points = {"crusher-1/current": {"node": node, "unit": "A"}}
        opcua = source(server, points, tmp_path, username="muki", password_file=Path("secret"))
        for written, says in ((None, "password_file .*secret: .*No such file"), ("wrong", "refuses this user .*: check username")):
            if written:
                (tmp_path / "secret").write_text(written)
            async with running(opcua) as items:
                with pytest.raises(Retry, match=says):
                    await anext(items)
        async with running(source(server, points)) as items:
            with pytest.raises(Retry, match="refuses this user"):
                await anext(items)
        (tmp_path / "secret").write_text("right\n")
        async with running(opcua) as items:
            assert [reading.value for reading in await upto(items, 1)] == [1.5]


def certificate(folder: Path, name: str, uri: str) -> tuple[Path, Path]:
    """An application's self-signed certificate (DER) and its key (PEM)."""
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    uses = dict.fromkeys(("key_cert_sign", "crl_sign", "encipher_only", "decipher_only", "key_agreement"), False)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri), x509.DNSName("localhost")]), critical=False)
        .add_extension(
            x509.KeyUsage(digital_signature=True, content_commitment=True, key_encipherment=True, data_encipherment=True, **uses),
            critical=True,
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    der, pem = folder / f"{name}.der", folder / f"{name}.pem"
    der.write_bytes(made.public_bytes(serialization.Encoding.DER))
    pem.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return der, pem


async def test_an_encrypted_channel_and_what_is_missing_for_one(tmp_path: Path) -> None:
    der, pem = certificate(tmp_path, "server", "urn:freeopcua:python:server")
    certificate(tmp_path, "node", "urn:muki:node")
    async with OpcUaServer(certificate=der, key=pem) as server:
        node = await server.add("Crusher/Current", 1.5)
        points = {"crusher-1/current": {"node": node, "unit": "A"}}
        security = {"certificate": "node.der", "key": "node.pem"}
        async with running(source(server, points, tmp_path, security=security)) as items:
            assert [reading.value for reading in await upto(items, 1)] == [1.5]
        pinned = security | {"server_certificate": "server.der"}
        async with running(source(server, points, tmp_path, security=pinned)) as items:
            assert [reading.value for reading in await upto(items, 1)] == [1.5]
        for wrong, says in (
            ({"security": security | {"key": "none.pem"}}, r"security\.key .*none\.pem: there is no such file"),
            ({"security": security | {"mode": "Sign"}}, "has no endpoint Basic256Sha256, Sign: set security"),
            ({}, "has no endpoint without security: set security"),
        ):
            async with running(source(server, points, tmp_path, **wrong)) as items:
                with pytest.raises(Retry, match=says):
                    await anext(items)
