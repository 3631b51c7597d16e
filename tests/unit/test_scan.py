"""`muki edge scan` on simulated devices: found, written down, checked and read; and what is busy, silent, locked or foreign is left alone."""

import asyncio
import contextlib
import itertools
import json
import os
import secrets
import sys
import termios
import tty
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import can
import pytest
import yaml

from edge.scan.can_buses import Bus
from edge.scan.found import Finding
from edge.scan.holders import holders
from edge.scan.modbus_buses import Limits
from edge.scan.modbus_wishes import rtu_wish, tcp_endpoints
from edge.scan.survey import Wishes, survey
from simulators.field.camera_feed import CameraFeed
from simulators.field.can_bus import TruckBus
from simulators.field.gnss_receiver import Receiver
from simulators.field.listener import Listener
from simulators.field.modbus_pdu import FaultKind, Unit, float32
from simulators.field.modbus_slave import RtuBus, TcpSlave, with_crc
from simulators.field.serial_device import SerialDevice

ROOT = Path(__file__).parents[2]
MUKI = [sys.executable, str(ROOT / "muki.py")]


async def muki(*arguments: object, **environment: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command."""
    child = await asyncio.create_subprocess_exec(
        *MUKI,
        "edge",
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    try:
        async with asyncio.timeout(90):
            out, err = await child.communicate()
    except BaseException:
        child.kill()
        raise
    assert child.returncode is not None
    return child.returncode, out.decode(), err.decode()


async def look(
    *, seconds: float = 0.5, units: Sequence[int] = range(1, 9), answer: float = 0.3, limit: float = 60, **places: Any
) -> list[Finding]:
    limits = Limits(units, answer, limit)
    return await survey(Wishes(seconds, limits, limits, look_around=False, **places), {}, lambda _: None)


def gas_head() -> Unit:
    unit = Unit()
    unit.input.put(0, 125, 209, 5)
    unit.holding.put(100, 1, 2)
    unit.coils.put(0, 1)
    return unit


async def test_every_kind_is_found_written_checked_and_read(tmp_path: Path) -> None:
    """What a field engineer does in front of a bare computer, with the real command."""
    group, file = "239.74.163.41", tmp_path / "node.yaml"
    count = itertools.count()

    def weather() -> bytes:
        return f"WX,{next(count)},21.5,ok\r\n".encode()

    async with (
        RtuBus({3: gas_head()}, link=tmp_path / "rs485") as bus,
        TcpSlave({1: gas_head()}) as plc,
        SerialDevice(tmp_path / "gnss", Receiver().say, every=0.5),
        SerialDevice(tmp_path / "weather", weather, every=0.2),
        TruckBus(interface="udp_multicast", channel=group),
        CameraFeed() as camera,
    ):
        places = ["--serial", tmp_path / "gnss", "--serial", tmp_path / "weather", "--can", f"udp_multicast:{group}"]
        places += [
            "--modbus-rtu",
            os.path.relpath(bus.link),  # noqa: ASYNC240 - as a person types it
            "--modbus-tcp",
            plc.address,
            "--camera",
            camera.address,
            "--units",
            "1-3",
            "--seconds",
            "1.6",
        ]
        status, out, err = await muki("scan", *places, "--json", "--write", file)
        assert status == 0, out + err
        assert "WRITES read requests (function 3) on" in err
        status, out_check, errors = await muki("check", file)
        assert (status, errors) == (0, ""), errors
        assert "unit-3/input-0" in out_check
        status, table, errors = await muki("run", file, "--once")
    said = json.loads(out)
    assert said["written"] == str(file)
    assert [each["kind"] for each in said["findings"] if each["asked"]] == ["serial", "serial", "can", "modbus", "modbus", "camera"]
    assert status == 0, table + errors
    rows = {line.split()[0]: line.split()[1:] for line in table.splitlines()[1:]}
    assert {row[2] for row in rows.values()} == {"good"}
    ends = {name.partition("/")[2]: row for name, row in rows.items()}
    assert ends["unit-3/input-0"][:2] == ["125", "1"]
    assert ends["unit-1/holding-101"][:2] == ["2", "1"]
    assert ends["line-1/column-3"][0] == "21.5"
    assert float(ends["gnss/latitude"][0]) == pytest.approx(-22.29, abs=0.05)
    assert ends["address-0/engine_speed"][1] == "rpm"
    assert float(ends["image/brightness"][0]) > 20
    text = file.read_text("utf-8")
    assert text.count("FILL IN") >= 9
    assert "heard: WX," in text
    assert [entry["type"] for entry in yaml.safe_load(text)["sources"]] == ["nmea", "serial-line", "can", "modbus", "modbus", "camera"]


# --- serial ports ---


async def test_the_line_speed_is_found_by_what_makes_sense(tmp_path: Path) -> None:
    def line() -> bytes:
        descriptor = os.open(device.name, os.O_RDWR | os.O_NOCTTY)
        try:
            right = termios.tcgetattr(descriptor)[4] == termios.B19200
        finally:
            os.close(descriptor)
        return b"FLOW 12.5 m3/h\r\n" if right else os.urandom(60)

    async with SerialDevice(tmp_path / "port", line, every=0.02) as device:
        (found,) = await look(serial=[str(tmp_path / "port")])
    assert found.source is not None
    assert found.source["serial"] == {"port": str(tmp_path / "port"), "baudrate": 19200}
    assert found.data["listened_at"] == [9600, 4800, 115200, 19200]


async def test_a_silent_port_is_listened_to_and_nothing_is_written_on_it() -> None:
    master, slave = os.openpty()
    try:
        tty.setraw(slave)
        os.set_blocking(master, False)
        (found,) = await look(serial=[os.ttyname(slave)])
        assert found.found
        assert "speaks only when asked: muki edge scan --modbus-rtu" in found.says[-1]
        with pytest.raises(BlockingIOError):
            os.read(master, 1)
    finally:
        os.close(master)
        os.close(slave)


async def test_the_bus_of_another_master_is_told_and_never_written_on(tmp_path: Path) -> None:
    unit = gas_head()
    async with RtuBus({3: unit}, link=tmp_path / "bus"), SerialDevice(tmp_path / "tap", lambda: talk, every=0.02) as tap:
        talk = with_crc(bytes.fromhex("03 04 0000 0002")) + with_crc(bytes.fromhex("03 04 04 41C8 0000"))
        (heard,) = await look(serial=[str(tap.link)])
        assert "a master of another maker talks with unit 3" in heard.says[-1]
        assert heard.source is None
        (asked,) = await look(rtu=[rtu_wish(str(tap.link))])
        assert not asked.found
        assert "two masters disturb each other" in str(asked.trouble)
        assert tap._pair is not None
        with pytest.raises(BlockingIOError):
            os.read(tap._pair[0], 1)
    assert unit.requests == 0


@pytest.mark.parametrize("way", ["serial", "rtu"])
async def test_a_port_that_cannot_be_opened_says_why(tmp_path: Path, way: str) -> None:
    (tmp_path / "file").write_text("")
    ports = [str(tmp_path / "absent"), str(tmp_path / "file")]
    absent, file = await (look(serial=ports) if way == "serial" else look(rtu=[rtu_wish(port) for port in ports]))
    assert "there is no such serial port; there are:" in str(absent.trouble)
    assert "is no serial port but a file" in str(file.trouble)


async def test_a_port_that_an_agent_reads_is_left_to_it(tmp_path: Path) -> None:
    """A real agent holds the line; its unit sees no request of the scan."""
    text = f"""
site: antares
node: gas-1
broker: {{host: 127.0.0.1, port: 9}}
sources:
  - {{name: weather, type: serial-line, serial: {{port: {tmp_path / "port"}}}, lines: [{{points: {{w/t: {{column: 1, unit: degC}}}}}}]}}
"""
    (tmp_path / "node.yaml").write_text(text)
    async with SerialDevice(tmp_path / "port", lambda: b"21.5\r\n"):
        agent = await asyncio.create_subprocess_exec(*MUKI, "edge", "run", str(tmp_path / "node.yaml"), stderr=asyncio.subprocess.DEVNULL)
        try:
            async with asyncio.timeout(30):
                while not await asyncio.to_thread(holders, tmp_path / "port"):  # noqa: ASYNC110 - of another process
                    await asyncio.sleep(0.1)
            (found,) = await look(serial=[str(tmp_path / "port")])
            (asked,) = await look(rtu=[rtu_wish(str(tmp_path / "port"))])
        finally:
            agent.kill()
            await agent.wait()
    assert found.trouble == asked.trouble == f"in use by a Muki agent that runs (process {agent.pid}): not touched; stop it, and scan again"


# --- Modbus ---


async def test_an_exception_proves_a_unit_and_a_gateways_own_does_not() -> None:
    refuses, gas = Unit(), gas_head()
    async with TcpSlave({2: refuses, 5: gas}) as slave:
        (found,) = await look(tcp=tcp_endpoints(slave.address))
    assert [unit["unit"] for unit in found.data["units"]] == [2, 5]
    blocks = [(each["table"], each["address"], each["size"]) for each in found.data["units"][1]["blocks"]]
    assert blocks == [("input", 0, 3), ("holding", 100, 2), ("coil", 0, 1)]
    assert found.source is not None
    assert list(found.source["units"]) == [5], "a unit without a register that answers cannot be read"
    assert found.data["requests"] < 200


async def test_registers_that_look_like_floats_are_remarked() -> None:
    unit = gas_head()
    unit.input.put(1000, *float32(418.6), *float32(0), *float32(-61.25))
    async with TcpSlave({1: unit}) as slave:
        (found,) = await look(tcp=tcp_endpoints(slave.address), units=[1])
    remarks = [each for each in found.fill_in if "float32" in each]
    assert remarks == ["unit 1: input 1000 to 1005 look like float32, word_order big, two registers each: 418.6, 0, -61.25"]


async def test_the_maker_is_told_where_the_unit_tells(tmp_path: Path) -> None:
    class Told(Unit):
        def answer(self, request: bytes, *, spoiled: bool = False) -> bytes:
            if request[:2] == b"\x2b\x0e":  # Modbus Application Protocol V1.1b3, section 6.21
                objects = b"".join(bytes([number, len(text)]) + text for number, text in enumerate([b"Acme", b"GX-4", b"2.1"]))
                return b"\x2b\x0e\x01\x01\x00\x00\x03" + objects
            return super().answer(request, spoiled=spoiled)

    told = Told()
    told.holding.put(0, 7)
    async with TcpSlave({1: told}) as slave, RtuBus({4: told}, link=tmp_path / "bus") as bus:
        over_tcp, line = await look(tcp=tcp_endpoints(slave.address), rtu=[rtu_wish(str(bus.link))])
    for found in (over_tcp, line):
        assert found.data["units"][0]["identity"] == ("Acme", "GX-4", "2.1")


async def test_a_late_answer_is_not_taken_for_that_of_the_next_unit(tmp_path: Path) -> None:
    slow = gas_head()
    slow.inject(FaultKind.SLOW, seconds=0.15)
    async with RtuBus({2: slow, 6: gas_head()}, link=tmp_path / "bus") as bus:
        (found,) = await look(rtu=[rtu_wish(str(bus.link))], answer=0.1)
    assert {unit["unit"] for unit in found.data["units"]} <= {2, 6}
    assert 6 in {unit["unit"] for unit in found.data["units"]}


@pytest.mark.parametrize("fault", [FaultKind.GARBAGE, FaultKind.HALF, FaultKind.WRONG_CHECK])
async def test_what_is_no_answer_proves_no_unit(tmp_path: Path, fault: FaultKind) -> None:
    broken = gas_head()
    broken.inject(fault)
    async with RtuBus({1: broken, 3: gas_head()}, link=tmp_path / "bus") as bus:
        (found,) = await look(rtu=[rtu_wish(str(bus.link), (9600,), ("N",))], units=[1, 3], answer=0.1)
    assert [unit["unit"] for unit in found.data["units"]] == [3]


async def test_a_device_that_answers_to_every_number_is_one_device() -> None:
    class EveryNumber(dict[int, Unit]):
        def get(self, key: int, default: Any = None) -> Any:
            del default, key
            return unit

    unit = gas_head()
    async with TcpSlave(EveryNumber()) as slave:
        (found,) = await look(tcp=tcp_endpoints(slave.address))
    assert [each["unit"] for each in found.data["units"]] == [1]
    assert "does not look at the number" in found.says[-1]


async def test_a_silent_line_ends_in_time_and_says_what_was_tried(tmp_path: Path) -> None:
    dead = Unit()
    async with RtuBus({200: dead}, link=tmp_path / "bus") as bus:
        (whole,) = await look(rtu=[rtu_wish(str(bus.link))], units=[1, 2], answer=0.05)
        (cut,) = await look(rtu=[rtu_wish(str(bus.link))], units=range(1, 248), answer=0.2, limit=1)
    assert whole.trouble is not None
    assert whole.trouble.startswith("no unit of 1-2 answered at 9600 8N1, 9600 8E1, 19200 8N1, 19200 8E1; ")
    assert "check power" in whole.trouble
    assert "the time was over before unit" in str(cut.trouble)
    assert dead.requests == 0


async def test_hosts_that_do_not_answer_are_told_together() -> None:
    async with TcpSlave({1: gas_head()}) as slave:
        port = slave.address.rpartition(":")[2]
        found = await look(tcp=tcp_endpoints(f"127.0.0.0/29:{port}"))
    assert [each.found for each in found] == [True, False]
    assert found[1].where == f"5 other hosts, 127.0.0.2:{port} to 127.0.0.6:{port}"
    assert "refused" in str(found[1].trouble)


async def test_a_port_that_speaks_something_else_is_no_modbus() -> None:
    async def banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 welcome\r\n")
        await reader.read(300)

    async with Listener(banner) as listener:
        (found,) = await look(tcp=tcp_endpoints(listener.address), units=[1, 2], answer=0.3)
    assert not found.found
    assert found.trouble is not None


# --- CAN ---


async def test_a_bus_without_a_word_and_one_of_another_protocol() -> None:
    quiet, foreign = secrets.token_hex(8), secrets.token_hex(8)
    with can.Bus(foreign, "virtual", ignore_config=True) as bus:
        task = asyncio.create_task(_repeat(bus, can.Message(arbitration_id=0x123, data=b"\x01\x02", is_extended_id=False)))
        found = await look(can=[Bus("virtual", quiet), Bus("virtual", foreign)])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert "is the ignition on" in found[0].says[-1]
    assert found[1].source is None
    assert "not J1939" in found[1].says[0]
    assert found[1].says[1].startswith("id 123 ")


async def _repeat(bus: can.BusABC, message: can.Message) -> None:
    while True:
        bus.send(message)
        await asyncio.sleep(0.02)


async def test_an_interface_that_is_not_there_says_how_to_bring_it_up() -> None:
    absent, unknown, slcan = await look(can=[Bus.parse("can7"), Bus.parse("udpmulticast:x"), Bus.parse("slcan:/dev/absent")])
    assert "ip link set can7 up type can bitrate 250000 listen-only on" in str(absent.trouble)
    assert "did you mean udp_multicast?" in str(unknown.trouble)
    assert slcan.trouble is not None


# --- cameras ---


@contextlib.asynccontextmanager
async def answering(*lines: str, where: str = "/stream1") -> AsyncIterator[tuple[Listener, list[str]]]:
    """A server that gives the head of an answer at one address, and 404 elsewhere; and the requests that it got."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(request)
        protocol = "RTSP/1.0" if "RTSP/1.0" in request else "HTTP/1.1"
        head = [f"{protocol} {lines[0]}", *lines[1:]] if where in request.split(" ", 2)[1] else [f"{protocol} 404 Not Found"]
        writer.write(("\r\n".join(head) + "\r\n\r\n").encode())
        await writer.drain()

    async with Listener(serve) as listener:
        yield listener, asked


async def test_a_stream_of_rtsp_is_found_at_one_of_the_usual_addresses() -> None:
    async with answering("200 OK", "Content-Type: application/sdp") as (server, asked):
        (found,) = await look(cameras=[server.address])
    assert found.source is not None
    assert found.source["url"] == f"rtsp://{server.address}/stream1"
    assert found.processing is not None
    assert found.processing["input"] == found.source["camera"]
    assert len(asked) <= 16


async def test_a_locked_camera_is_asked_once_and_no_password_is_guessed() -> None:
    async with answering("401 Unauthorized", "WWW-Authenticate: Digest", where="/") as (server, asked):
        (found,) = await look(cameras=[server.address])
    assert "'rtsp://USER:${CAMERA_PASSWORD}@" in str(found.trouble)
    assert len(asked) == 2, "once for RTSP, once for HTTP"
    assert not any("Authorization" in request for request in asked)


async def test_a_password_of_the_environment_goes_to_the_camera_and_nowhere_else(tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    async with answering("200 OK", "Content-Type: application/sdp") as (server, asked):
        url = f"rtsp://op:${{CAM_PASSWORD}}@{server.address}/stream1"
        status, out, err = await muki("scan", "--only-asked", "--camera", url, "--write", file, CAM_PASSWORD="s3cret")
    assert status == 0, out + err
    assert "Authorization: Basic b3A6czNjcmV0" in asked[0]
    assert "s3cret" not in out + err + file.read_text("utf-8")
    assert f"url: '{url}'" in file.read_text("utf-8") or f"url: {url}" in file.read_text("utf-8")


async def test_hosts_without_a_camera_say_what_was_tried() -> None:
    async with Listener(lambda _reader, writer: _close(writer)) as nothing:
        (mute,) = await look(cameras=[nothing.address])
    (gone,) = await look(cameras=[nothing.address])
    assert "the answer makes no sense" in str(mute.trouble)
    assert "no connection" in str(gone.trouble)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 ftp\r\n\r\n")
    await writer.drain()


# --- the command ---


async def test_without_options_it_looks_around_and_asks_nobody() -> None:
    status, out, err = await muki("scan", "--seconds", "0.3", "--json")
    assert status == 0, out + err
    said = json.loads(out)
    assert {each["kind"] for each in said["findings"]} == {"serial", "can", "camera"}
    assert all(each["found"] or each["trouble"] for each in said["findings"])
    assert "Modbus" not in err


async def test_a_file_that_exists_is_kept_unless_forced(tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    file.write_text("mine: 1\n")
    async with TcpSlave({1: gas_head()}) as slave:
        ask = ["scan", "--only-asked", "--modbus-tcp", slave.address, "--units", "1", "--write", file]
        status, _, err = await muki(*ask)
        assert status == 2
        assert "is left as it is; choose another name, or --force" in err
        assert file.read_text() == "mine: 1\n"
        status, out, err = await muki(*ask, "--force")
    assert status == 0, out + err
    assert "sources:" in file.read_text()


async def test_nothing_found_is_status_1_and_writes_no_file(tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    status, out, err = await muki("scan", "--only-asked", "--modbus-tcp", "127.0.0.1:9", "--write", file)
    assert status == 1
    assert "127.0.0.1:9" in out
    assert f"{file}: not written: nothing was found that a source can read" in err
    assert not file.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--only-asked"], "name a place"),
        (["--baud", "9600"], "belong to --modbus-rtu"),
        (["--modbus-rtu", "/dev/x", "--units", "250"], "numbered 1 to 247"),
        (["--write", "absent/node.yaml"], "there is no folder absent"),
        (["--camera", "rtsp://a:secret@10.0.0.5/1"], "in single quotes"),
    ],
)
async def test_a_wrong_command_is_told_before_anything_is_opened(arguments: list[str], says: str) -> None:
    status, out, err = await muki("scan", *arguments)
    assert (status, out) == (2, "")
    assert says in " ".join(err.split())
    assert "secret" not in err
