"""What a scan concludes from bytes, answers and options, without a device: pure decisions."""

import struct
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from edge.config import load
from edge.scan.cameras import Answer, capture_card, check_wish, local_cameras, understood
from edge.scan.can_buses import Bus, Traffic, drafted, interfaces, link_facts, messages, nothing_here
from edge.scan.draft import draft
from edge.scan.found import Finding, name_for
from edge.scan.holders import console
from edge.scan.line_guess import guess, line_kinds
from edge.scan.modbus_traffic import crc, overheard
from edge.scan.modbus_wishes import MAX_HOSTS, rtu_wish, tcp_endpoints, units
from edge.sources.can_points import Frame
from edge.sources.line_fields import LineDecoder, LineKind
from simulators.field.gnss_receiver import Receiver, sentence
from simulators.field.modbus_slave import with_crc

MASTER = [with_crc(bytes.fromhex(text)) for text in ("03 04 0000 0002", "03 04 04 41C8 0000", "07 03 0064 0001", "07 83 02")]


def test_a_receiver_is_told_by_its_checksums_and_not_by_its_looks() -> None:
    said = Receiver().say()
    heard = guess(said)
    assert (heard.nature, heard.sentences) == ("nmea", ("GGA", "GSA", "GSV", "RMC", "VTG", "ZDA"))
    assert guess(said.replace(b"*", b"*F")).nature == "text"


def test_a_weather_station_with_nmea_checksums_is_no_receiver() -> None:
    heard = guess(b"0.0*11\r\n" + sentence("WIMWV,214.8,R,0.1,M,A") + sentence("WIMWV,215.0,R,0.2,M,A"))
    assert (heard.nature, heard.checksums, heard.sentences) == ("text", True, ("MWV",))


@pytest.mark.parametrize(
    ("data", "nature"), [(b"", "silence"), (b"\x00\xff", "silence"), (bytes(range(256)) * 3, "binary"), (b"a" * 300, "binary")]
)
def test_what_is_no_line(data: bytes, nature: str) -> None:
    assert guess(data).nature == nature


@pytest.mark.parametrize(("parity", "odd"), [("E", 0), ("O", 1)])
def test_seven_bits_with_parity_are_told(parity: str, odd: int) -> None:
    plain = b"ROOM 21.5 C\r\nROOM 21.6 C\r\nROOM 21.7 C\r\n"
    wire = bytes(byte | 0x80 if byte.bit_count() % 2 != odd else byte for byte in plain)
    heard = guess(wire)
    assert (heard.nature, heard.parity, heard.lines) == ("text", parity, ("ROOM 21.6 C", "ROOM 21.7 C"))


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("WX,12,-20.5,ok", [12, -20.5]),
        ("CO=12.3ppm  T=21.5", [12.3, 21.5]),
        ("1;2.5;;x", [1, 2.5]),
        ("ST  GS   12.50 kg", [12.5]),
        ("a.b*c(+1)", [1]),
    ],
)
def test_the_drafted_kind_of_line_reads_the_line(line: str, values: list[float]) -> None:
    kinds = [LineKind.model_validate(kind) for kind in line_kinds("scale", [line, line])]
    assert len(kinds) == 1
    readings = LineDecoder(kinds, "ascii").decode(line.encode(), 0)
    assert readings is not None
    assert [(reading.value, str(reading.quality)) for reading in readings] == [(value, "good") for value in values]


def test_lines_without_a_number_draft_nothing() -> None:
    assert line_kinds("x", ["READY", "hello world"]) == []


@given(st.binary(max_size=600))
def test_any_bytes_give_a_guess_whose_draft_is_correct(data: bytes) -> None:
    for kind in line_kinds("serial-x", guess(data).lines):
        LineKind.model_validate(kind)


@given(st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40), min_size=2, max_size=8))
def test_any_text_gives_kinds_that_read_what_they_were_made_of(lines: list[str]) -> None:
    heard = guess("\r\n".join(["half", *lines, ""]).encode())
    kinds = [LineKind.model_validate(kind) for kind in line_kinds("serial-x", heard.lines)]
    read = [LineDecoder([kind], "ascii").decode(line.strip().encode(), 0) for kind in kinds for line in heard.lines if line.strip()]
    assert bool(kinds) <= any(readings for readings in read)


def test_the_talk_of_a_master_is_overheard_from_any_byte_on() -> None:
    assert guess(b"\x55" + b"".join(MASTER)).units == (3, 7)
    assert overheard(b"".join(MASTER)[3:]) == (3, (3, 7))
    assert overheard(MASTER[0] + b"\0" * 20) is None, "one frame may be chance"
    assert overheard(b"".join(frame[:-1] + bytes([frame[-1] ^ 1]) for frame in MASTER)) is None


@given(st.binary(max_size=400))
def test_garbage_is_no_modbus_and_ends(data: bytes) -> None:
    found = overheard(data)
    assert found is None or found.frames * 5 <= len(data)


def test_the_checksum_is_that_of_the_specification() -> None:
    assert crc(bytes.fromhex("02 07")) == 0x1241  # Modbus over Serial Line V1.02, appendix B
    assert crc(with_crc(b"\x02\x07")) == 0


@pytest.mark.parametrize(
    ("text", "count", "first"),
    [
        ("plc", 1, "plc"),
        ("plc:503", 1, "plc:503"),
        ("gas-heads-3", 1, "gas-heads-3"),
        ("192.168.1.0/29", 6, "192.168.1.1"),
        ("192.168.1.0/29:503", 6, "192.168.1.1:503"),
        ("192.168.1.10-12:503", 3, "192.168.1.10:503"),
        ("[fd00::10]:502", 1, "[fd00::10]:502"),
    ],
)
def test_hosts(text: str, count: int, first: str) -> None:
    found = tcp_endpoints(text)
    assert (len(found), str(found[0])) == (count, first)


@pytest.mark.parametrize(
    ("parse", "text", "says"),
    [
        (tcp_endpoints, "10.0.0.0/8", f"{MAX_HOSTS} at most"),
        (tcp_endpoints, "10.0.0.0/33", "write a network as"),
        (tcp_endpoints, "192.168.1.20-10", "write the last number as 20 to 255"),
        (tcp_endpoints, "plc:0", "write host:port"),
        (units, "0-3", "1 to 247 on a serial line"),
        (units, "9-3", "the lower one first"),
        (units, "a", "write units as"),
        (rtu_wish, "/dev/ttyUSB0:7", "300 to 4000000"),
        (rtu_wish, "", "write PORT"),
        (Bus.parse, "can0/1", "write the name of a network interface"),
        (Bus.parse, "slcan:/dev/ttyACM0@9", "write INTERFACE:CHANNEL@BITRATE"),
        (Bus.parse, "slcan:", "write INTERFACE:CHANNEL@BITRATE"),
    ],
)
def test_a_wrong_option_is_told_what_would_be_right(parse: Any, text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(text)


def test_settings_of_a_line_are_tried_in_a_bounded_order() -> None:
    assert list(map(str, rtu_wish("/dev/ttyUSB0").tries)) == ["9600 8N1", "9600 8E1", "19200 8N1", "19200 8E1"]
    assert list(map(str, rtu_wish("/dev/ttyUSB0:19200", (), ("E",)).tries)) == ["19200 8E1"]
    assert units("1,3,17-19,3") == [1, 3, 17, 18, 19]


def test_an_slcan_adapter_is_told_not_to_acknowledge() -> None:
    assert Bus.parse("slcan:/dev/ttyACM0@250000").settings() == {
        "type": "can", "interface": "slcan", "channel": "/dev/ttyACM0", "options": {"listen_only": True}, "bitrate": 250_000,
    }  # fmt: skip


def traffic(*frames: tuple[int, bool, str]) -> Traffic:
    heard = Traffic()
    for ident, extended, data in frames:
        heard.accept(Frame(ident, extended, bytes.fromhex(data), 0))
    return heard


def test_only_parameters_with_a_value_are_drafted_each_for_its_controller() -> None:
    nothing, speed, tire = "ff" * 8, "ffffff4028ffffff", "0064ffffffffffff"
    heard = traffic((0x0CF00400, True, speed), (0x0CF00403, True, nothing), (0x18FEF433, True, tire), (0x123, False, "01"))
    assert drafted("can-can0", heard) == {
        "can-can0/address-0/engine_speed": {"spn": 190, "source_address": 0},
        "can-can0/address-51/tire_pressure/0": {"spn": 241, "location": 0, "source_address": 51},
    }
    assert [(each["id"], each.get("pgn")) for each in messages(heard, 1.0)] == [
        ("0CF00400", 61444), ("0CF00403", 61444), ("18FEF433", 65268), ("123", None),
    ]  # fmt: skip


def test_a_bus_without_known_messages_is_not_called_j1939() -> None:
    assert not traffic((0x123, False, "01"), (0x10000001, True, "00")).j1939


def test_what_ip_tells_of_an_interface() -> None:
    info = {"state": "ERROR-ACTIVE", "ctrlmode": ["LISTEN-ONLY"], "bittiming": {"bitrate": 250000}}
    assert link_facts(info) == {"bitrate": 250_000, "state": "ERROR-ACTIVE", "listen_only": True}
    assert link_facts({}) == {"listen_only": False}


def test_can_interfaces_and_why_there_are_none(tmp_path: Path) -> None:
    for name, kind in (("can0", "280"), ("eth0", "1")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "type").write_text(f"{kind}\n")
    assert interfaces(tmp_path) == ["can0"]
    assert "overlay" in str(nothing_here(tmp_path).trouble)
    assert "modprobe can_raw" in str(nothing_here(tmp_path / "none").trouble)


def capability(card: bytes, capabilities: int, device: int) -> bytes:
    return struct.pack("=16s32s32sIII12x", b"uvcvideo", card, b"usb-1", 0x60600, capabilities, device)


def test_only_what_gives_pictures_is_a_camera(tmp_path: Path) -> None:
    assert capture_card(capability(b"HD Webcam", 0x84A00001, 0x04200001)) == "HD Webcam"
    assert capture_card(capability(b"metadata", 0x84A00001, 0x04A00000)) is None
    assert capture_card(capability(b"bcm2835-codec", 0x84204000, 0x04204000)) is None
    (tmp_path / "video0").write_bytes(b"no device")
    assert local_cameras(tmp_path) == []


@pytest.mark.parametrize(
    ("head", "scheme", "answer"),
    [
        ("HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=x", "http", (True, False)),
        ("HTTP/1.1 200 OK\r\nContent-Type: text/html", "http", (False, False)),
        ("HTTP/1.1 401 Unauthorized", "http", (False, True)),
        ("RTSP/1.0 200 OK\r\nContent-Type: application/sdp", "rtsp", (True, False)),
        ("RTSP/1.0 404 Not Found", "rtsp", (False, False)),
        ("HTTP/1.1 400 Bad Request", "rtsp", (False, False)),
        ("220 ftp", "http", (False, False)),
    ],
)
def test_what_a_camera_answers(head: str, scheme: str, answer: tuple[bool, bool]) -> None:
    found: Answer = understood(head, scheme)
    assert (found.stream, found.locked) == answer


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ("rtsp://a:secret@10.0.0.5/1", "write the password as"),
        ("rtsp://a:${CAM_PASSWORD}@10.0.0.5/1", "has no CAM_PASSWORD"),
        ("ftp://10.0.0.5", "write rtsp://HOST/PATH"),
        ("rtsp:///1", "write rtsp://HOST/PATH"),
        ("10.0.0.5/stream", "a whole rtsp:// or http:// address"),
    ],
)
def test_a_wrong_camera_is_told_what_would_be_right_and_no_password_is_shown(wish: str, says: str) -> None:
    problem = check_wish(wish, {})
    assert problem is not None
    assert says in problem
    assert "secret" not in problem
    assert check_wish("rtsp://a:${CAM_PASSWORD}@10.0.0.5/1", {"CAM_PASSWORD": "x"}) is None


def test_the_kernels_console_is_known(tmp_path: Path) -> None:
    consoles = tmp_path / "consoles"
    consoles.write_text("tty0    -WU (E     )    4:1\nttyAMA0 -W- (EC  p a)  204:64\n")
    assert console(Path("/dev/ttyAMA0"), consoles)
    assert not console(Path("/dev/ttyUSB0"), consoles)
    assert not console(Path("/dev/ttyUSB0"), tmp_path / "none")


@given(st.text(min_size=1, max_size=80))
def test_any_place_gives_a_name_that_may_stand_in_a_topic(place: str) -> None:
    name = name_for("modbus", place)
    assert len(name) <= 32
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_places_too_long_for_a_name_keep_apart() -> None:
    assert name_for("serial", "/dev/ttyUSB0") == "serial-ttyusb0"
    assert name_for("camera", "10.0.0.5/" + "a" * 40 + "1") != name_for("camera", "10.0.0.5/" + "a" * 40 + "2")


@examples(deadline=None, max_examples=40)
@given(st.text(max_size=60), st.text(max_size=60) | st.sampled_from(["true", "1e5", "0x1f", "1-1-1", "2026-01-01", "null", "pi.mine"]))
def test_what_a_device_says_of_itself_never_spoils_the_file(said: str, host: str) -> None:
    source = {"name": "camera-x", "type": "camera", "camera": "camera-x", "url": "/dev/video0"}
    one = Finding(kind="camera", where="/dev/video0", found=True, says=(said,), source=source, fill_in=(f"unit 1: {said}",))
    other = Finding(kind="serial", where=said, found=False, trouble=said)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "node.yaml"
        file.write_text(draft([one, other], file="node.yaml", hostname=host), "utf-8")
        assert [entry.settings.name for entry in load(file, {}).sources] == ["camera-x"]


def test_nothing_found_writes_nothing() -> None:
    with pytest.raises(ValueError, match="nothing was found that a source can read"):
        draft([Finding(kind="can", where="CAN", found=False, trouble="none")], file="x", hostname="pi")
