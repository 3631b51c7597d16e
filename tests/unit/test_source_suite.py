"""What every source guarantees (the docstring of edge.sources.Source), checked on each of them against simulated devices on real sockets,
pseudo-terminals and files."""

import asyncio
import contextlib
import functools
import random
import secrets
import subprocess
import sys
import threading
import time
import wave
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from contract.values import Level, Reading
from edge.errors import Misconfigured, Retry
from edge.items import Frame, Item, Waveform
from edge.sources import REGISTRY, Source, SourceContext
from simulators.field.camera_feed import CameraFeed
from simulators.field.camera_scene import render_clip
from simulators.field.can_bus import AMB, TruckBus, frame
from simulators.field.gnss_receiver import Gpsd, Receiver, Track
from simulators.field.iio_device import IioDevice
from simulators.field.listener import Listener
from simulators.field.modbus_pdu import Unit, float32
from simulators.field.modbus_slave import RtuBus, TcpSlave
from simulators.field.opcua_server import OpcUaServer
from simulators.field.rtsp_server import Auth, RtspCamera
from simulators.field.serial_device import SerialDevice, xor_line
from simulators.field.vibration_stream import VibrationStream
from tests.rig.cable import Cable, Trouble, spoil
from tests.rig.servers import Mosquitto

PATIENCE = 15.0  # seconds; a test that waits longer has failed


class Bench(NamedTuple):
    """A source on a simulated device: ``unplug`` cuts it off while it is read, ``plug`` brings it back."""

    source: Source
    unplug: Callable[[], Awaitable[None]]
    plug: Callable[[], Awaitable[None]]


async def _nothing() -> None:
    pass


def build(folder: Path, **settings: Any) -> Source:
    module, _, name = REGISTRY[settings["type"]].partition(":")
    kind = getattr(import_module(module), name)
    source = kind(kind.Settings.model_validate({"name": "under-test", **settings}), SourceContext("node", folder))
    assert isinstance(source, Source)
    return source


def modbus(folder: Path, **bus: Any) -> Source:
    point = {"table": "holding", "register": 0, "type": "float32", "unit": "m3/h"}
    return build(folder, type="modbus", every=0.05, timeout=0.2, units={1: {"pump-1/flow": point}}, **bus)


def logger(folder: Path, address: str) -> Source:
    return build(folder, type="waveform", tcp=address, points={"de": "pump-1/vibration/de"}, snapshot=0.2, every=0.2, timeout=0.5)


def iio(folder: Path, **more: Any) -> Source:
    points = {"points": {"accel_x": "pump-1/vibration/de"}, "snapshot": 0.2, "every": 0.2, "timeout": 0.5}
    return build(folder, type="waveform", iio={"device": "adxl372", "sysfs": "sys", "dev": "dev"}, **points, **more)


def camera(folder: Path, url: str, **more: Any) -> Source:
    return build(folder, type="camera", camera="gallery", url=url, fps=20, timeout=1.0, **more)


def mqtt_in(folder: Path, port: int, timeout: float = 2.0, stale_after: float = 60) -> Source:
    point = {"topic": "plant/+/flow", "unit": "m3/h", "stale_after": stale_after}
    return build(folder, type="mqtt-in", host="127.0.0.1", port=port, timeout=timeout, points={"pump-1/flow": point})


def opcua(folder: Path, url: str, timeout: float = 2.0) -> Source:
    point = {"node": "ns=2;s=Pump.Flow", "unit": "m3/h"}
    return build(folder, type="opcua", url=url, publish_every=0.05, timeout=timeout, points={"pump-1/flow": point})


@contextlib.asynccontextmanager
async def repeated(act: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """A device that speaks twenty times a second."""

    async def speak() -> None:
        while True:
            await act()
            await asyncio.sleep(0.05)

    task = asyncio.create_task(speak())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def sensor_on_a_broker(port: int) -> AsyncIterator[None]:
    """Publishes over a connection that comes back by itself."""
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.reconnect_delay_set(1, 1)
    client.connect("127.0.0.1", port)
    client.loop_start()

    async def publish() -> None:
        if client.is_connected():
            client.publish("plant/pump-1/flow", "123.5")

    try:
        async with repeated(publish):
            yield
    finally:
        client.disconnect()
        client.loop_stop()


def serial_line(folder: Path, stale_after: float = 5.0, **link: Any) -> Source:
    lines = [{"select": "FLOW,", "points": {"pump-1/flow": {"column": 2, "unit": "m3/h"}}}]
    checksum = {"kind": "xor", "after": "$", "before": "*"}
    return build(folder, type="serial-line", stale_after=stale_after, checksum=checksum, lines=lines, **link)


def nmea(folder: Path, stale_after: float = 5.0, **link: Any) -> Source:
    return build(folder, type="nmea", stale_after=stale_after, under="pump-1/gnss", outputs=["altitude"], **link)


def can_bus(folder: Path, stale_after: float = 1.0, **bus: Any) -> Source:
    point = {"spn": 108, "source_address": 0, "stale_after": stale_after}
    return build(folder, type="can", every=0.05, points={"pump-1/flow": point}, **bus)


def one_unit() -> dict[int, Unit]:
    unit = Unit()
    unit.holding.put(0, *float32(123.5))
    return {1: unit}


def noise(size: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(1).normal(0, 1, (size, 1)).astype(np.float32)


def write_wav(path: Path, seconds: float = 1.0) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes((noise(round(8000 * seconds)) * 3000).astype("<i2").tobytes())
    return path


async def line_bench(kind: str, folder: Path, stack: contextlib.AsyncExitStack) -> Bench:
    say = Receiver(Track(altitude=123.5)).say if kind.startswith("nmea") else lambda: xor_line("FLOW,123.5")
    make = nmea if kind.startswith("nmea") else serial_line
    if kind.endswith("tcp"):

        async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while not reader.at_eof():
                writer.write(say())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(1), 0.05)

        converter = await stack.enter_async_context(Listener(speak))
        return Bench(make(folder, tcp=converter.address), converter.drop_connections, _nothing)
    adapter = await stack.enter_async_context(SerialDevice(folder / "by-id", say))

    async def pull_out() -> None:
        adapter.unplug()

    async def put_back() -> None:
        adapter.plug()

    return Bench(make(folder, serial={"port": "by-id"}), pull_out, put_back)


async def sampled_bench(kind: str, folder: Path, stack: contextlib.AsyncExitStack) -> Bench:
    if kind == "waveform-tcp":
        stream = await stack.enter_async_context(VibrationStream(noise, rate_hz=4000))
        return Bench(logger(folder, stream.address), stream.drop_connections, _nothing)
    sensor = await stack.enter_async_context(IioDevice(folder, noise, rate_hz=3200))

    async def unbind() -> None:
        sensor.unplug()

    async def bind() -> None:
        sensor.plug()

    return Bench(iio(folder), unbind, bind)


async def camera_bench(kind: str, folder: Path, stack: contextlib.AsyncExitStack) -> Bench:
    if kind == "camera-file":
        render_clip(folder / "clip.avi", seconds=1.0, fps=10)
        return Bench(camera(folder, "clip.avi", loop=True), _nothing, _nothing)
    device = CameraFeed(fps=15) if kind == "camera-http" else RtspCamera(fps=15, auth=Auth.DIGEST, password="secret")
    await stack.enter_async_context(device)
    return Bench(camera(folder, device.url), device.drop_connections, _nothing)


@contextlib.asynccontextmanager
async def bench_of(kind: str, folder: Path) -> AsyncIterator[Bench]:
    async with contextlib.AsyncExitStack() as stack:
        match kind:
            case "modbus-tcp":
                slave = await stack.enter_async_context(TcpSlave(one_unit()))
                yield Bench(modbus(folder, tcp=slave.address), slave.drop_connections, _nothing)
            case "modbus-rtu":
                link = folder / "ttyRS485"
                lines = [await RtuBus(one_unit(), link=link).__aenter__()]

                async def pull() -> None:
                    await lines.pop().__aexit__()

                async def push_in() -> None:
                    lines.append(await RtuBus(one_unit(), link=link).__aenter__())

                yield Bench(modbus(folder, rtu={"port": str(link), "baudrate": 115200}), pull, push_in)
                while lines:
                    await pull()
            case "waveform-tcp" | "waveform-iio":
                yield await sampled_bench(kind, folder, stack)
            case "waveform-file":
                path = write_wav(folder / "run.wav")
                settings: dict[str, Any] = {"points": {"0": "pump-1/vibration/de"}, "snapshot": 0.1, "every": 0.1, "loop": True}
                gone = folder / "gone.wav"

                async def remove() -> None:
                    path.rename(gone)

                async def restore() -> None:
                    gone.rename(path)

                yield Bench(build(folder, type="waveform", file="run.wav", **settings), remove, restore)
            case "mqtt-in":
                broker = stack.enter_context(Mosquitto(folder / "broker"))
                await stack.enter_async_context(sensor_on_a_broker(broker.port))
                stop, start = functools.partial(asyncio.to_thread, broker.kill), functools.partial(asyncio.to_thread, broker.start)
                yield Bench(mqtt_in(folder, broker.port), stop, start)
            case "opcua":
                server = await stack.enter_async_context(OpcUaServer())
                node = await server.add("Pump/Flow", 123.5)
                await stack.enter_async_context(repeated(lambda: server.write(node, 123.5)))
                yield Bench(opcua(folder, server.url), server.drop_connections, _nothing)
            case "serial-line" | "serial-line-tcp" | "nmea" | "nmea-tcp":
                yield await line_bench(kind, folder, stack)
            case "can" | "can-udp":
                group = f"239.{'.'.join(str(1 + secrets.randbelow(254)) for _ in range(3))}"
                interface = "udp_multicast" if kind == "can-udp" else "virtual"
                truck = await stack.enter_async_context(TruckBus(interface=interface, channel=group, periods={AMB: 0.05}))
                truck.truck.barometer = 123.5

                async def ignition(on: bool) -> None:
                    truck.silent = not on

                bus = can_bus(folder, interface=interface, channel=group)
                yield Bench(bus, functools.partial(ignition, False), functools.partial(ignition, True))
            case "camera-http" | "camera-rtsp" | "camera-file":
                yield await camera_bench(kind, folder, stack)
            case _:
                raise AssertionError(kind)


KINDS = [
    "modbus-tcp",
    "modbus-rtu",
    "waveform-tcp",
    "waveform-iio",
    "waveform-file",
    "camera-http",
    "camera-rtsp",
    "camera-file",
    "mqtt-in",
    "opcua",
    "serial-line",
    "serial-line-tcp",
    "nmea",
    "nmea-tcp",
    "can",
    "can-udp",
]
CUT_OFF = [kind for kind in KINDS if kind != "camera-file"]  # an open file does not go away


def reading(source: Source) -> contextlib.AbstractAsyncContextManager[AsyncGenerator[Sequence[Item], None]]:
    """The items, closed on the way out: what the agent does."""
    items = source.items()
    assert isinstance(items, AsyncGenerator)
    return contextlib.aclosing(items)


async def take(source: Source, batches: int) -> list[Sequence[Item]]:
    taken: list[Sequence[Item]] = []
    async with asyncio.timeout(PATIENCE), reading(source) as items:
        async for batch in items:
            taken.append(batch)
            if len(taken) == batches:
                return taken
    raise AssertionError(f"the source ended after {len(taken)} batches")


def time_of(item: Item) -> int:
    return item.start_ns if isinstance(item, Waveform) else item.time_ns


def is_good(item: Item) -> bool:
    if isinstance(item, Reading):
        return item.quality.good and item.value == 123.5
    if isinstance(item, Waveform):
        return len(item.samples) > 0 and bool(np.isfinite(item.samples).all())
    return isinstance(item, Frame) and item.image.ndim == 3


def open_things() -> tuple[set[threading.Thread], int]:
    # Threads of the loop's own executor are the loop's: it keeps them for the next to_thread.
    threads = {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}
    return threads, len(list(Path("/proc/self/fd").iterdir()))


async def settle(before: tuple[set[threading.Thread], int]) -> tuple[set[threading.Thread], int]:
    """What is open once the simulated device, too, has noticed that the connection ended."""
    deadline = time.monotonic() + 3
    while open_things() != before and time.monotonic() < deadline:  # noqa: ASYNC110 - descriptors send no events
        await asyncio.sleep(0.02)
    return open_things()


@pytest.mark.parametrize("kind", KINDS)
async def test_gives_good_items_in_order_of_time(kind: str, tmp_path: Path) -> None:
    async with bench_of(kind, tmp_path) as bench:
        begun = time.time_ns()
        batches = await take(bench.source, 5)
    items = [item for batch in batches for item in batch]
    assert all(is_good(item) for item in items)
    times = [time_of(item) for item in items]
    assert times == sorted(times)
    assert begun - 1e9 < times[0] < times[-1] < time.time_ns() + 1e6
    if not isinstance(items[0], Reading):
        assert len(set(times)) == len(times)


@pytest.mark.parametrize("kind", KINDS)
async def test_construction_touches_nothing_and_points_are_known_before(kind: str, tmp_path: Path) -> None:
    async with bench_of(kind, tmp_path) as bench:
        before = open_things()
        again = type(bench.source)(bench.source._settings, SourceContext("node", tmp_path / "no" / "such" / "folder"))  # type: ignore[attr-defined]
        declared = set(again.points())
        assert open_things() == before
    own = {"nmea": {"pump-1/gnss/altitude"}, "waveform": set(), "camera": set()}
    assert declared == next((points for start, points in own.items() if kind.startswith(start)), {"pump-1/flow"})


@pytest.mark.parametrize("kind", KINDS)
async def test_cancel_releases_everything_and_it_can_be_restarted(kind: str, tmp_path: Path) -> None:
    async with bench_of(kind, tmp_path) as bench:
        await take(bench.source, 1)  # what is imported or cached once is not a leak
        before, tasks = await settle(open_things()), len(asyncio.all_tasks())
        for _ in range(3):
            got = asyncio.Event()

            async def consume(got: asyncio.Event = got) -> None:
                async with reading(bench.source) as items:
                    async for _batch in items:
                        got.set()

            task = asyncio.create_task(consume())
            async with asyncio.timeout(PATIENCE):
                await got.wait()
            task.cancel()
            async with asyncio.timeout(3):
                await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled()
        assert await settle(before) == before
        await asyncio.sleep(0.05)
        assert len(asyncio.all_tasks()) <= tasks
        assert all(is_good(item) for batch in await take(bench.source, 2) for item in batch)


@pytest.mark.parametrize(
    "kind", ["modbus-tcp", "waveform-tcp", "camera-http", "camera-rtsp", "mqtt-in", "opcua", "serial-line-tcp", "nmea-tcp"]
)
async def test_cancel_while_connecting_releases_everything(kind: str, tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with Listener(silent) as device:
        source = _at(kind, tmp_path, device.address)
        before = open_things()
        task = asyncio.create_task(take(source, 1))
        await asyncio.sleep(0.1)
        task.cancel()
        async with asyncio.timeout(3):
            await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        assert await settle(before) == before


def _at(kind: str, folder: Path, address: str) -> Source:
    match kind:
        case "modbus-tcp":
            return modbus(folder, tcp=address)
        case "waveform-tcp":
            return logger(folder, address)
        case "mqtt-in":
            return mqtt_in(folder, int(address.rpartition(":")[2]), timeout=0.3)
        case "opcua":
            return opcua(folder, f"opc.tcp://{address}", timeout=0.3)
        case "serial-line-tcp" | "nmea-tcp":
            return (nmea if kind == "nmea-tcp" else serial_line)(folder, stale_after=0.3, tcp=address)
        case _:
            return camera(folder, f"{kind.removeprefix('camera-')}://{address}/stream")


def _absent(folder: Path) -> dict[str, Source]:
    port = _free_port()
    return {
        "modbus-tcp": modbus(folder, tcp=f"127.0.0.1:{port}"),
        "modbus-rtu": modbus(folder, rtu={"port": str(folder / "ttyUSB7")}),
        "waveform-tcp": logger(folder, f"127.0.0.1:{port}"),
        "waveform-iio": iio(folder),
        "waveform-file": build(folder, type="waveform", file="none.wav", points={"0": "pump-1/vibration/de"}),
        "camera-http": camera(folder, f"http://user:secret@127.0.0.1:{port}/stream"),
        "camera-rtsp": camera(folder, f"rtsp://user:secret@127.0.0.1:{port}/stream1"),
        "camera-device": camera(folder, "/dev/video99"),
        "camera-file": camera(folder, "none.avi"),
        "can": can_bus(folder, interface="socketcan", channel="can7"),
        "can-silent": can_bus(folder, interface="virtual", channel="nobody", stale_after=0.3),
        "serial-line": serial_line(folder, serial={"port": "ttyUSB7"}),
        "serial-line-tcp": serial_line(folder, tcp=f"127.0.0.1:{port}"),
        "nmea": nmea(folder, serial={"usb": "fffe:fffe"}),
        "nmea-gpsd": nmea(folder, gpsd=f"127.0.0.1:{port}"),
        "mqtt-in": mqtt_in(folder, port),
        "opcua": opcua(folder, f"opc.tcp://127.0.0.1:{port}"),
    }


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("modbus-tcp", r"tcp 127\.0\.0\.1:\d+: .*502"),
        ("modbus-rtu", "there is no such serial port; there are: "),
        ("waveform-tcp", "is the logger on"),
        ("waveform-iio", r"iio adxl372: there is no such device; there are: none in .*/sys/bus/iio/devices"),
        ("waveform-file", "there is no such file"),
        ("camera-http", r"http://127\.0\.0\.1:\d+/stream does not open"),
        ("camera-rtsp", r"rtsp://127\.0\.0\.1:\d+/stream1 does not open"),
        ("camera-device", "there is no /dev/video99"),
        ("camera-file", "there is no such file"),
        ("can", "socketcan can7: there is no such interface; .*ip link set can7 up"),
        ("can-silent", r"virtual nobody: no frame of any point for 0\.3 s"),
        ("serial-line", "serial ttyUSB7: there is no such serial port; there are: "),
        ("serial-line-tcp", r"tcp 127\.0\.0\.1:\d+: .*is the device on"),
        ("nmea", "usb fffe:fffe: there is no such adapter; there are: "),
        ("nmea-gpsd", r"tcp 127\.0\.0\.1:\d+: .*is the device on"),
        ("mqtt-in", r"mqtt 127\.0\.0\.1:\d+: .*1883"),
        ("opcua", r"opc\.tcp://127\.0\.0\.1:\d+: .*4840"),
    ],
)
async def test_an_absent_device_raises_retry_within_its_timeout(kind: str, says: str, tmp_path: Path) -> None:
    source = _absent(tmp_path)[kind]
    begun = time.monotonic()
    with pytest.raises(Retry, match=says) as raised:
        await take(source, 1)
    assert time.monotonic() - begun < 3  # timeouts are 0.2 to 1 s; the first import of OpenCV takes part of it
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("kind", CUT_OFF)
async def test_unplugged_while_read_it_says_so_and_comes_back(kind: str, tmp_path: Path) -> None:
    async with bench_of(kind, tmp_path) as bench:
        seen = 0
        noticed = False
        try:
            async with asyncio.timeout(PATIENCE), reading(bench.source) as items:
                async for batch in items:
                    seen += 1
                    if seen == 2:
                        await bench.unplug()
                    if seen > 2 and any(isinstance(item, Reading) and item.quality.level is Level.BAD for item in batch):
                        noticed = True
        except Retry:
            noticed = True
        assert noticed
        assert seen < 60
        await bench.plug()
        assert all(is_good(item) for batch in await take(bench.source, 2) for item in batch)


@pytest.mark.parametrize(
    "kind", ["modbus-tcp", "waveform-tcp", "camera-http", "camera-rtsp", "mqtt-in", "opcua", "serial-line-tcp", "nmea-tcp"]
)
@pytest.mark.parametrize(
    "garbage", [random.Random(1).randbytes(4096), b"\n" * 4096, b"HTTP/1.1 200 OK\r\n\r\n" + b"\xff\xd8" * 2000, b"{}\n", b"\x00" * 4096]
)
async def test_garbage_ends_in_retry_or_bad_quality(kind: str, garbage: bytes, tmp_path: Path) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(garbage)
        while await reader.read(1024):
            writer.write(garbage)

    async with Listener(babble) as device:
        source = _at(kind, tmp_path, device.address)
        with pytest.raises(Retry):
            await _read_nothing_good(source)


Spoil = Callable[[Trouble | None], None]


async def device_of(kind: str, folder: Path, stack: contextlib.AsyncExitStack) -> str:
    """Starts a device that speaks TCP; its address."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not reader.at_eof():
            writer.write(xor_line("FLOW,123.5"))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.05)

    if kind == "mqtt-in":
        broker = stack.enter_context(Mosquitto(folder / "broker"))
        await stack.enter_async_context(sensor_on_a_broker(broker.port))
        return f"127.0.0.1:{broker.port}"
    if kind == "opcua":
        server = await stack.enter_async_context(OpcUaServer())
        node = await server.add("Pump/Flow", 123.5)
        await stack.enter_async_context(repeated(lambda: server.write(node, 123.5)))
        return server.url.removeprefix("opc.tcp://")
    devices: dict[str, Callable[[], Listener]] = {
        "modbus-tcp": lambda: TcpSlave(one_unit()),
        "waveform-tcp": lambda: VibrationStream(noise, rate_hz=4000),
        "camera-http": lambda: CameraFeed(fps=15),
        "camera-rtsp": lambda: RtspCamera(fps=15),
        "nmea-gpsd": lambda: Gpsd(Receiver(Track(altitude=123.5)), every=0.05),
        "serial-line-tcp": lambda: Listener(speak),
    }
    return (await stack.enter_async_context(devices[kind]())).address


async def behind_a_cable(kind: str, folder: Path, stack: contextlib.AsyncExitStack) -> tuple[Source, Spoil]:
    """A source on a device that speaks TCP, and what spoils the connection between them."""
    cable = await stack.enter_async_context(Cable(await device_of(kind, folder, stack)))
    match kind:
        case "mqtt-in":
            source = mqtt_in(folder, cable.port, stale_after=0.6)
        case "opcua":
            source = opcua(folder, f"opc.tcp://{cable.address}", timeout=1.0)
        case "nmea-gpsd":
            source = nmea(folder, stale_after=0.6, gpsd=cable.address)
        case "serial-line-tcp":
            source = serial_line(folder, stale_after=0.6, tcp=cable.address)
        case _:
            source = _at(kind, folder, cable.address)
    return source, functools.partial(setattr, cable, "trouble")


async def on_a_wire(kind: str, folder: Path, stack: contextlib.AsyncExitStack) -> tuple[Source, Spoil]:
    """A source on a serial line or a CAN bus, which has no connection to lose: what is said there is spoilt."""
    dice = random.Random(1)
    now: list[Trouble | None] = [None]

    def heard(said: bytes) -> bytes:
        return said if now[0] is None else spoil(said, now[0], dice)

    def set_trouble(trouble: Trouble | None) -> None:
        now[0] = trouble

    link = folder / "by-id"
    if kind == "modbus-rtu":
        await stack.enter_async_context(RtuBus(one_unit(), link=link, carry=lambda request, answer: heard(answer)))
        return modbus(folder, rtu={"port": str(link), "baudrate": 115200}), set_trouble
    if kind == "can":
        truck = await stack.enter_async_context(TruckBus(interface="virtual", channel=folder.name, periods={AMB: 0.05}))
        truck.truck.barometer = 123.5

        def set_truck(trouble: Trouble | None) -> None:
            truck.silent = trouble is not None
            if trouble == "half":
                truck.send(frame(AMB, b""))
            for _ in range(50) if trouble == "garbage" else ():
                truck.send(frame(dice.getrandbits(29), dice.randbytes(dice.randrange(9))))

        return can_bus(folder, interface="virtual", channel=folder.name), set_truck
    say = Receiver(Track(altitude=123.5)).say if kind == "nmea" else lambda: xor_line("FLOW,123.5")
    await stack.enter_async_context(SerialDevice(link, lambda: heard(say())))
    return (nmea if kind == "nmea" else serial_line)(folder, stale_after=0.6, serial={"port": "by-id"}), set_trouble


WIRES = ["modbus-rtu", "serial-line", "nmea", "can"]
CABLES = ["modbus-tcp", "waveform-tcp", "camera-http", "camera-rtsp", "mqtt-in", "opcua", "serial-line-tcp", "nmea-gpsd"]


@pytest.mark.parametrize("trouble", ["silence", "half", "garbage"])
@pytest.mark.parametrize("kind", WIRES + CABLES)
async def test_spoilt_in_the_middle_it_says_so_invents_nothing_and_comes_back(kind: str, trouble: Trouble, tmp_path: Path) -> None:
    """The device is there, the connection stands, and nothing, half an answer or garbage comes: from then on no value, but word of it, once or
    at each attempt; and when all is well again, values, after as many new starts as the agent makes anyway."""
    async with contextlib.AsyncExitStack() as stack:
        source, set_trouble = await (on_a_wire if kind in WIRES else behind_a_cable)(kind, tmp_path, stack)
        seen, told, after = 0, False, 0
        with contextlib.suppress(Retry, TimeoutError):
            async with asyncio.timeout(PATIENCE) as limit, reading(source) as items:
                async for batch in items:
                    seen += any(is_good(item) for item in batch)
                    _invents_nothing(batch)
                    if seen == 2 and not told:
                        set_trouble(trouble)
                        seen = 3
                    bad_now = any(isinstance(item, Reading) and item.quality.level is Level.BAD for item in batch)
                    if told:
                        after += 1
                        assert not any(is_good(item) for item in batch), "a value of before came again as fresh"
                    elif bad_now and seen >= 3:
                        told = True
                        limit.reschedule(asyncio.get_running_loop().time() + 0.5)  # how it goes on, if it does
        assert seen >= 3
        assert told or not limit.expired(), "it neither said a word nor ended"
        assert after <= 25  # Modbus says it at each attempt; nobody else more than once
        set_trouble(None)
        assert await _back(source)


def _invents_nothing(batch: Sequence[Item]) -> None:
    """A good reading has the value that the device has."""
    assert all(is_good(item) for item in batch if isinstance(item, Reading) and item.quality.good)


async def _back(source: Source) -> bool:
    async with asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(Retry):
                return any(is_good(item) for batch in await take(source, 3) for item in batch)
            await asyncio.sleep(0.2)


async def _read_nothing_good(source: Source) -> None:
    async with asyncio.timeout(PATIENCE), reading(source) as items:
        async for batch in items:
            assert not any(is_good(item) for item in batch)


@pytest.mark.parametrize("ending", ["wav", "npy", "npz", "csv"])
async def test_a_file_of_garbage_is_misconfigured(ending: str, tmp_path: Path) -> None:
    (tmp_path / f"run.{ending}").write_bytes(random.Random(2).randbytes(512))
    source = build(tmp_path, type="waveform", file=f"run.{ending}", rate_hz=1000, points={"0": "pump-1/vibration/de"})
    with pytest.raises(Misconfigured, match="cannot be read as a waveform"):
        await take(source, 1)


async def test_a_video_file_of_garbage_raises_retry(tmp_path: Path) -> None:
    (tmp_path / "clip.avi").write_bytes(random.Random(3).randbytes(4096))
    with pytest.raises(Retry, match=r"clip\.avi"):
        await take(camera(tmp_path, "clip.avi"), 1)


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("edge.sources.modbus, edge.sources.modbus_map", {"pymodbus", "numpy", "cv2", "onnxruntime", "scipy"}),
        ("edge.sources.waveform, edge.processing.vibration", {"pymodbus", "cv2", "onnxruntime", "scipy"}),
        ("edge.sources.mqtt_in, edge.sources.opcua", {"asyncua", "cryptography", "numpy", "cv2"}),
        ("edge.sources.can", {"can", "cantools", "numpy", "cv2", "pymodbus"}),
        ("edge.processing.scoring", {"cv2", "onnxruntime", "scipy"}),
        ("edge.sources.serial_line, edge.sources.nmea", {"serial", "pynmea2", "numpy", "pymodbus", "cv2"}),
        ("edge.sources.camera, edge.processing.vision", {"cv2", "pymodbus", "onnxruntime"}),
    ],
)
def test_what_is_not_configured_is_not_imported(modules: str, absent: set[str]) -> None:
    code = f"import sys, {modules}; print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert not loaded & absent
