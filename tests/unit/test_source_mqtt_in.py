"""MQTT in: paths, messages, times and qualities of other people's sensors, and a real broker that keeps, refuses and goes away."""

import asyncio
import datetime as dt
import logging
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion
from pydantic import ValidationError

from contract.values import GOOD, Quality, Reading, bad, uncertain
from edge.clock import SECOND
from edge.errors import Retry
from edge.items import Item
from edge.sources import SourceContext
from edge.sources.device_clock import stamp
from edge.sources.inbox import Inbox
from edge.sources.json_path import NotThere, find, parse
from edge.sources.mqtt_in import MqttInSource
from edge.sources.mqtt_in_message import MAX_BYTES, Malformed, Payload, instant, interpret
from edge.sources.mqtt_in_settings import MqttInSettings, MqttPoint, matches
from edge.sources.staleness import Staleness
from tests.rig.servers import Mosquitto

PATIENCE = 20.0  # s
NOW = 1_795_000_000 * SECOND + 5_000_000  # in 2026
NAME = "fan-1/flow"


def point(**more: Any) -> MqttPoint:
    return MqttPoint.model_validate({"topic": "plant/fan", "unit": "1"} | more)


def read(payload: str | bytes, *, retained: bool = False, **more: Any) -> Reading | None:
    raw = payload if isinstance(payload, bytes) else payload.encode()
    return interpret(NAME, point(**more), Payload(raw), retained=retained, received_ns=NOW)


def outcome(payload: str | bytes, *, retained: bool = False, **more: Any) -> tuple[float | None, Quality]:
    reading = read(payload, retained=retained, **more)
    assert reading is not None
    return reading.value, reading.quality


# --- paths ---


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("value", ("value",)),
        ("$.a.b", ("a", "b")),
        ("a[0].b", ("a", 0, "b")),
        ("[2]", (2,)),
        ("$[-1][3]", (-1, 3)),
        ('a["key.with [dots]"].c', ("a", "key.with [dots]", "c")),
        ("['x'].y", ("x", "y")),
        ("Temperatura_°C.valor", ("Temperatura_°C", "valor")),
    ],
)
def test_a_path_has_keys_and_indexes(text: str, steps: tuple[str | int, ...]) -> None:
    assert parse(text) == steps


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "names nothing"),
        ("$", "names nothing"),
        ("a..b", r"cannot be read from '\.\.b' on"),
        (".a", r"cannot be read from '\.a' on"),
        ("a.", r"cannot be read from '\.' on"),
        ("a[x]", r"cannot be read from '\[x\]' on"),
        ("a[0", r"cannot be read from '\[0' on"),
        ("[0]b", "cannot be read from 'b' on"),
        ("a b", "cannot be read from ' b' on"),
    ],
)
def test_a_wrong_path_says_where_it_goes_wrong(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(text)


@examples(max_examples=40, deadline=None)
@given(
    st.recursive(st.integers(), lambda inner: st.lists(inner, min_size=1) | st.dictionaries(st.text(min_size=1), inner, min_size=1)),
    st.data(),
)
def test_every_value_of_a_document_is_found_at_its_path(document: Any, data: st.DataObject) -> None:
    path: list[str | int] = []
    here = document
    while isinstance(here, dict | list):
        step = data.draw(st.sampled_from(sorted(here))) if isinstance(here, dict) else data.draw(st.integers(0, len(here) - 1))
        path.append(step)
        here = here[step]
    assert find(document, tuple(path)) == here
    if all(isinstance(step, int) or not set(step) & set("\"'") for step in path) and path:
        written = "".join(f"[{step}]" if isinstance(step, int) else f'["{step}"]' for step in path)
        assert parse(written) == tuple(path)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("b", "the message has no key 'b'; it has: a, list"),
        ("a.c", "a is 5, so it has no key 'c'"),
        ("list[3]", r"list has 2 elements, so no \[3\]"),
        ("list.x", "list is a list, so it has no key 'x'"),
        ("a[0]", r"a is 5, so it has no \[0\]"),
    ],
)
def test_what_is_not_there_says_how_far_the_path_goes(path: str, says: str) -> None:
    with pytest.raises(NotThere, match=says):
        find({"a": 5, "list": [1, 2]}, parse(path))


# --- topics ---


@pytest.mark.parametrize(
    ("topic_filter", "topic", "fits"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("a/+/c", "a/b/c", True),
        ("a/+", "a", False),
        ("a/+", "a/", True),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("#", "a/b", True),
        ("#", "$SYS/uptime", False),
        ("+/uptime", "$SYS/uptime", False),
        ("$SYS/#", "$SYS/uptime", True),
        ("a/b", "a/B", False),
    ],
)
def test_wildcards_take_what_mqtt_says(topic_filter: str, topic: str, fits: bool) -> None:
    assert matches(topic_filter, topic) is fits


# --- messages ---


@pytest.mark.parametrize(
    ("payload", "more", "expected"),
    [
        ("12.5", {}, (12.5, GOOD)),
        (" -3e2\n", {}, (-300.0, GOOD)),
        ("true", {"unit": "bool"}, (1.0, GOOD)),
        ("OFF", {"unit": "bool"}, (0.0, GOOD)),
        ("RUN", {"unit": "bool", "texts": {"RUN": 1, "STOP": 0}}, (1.0, GOOD)),
        ("3", {"scale": 0.1}, (0.3, GOOD)),
        ("250", {"scale": 0.1, "offset": -5, "range": [0, 10]}, (20.0, uncertain("out_of_range"))),
        ("nan", {}, (None, bad("sensor_fault"))),
        ("1e999", {}, (None, bad("sensor_fault"))),
        ("", {}, (None, bad("no_value"))),
        ('{"v": 4}', {"path": "v"}, (4.0, GOOD)),
        ('{"v": "4.5"}', {"path": "v"}, (4.5, GOOD)),
        ('{"v": false}', {"path": "v", "unit": "bool"}, (0.0, GOOD)),
        ('{"v": null}', {"path": "v"}, (None, bad("no_value"))),
        ('{"v": 1' + "0" * 400 + "}", {"path": "v"}, (None, bad("sensor_fault"))),
        ('{"v": 4, "q": 192}', {"path": "v", "quality": {"path": "q", "map": {192: "good", 0: "bad:wire_break"}}}, (4.0, GOOD)),
        ('{"v": 4, "q": 0}', {"path": "v", "quality": {"path": "q", "map": {192: "good", 0: "bad:wire_break"}}}, (None, bad("wire_break"))),
        ('{"v": 4, "q": true}', {"path": "v", "quality": {"path": "q", "map": {True: "uncertain:manual"}}}, (4.0, uncertain("manual"))),
        ('{"v": 4, "q": 7}', {"path": "v", "quality": {"path": "q", "map": {192: "good"}}}, (4.0, uncertain("unknown_quality"))),
        ('{"v": 4}', {"path": "v", "quality": {"path": "q", "map": {1: "good"}, "otherwise": "good"}}, (4.0, GOOD)),
    ],
)
def test_what_a_message_says(payload: str, more: dict[str, Any], expected: tuple[float | None, Quality]) -> None:
    assert outcome(payload, **more) == expected


@pytest.mark.parametrize(
    ("payload", "more", "says"),
    [
        ("12,5", {}, "'12,5' is no number"),
        ("12.5 C", {}, "'12.5 C' is no number"),
        ("1_000", {}, "'1_000' is no number"),
        ("١٢", {}, "is no number"),
        ('{"v": 1}', {}, "it looks like JSON: give the point a path"),
        (b"\xff\xfe", {}, "is no text"),
        ("nope", {"path": "v"}, "is no JSON"),
        ('{"v": NaN}', {"path": "v"}, "is no JSON"),
        ('{"v": 1', {"path": "v"}, "is no JSON"),
        ("[" * 100_000, {"path": "v"}, "is no JSON"),
        ('{"w": 1}', {"path": "v"}, "path v: the message has no key 'v'; it has: w"),
        ('{"v": {"x": 1}}', {"path": "v"}, "an object is no number"),
        (b"1" * (MAX_BYTES + 1), {}, f"are more than {MAX_BYTES}"),
    ],
)
def test_a_malformed_message_says_what_is_wrong(payload: str | bytes, more: dict[str, Any], says: str) -> None:
    with pytest.raises(Malformed, match=says):
        read(payload, **more)


@examples(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([None, "v", "v[0].x"]))
def test_no_message_whatever_breaks_the_decoder(payload: bytes, path: str | None) -> None:
    more: dict[str, Any] = {"time": "t", "quality": {"path": "q", "map": {"1": "good"}}} if path else {}
    try:
        reading = read(payload, path=path, **more)
    except Malformed:
        return
    assert reading is not None
    assert (reading.value is None) == (reading.quality.level == "bad")


def test_an_optional_path_may_be_missing() -> None:
    assert read('{"w": 1}', path="v", optional=True) is None


# --- times ---


@pytest.mark.parametrize(
    ("said", "zone", "expected"),
    [
        (1_700_000_000, None, 1_700_000_000 * SECOND),
        (1_700_000_000.25, None, 1_700_000_000 * SECOND + 250_000_000),
        ("1700000000", None, 1_700_000_000 * SECOND),
        (1_700_000_000_123, None, 1_700_000_000_123_000_000),
        (1_700_000_000_123_456, None, 1_700_000_000_123_456_000),
        (1_700_000_000_123_456_789, None, 1_700_000_000_123_456_789),
        ("2023-11-14T22:13:20Z", None, 1_700_000_000 * SECOND),
        ("2023-11-14T19:13:20.5-03:00", None, 1_700_000_000 * SECOND + 500_000_000),
        ("2023-11-14 22:13:20", None, 1_700_000_000 * SECOND),
        ("2023-11-14T19:13:20", "America/Santiago", 1_700_000_000 * SECOND),
    ],
)
def test_times_as_devices_write_them(said: Any, zone: str | None, expected: int) -> None:
    assert instant(said, zone) == expected


@pytest.mark.parametrize("said", [True, None, [], "yesterday", 1e30, "14/11/2023"])
def test_what_is_no_time_is_refused(said: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        instant(said, None)


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        (None, (NOW, GOOD)),
        (NOW - 86400 * SECOND, (NOW - 86400 * SECOND, GOOD)),
        (NOW + 299 * SECOND + 123, (NOW + 299 * SECOND, GOOD)),
        (NOW + 301 * SECOND, (NOW, uncertain("clock_unsure"))),
        (0, (NOW, uncertain("clock_unsure"))),
        (-11_644_473_600 * SECOND, (NOW, uncertain("clock_unsure"))),
    ],
)
def test_a_clock_that_cannot_be_is_not_believed(device: int | None, expected: tuple[int, Quality]) -> None:
    assert stamp(device, NOW) == expected


def test_a_time_that_cannot_be_read_keeps_the_value() -> None:
    assert outcome('{"v": 4, "t": "soon"}', path="v", time="t") == (4.0, uncertain("clock_unsure"))
    assert outcome('{"v": 4}', path="v", time="t") == (4.0, uncertain("clock_unsure"))


def test_a_retained_message_is_no_fresh_value_unless_it_carries_its_time() -> None:
    assert outcome("12.5", retained=True) == (12.5, uncertain("retained"))
    assert outcome('{"v": 4, "t": "?"}', path="v", time="t", retained=True) == (4.0, uncertain("retained"))
    reading = read('{"v": 4, "t": 1700000000}', path="v", time="t", retained=True)
    assert reading == Reading(NAME, 1_700_000_000 * SECOND, 4.0, GOOD)


def test_a_point_is_told_stale_once_until_it_is_fresh_again() -> None:
    staleness = Staleness({"a/b": 10, "a/c": 20}, 100.0)
    assert staleness.pause(100.0) == 10
    assert staleness.fell(109.9) == []
    assert staleness.fell(110.0) == ["a/b"]
    assert staleness.fell(115.0) == []
    staleness.fresh("a/b", 116.0)
    staleness.fresh("a/d", 116.0)  # one without a limit
    assert staleness.fell(125.0) == ["a/c"]
    assert staleness.pause(125.0) == 1
    staleness.fresh("a/c", 126.0, age=25.0)  # older than its limit: still stale
    staleness.fresh("a/c", 126.0, age=15.0)
    assert staleness.fell(131.0) == ["a/b", "a/c"]
    assert staleness.pause(131.0) is None


async def test_a_full_inbox_drops_the_oldest_and_counts() -> None:
    inbox: Inbox[int] = Inbox(3)
    for number in range(5):
        inbox.put(number)
    inbox.end(ConnectionError("gone"))
    assert await inbox.take() == [2, 3, 4]
    assert inbox.dropped == 2
    with pytest.raises(ConnectionError, match="gone"):
        await inbox.take()


# --- settings ---


def settings(points: dict[str, Any] | None = None, **more: Any) -> MqttInSettings:
    points = points or {NAME: {"topic": "plant/fan", "unit": "1"}}
    return MqttInSettings.model_validate({"name": "other", "type": "mqtt-in", "host": "127.0.0.1", "points": points} | more)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"topic": "plant/#/x"}, "# stands alone at the end"),
        ({"topic": "plant/fan+"}, r"\+ stands for one whole level"),
        ({"topic": ""}, "a topic has 1 to 65535 bytes"),
        ({"path": "a..b"}, "cannot be read from"),
        ({"unit": "celsius"}, "did you mean 'degC'"),
        ({"unit": None}, "unit"),
        ({"range": [5, 1]}, r"write \[lowest, highest\]"),
        ({"scale": 0}, "every value would be the offset"),
        ({"time": "ts"}, "the number needs a path too"),
        ({"optional": True}, "optional speaks of a path"),
        ({"path": "v", "timezone": "America/Lima"}, "timezone speaks of time"),
        ({"path": "v", "time": "t", "timezone": "Mars/Base"}, "timezone 'Mars/Base' is not known here"),
        ({"path": "v", "quality": {"path": "q", "map": {"0": "great"}}}, "'great' is not a quality"),
        ({"stale_after": 0}, "greater than 0"),
    ],
)
def test_a_wrong_point_says_what_would_be_right(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        settings({NAME: {"topic": "plant/fan", "unit": "1"} | wrong})


def test_a_wrong_session_says_what_would_be_right() -> None:
    with pytest.raises(ValidationError, match="password_file needs a username"):
        settings(password_file="secret")
    with pytest.raises(ValidationError, match="go together"):
        settings(tls_cert="own.pem")
    assert settings().effective_port == 1883
    assert settings(tls=True).effective_port == 8883


# --- a real broker ---


@asynccontextmanager
async def device(port: int) -> AsyncIterator[paho.Client]:
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def say(client: paho.Client, topic: str, payload: str | bytes, *, retain: bool = False) -> None:
    client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(PATIENCE)


def source(port: int, points: dict[str, Any], folder: Path = Path(), **more: Any) -> MqttInSource:
    return MqttInSource(settings(points, port=port, **more), SourceContext("node", folder))


async def upto(items: AsyncIterator[Sequence[Item]], count: int) -> list[Reading]:
    readings: list[Reading] = []
    async with asyncio.timeout(PATIENCE):
        while len(readings) < count:
            readings += [item for item in await anext(items) if isinstance(item, Reading)]
    return readings


async def test_other_peoples_sensors_join(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    points = {
        "fan-1/flow": {"topic": "plant/+/flow", "unit": "m3/h", "stale_after": 0.3},
        "fan-1/temp": {"topic": "zigbee/fan", "path": "temperature", "unit": "degC"},
        "fan-1/humidity": {"topic": "zigbee/fan", "path": "env[0].rh", "unit": "%", "optional": True},
    }
    with Mosquitto(tmp_path) as broker:
        mqtt = source(broker.port, points)
        async with device(broker.port) as sensor, aclosing(mqtt.items()) as items:  # type: ignore[type-var]
            assert await anext(items) == []
            say(sensor, "plant/north/flow", "12.5", retain=True)
            (flow,) = await upto(items, 1)
            assert (flow.point, flow.value, flow.quality) == ("fan-1/flow", 12.5, GOOD)
            (stale,) = await upto(items, 1)
            assert (stale.point, stale.value, stale.quality) == ("fan-1/flow", None, bad("stale"))
            say(sensor, "zigbee/fan", '{"temperature": 21, "env": [{"rh": 40}]}')
            both = await upto(items, 2)
            assert {reading.point: reading.value for reading in both} == {"fan-1/temp": 21.0, "fan-1/humidity": 40.0}
            say(sensor, "zigbee/fan", '{"temperature": "hot"}')
            say(sensor, "zigbee/fan", "{")
            wrong = await upto(items, 3)  # the second message is not JSON: nobody can say whether the optional point was in it
            assert {reading.quality for reading in wrong} == {bad("malformed")}
            assert mqtt.malformed == {"fan-1/temp": 2, "fan-1/humidity": 1}
            assert mqtt.counters() == {"malformed": 3, "dropped_messages": 0}
            with caplog.at_level(logging.WARNING):
                say(sensor, "plant/south/flow", "3")
                (flow,) = await upto(items, 1)
            assert flow.value == 3.0
            assert "fed by two topics, plant/north/flow and plant/south/flow" in caplog.text
        async with aclosing(mqtt.items()) as items:  # type: ignore[type-var]
            assert await anext(items) == []
            (kept,) = await upto(items, 1)
            assert (kept.value, kept.quality) == (12.5, uncertain("retained"))
            (stale,) = await upto(items, 1)
            assert stale.quality == bad("stale")


async def test_a_retained_value_with_a_time_is_as_fresh_as_its_time_says(tmp_path: Path) -> None:
    points = {"fan-1/temp": {"topic": "fan", "path": "v", "time": "t", "unit": "degC", "stale_after": 3600}}
    with Mosquitto(tmp_path) as broker:
        async with device(broker.port) as sensor:
            then = int(time.time()) - 7200
            say(sensor, "fan", f'{{"v": 21, "t": {then}}}', retain=True)
        async with aclosing(source(broker.port, points).items()) as items:  # type: ignore[type-var]
            (kept,) = await upto(items, 1)
    assert kept == Reading("fan-1/temp", then * SECOND, 21.0, GOOD)


def passwords_of(folder: Path) -> Path:
    path = folder / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(path), "muki", "right"], check=True, capture_output=True)
    return path


async def test_the_broker_refuses_a_user_and_takes_the_right_one(tmp_path: Path) -> None:
    passwords, secret = passwords_of(tmp_path), tmp_path / "secret"
    with Mosquitto(tmp_path / "broker", extra=f"user root\nallow_anonymous false\npassword_file {passwords}") as broker:
        mqtt = source(broker.port, {NAME: {"topic": "fan", "unit": "1"}}, tmp_path, username="muki", password_file="secret")
        for written, says in ((None, "password_file .*secret: .*No such file"), ("wrong\n", "refuses this user .*: check username")):
            if written:
                secret.write_text(written)
            async with aclosing(mqtt.items()) as items:  # type: ignore[type-var]
                with pytest.raises(Retry, match=says):
                    await anext(items)
        secret.write_text("right\n")
        async with aclosing(mqtt.items()) as items:  # type: ignore[type-var]
            assert await anext(items) == []


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for localhost and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "broker.pem", folder / "broker.key"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    )
    return pem, secret


async def test_tls_with_the_right_authority_only(tmp_path: Path) -> None:
    pem, key = certificate(tmp_path)
    with Mosquitto(tmp_path / "broker", extra=f"user root\ncertfile {pem}\nkeyfile {key}") as broker:
        points = {NAME: {"topic": "fan", "unit": "1"}}
        async with aclosing(source(broker.port, points, tmp_path, host="localhost", tls_ca="broker.pem").items()) as items:  # type: ignore[type-var]
            assert await anext(items) == []
        for more, says in (
            ({"tls": True}, "the certificate is not accepted"),
            ({"tls_ca": "broker.pem", "host": "127.0.0.1"}, "host is the name in the certificate"),
            ({"tls_ca": "none.pem"}, r"tls_ca .*none\.pem: there is no such file"),
        ):
            async with aclosing(source(broker.port, points, tmp_path, **({"host": "localhost"} | more)).items()) as items:  # type: ignore[type-var]
                with pytest.raises(Retry, match=says):
                    await anext(items)
