"""J1939 by vectors computed by hand: bytes of a frame on the left, the value on the right. And the transport protocol, packet by packet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.units import check_unit
from contract.values import GOOD, Quality
from edge.sources.can_j1939 import DM1, SPNS, Spn, TroubleCode, code_of, decode_dm1, decode_spn, identify
from edge.sources.can_transport import MAX_SESSIONS, TP_CONTROL, TP_DATA, LongMessage, Reassembly

# SPN, PGN, payload, value. Worked out with pencil, e.g. 190: bytes 3 and 4 are 68 13 -> 0x1368 = 4968; 4968 / 8 = 621 rpm.
VECTORS = [
    (190, 0xF004, "FF FF FF 68 13 FF FF FF", 621.0),
    (190, 0xF004, "00 00 00 80 3E 00 00 00", 2000.0),
    (110, 0xFEEE, "87 FF FF FF FF FF FF FF", 95.0),
    (110, 0xFEEE, "00 FF FF FF FF FF FF FF", -40.0),
    (175, 0xFEEE, "FF FF 60 2E FF FF FF FF", 98.0),  # 0x2E60 = 11872; / 32 = 371; - 273
    (98, 0xFEEF, "FF FF DC FF FF FF FF FF", 88.0),
    (100, 0xFEEF, "FF 14 FF 64 FF FF FF FF", 400.0),  # byte 1 carries another parameter
    (101, 0xFEEF, "FF FF FF FF 40 7D FF FF", 0.5),  # 0x7D40 = 32064; / 128 = 250.5; - 250
    (111, 0xFEEF, "FF FF FF FF FF FF FF FA", 100.0),
    (183, 0xFEF2, "E8 03 FF FF FF FF FF FF", 50.0),
    (84, 0xFEF1, "FF 80 0C FF FF FF FF FF", 12.5),
    (108, 0xFEF5, "78 FF FF FF FF FF FF FF", 60.0),
    (171, 0xFEF5, "FF FF FF 20 23 FF FF FF", 8.0),  # 0x2320 = 8992; / 32 = 281; - 273
    (102, 0xFEF6, "FF 5A FF FF FF FF FF FF", 180.0),
    (105, 0xFEF6, "FF FF 55 FF FF FF FF FF", 45.0),
    (107, 0xFEF6, "FF FF FF FF 46 FF FF FF", 3.5),
    (173, 0xFEF6, "FF FF FF FF FF 20 5D FF", 472.0),  # 0x5D20 = 23840; / 32 = 745; - 273
    (168, 0xFEF7, "FF FF FF FF 28 02 FF FF", 27.6),
    (247, 0xFEE5, "69 AD 02 00 FF FF FF FF", 8773.25),  # 0x0002AD69 = 175465; / 20
    (250, 0xFEE9, "FF FF FF FF 01 00 10 00", 524288.5),
    (241, 0xFEF4, "00 AD FF FF FF FF FF FF", 692.0),
    (242, 0xFEF4, "12 FF C0 27 FF FF FF FF", 45.0),  # 0x27C0 = 10176; / 32 = 318; - 273
]


@pytest.mark.parametrize(("number", "pgn", "data", "value"), VECTORS)
def test_each_parameter_by_hand(number: int, pgn: int, data: str, value: float) -> None:
    entry = SPNS[number]
    assert entry.pgn == pgn
    assert decode_spn(entry, bytes.fromhex(data)) == (value, GOOD)
    assert entry.range[0] <= value <= entry.range[1]


def test_no_parameter_is_without_a_vector_and_each_says_where_it_comes_from() -> None:
    assert {number for number, *_ in VECTORS} == SPNS.keys()
    for entry in SPNS.values():
        assert entry.source
        assert entry.certainty in ("high", "medium")
        assert entry.verify_against
        assert entry.es != entry.en
        check_unit(entry.unit)


@pytest.mark.parametrize("entry", SPNS.values(), ids=lambda entry: str(entry.number))
@pytest.mark.parametrize(
    ("top", "reason"),
    [(0xFF, "not_available"), (0xFE, "sensor_error"), (0xFD, "reserved_code"), (0xFB, "reserved_code"), (0xFA, "")],
)
def test_codes_are_told_by_the_top_byte_of_any_length(entry: Spn, top: int, reason: str) -> None:
    data = bytearray(8)
    data[entry.at + entry.size - 1] = top
    value, quality = decode_spn(entry, bytes(data))
    assert quality == (Quality.parse(f"bad:{reason}") if reason else GOOD)
    assert (value is None) == bool(reason)


def test_a_low_byte_of_ff_is_a_number_and_half_a_frame_is_none() -> None:
    assert decode_spn(SPNS[190], bytes.fromhex("FFFFFF FF 00 FFFFFF")) == (31.875, GOOD)
    value, quality = decode_spn(SPNS[190], bytes.fromhex("FFFFFF68"))
    assert (value, str(quality)) == (None, "bad:malformed_frame")


def test_ranges_are_those_of_the_standard() -> None:
    assert SPNS[190].range == (0, 8031.875)
    assert SPNS[110].range == (-40, 210)
    assert SPNS[175].range == (-273, 1734.96875)  # the standard writes 1735, rounded
    assert SPNS[247].range == (0, 210554060.75)


@pytest.mark.parametrize(
    ("raw", "bits", "reason"), [(3, 2, "not_available"), (2, 2, "sensor_error"), (15, 4, "not_available"), (14, 4, "sensor_error")]
)
def test_codes_of_states(raw: int, bits: int, reason: str) -> None:
    assert code_of(raw, bits).reason == reason
    assert code_of(raw - 2, bits).good
    assert code_of(7, 3).good


def test_identifiers() -> None:
    assert identify(0x0CF00400) == (3, 61444, 0, 255)
    assert identify(0x18FECA21) == (6, DM1, 0x21, 255)
    assert identify(0x1CEC27F9) == (7, TP_CONTROL, 0xF9, 0x27)
    assert identify(0x1CEBFF00) == (7, TP_DATA, 0, 255)


def test_trouble_codes_and_lamps() -> None:
    # SPN 110 FMI 0 three times, SPN 520192 (0x7F000) FMI 31 once, SPN 100 FMI 1 in an old conversion method, 126 times.
    active = decode_dm1(bytes.fromhex("14 FF  6E 00 00 03  00 F0 FF 01  64 00 01 FE"))
    assert active is not None
    assert active.codes == (TroubleCode(110, 0, 3, False), TroubleCode(0x7F000, 31, 1, False), TroubleCode(100, 1, 126, True))
    assert [active.lamp(name)[0] for name in ("protect", "amber_warning", "red_stop", "malfunction")] == [0, 1, 1, 0]


@pytest.mark.parametrize("data", ["00 FF 00 00 00 00 FF FF", "00 FF FF FF FF FF FF FF"])
def test_no_code_in_both_spellings(data: str) -> None:
    active = decode_dm1(bytes.fromhex(data))
    assert active is not None
    assert active.codes == ()


def test_lamps_that_do_not_say() -> None:
    active = decode_dm1(bytes.fromhex("E0 FF 00 00 00 00 FF FF"))
    assert active is not None
    assert [str(active.lamp(name)[1]) for name in ("malfunction", "red_stop", "amber_warning")] == [
        "bad:not_available", "bad:sensor_error", "good",
    ]  # fmt: skip
    assert decode_dm1(b"\x00\xff\x6e\x00") is None


MS = 1_000_000
DTCS = bytes.fromhex("04FF 6E000003 64000101 BE000207")  # 14 bytes: two packets


def bam(data: bytes = DTCS, pgn: int = DM1) -> list[bytes]:
    """Announcement and packets, written down from SAE J1939-21."""
    count = -(-len(data) // 7)
    head = bytes([32, len(data) & 255, len(data) >> 8, count, 255, pgn & 255, pgn >> 8 & 255, pgn >> 16])
    return [head, *(bytes([i + 1]) + data[7 * i : 7 * i + 7].ljust(7, b"\xff") for i in range(count))]


def play(
    reassembly: Reassembly, frames: list[bytes], *, source: int = 0, destination: int = 255, at: int = 0, gap: int = 50
) -> list[LongMessage]:
    done = []
    for index, data in enumerate(frames):
        now = (at + index * gap) * MS
        if data[0] in (16, 32) and index == 0:
            reassembly.control(source, destination, data, now)
        elif message := reassembly.data(source, destination, data, now):
            done.append(message)
    return done


def test_broadcast_by_hand() -> None:
    frames = [bytes.fromhex(text) for text in ("20 0E 00 02 FF CA FE 00", "01 04 FF 6E 00 00 03 64", "02 00 01 01 BE 00 02 07")]
    assert frames == bam()
    assert play(Reassembly(), frames) == [LongMessage(DM1, 0, DTCS)]


@given(st.binary(min_size=9, max_size=1785), st.integers(0, 253))
def test_any_length_comes_out_as_it_went_in(data: bytes, source: int) -> None:
    assert play(Reassembly(), bam(data), source=source) == [LongMessage(DM1, source, data)]


def test_interleaved_senders() -> None:
    reassembly = Reassembly()
    engine, brakes = bam(), bam(bytes(range(30)), 65259)
    done = []
    for index in range(6):
        for source, frames in ((0, engine), (11, brakes)):
            if index == 0:
                reassembly.control(source, 255, frames[0], 0)
            elif index < len(frames) and (message := reassembly.data(source, 255, frames[index], index * 60 * MS)):
                done.append(message)
    assert done == [LongMessage(DM1, 0, DTCS), LongMessage(65259, 11, bytes(range(30)))]
    assert (reassembly.finished, reassembly.lost, len(reassembly)) == (2, 0, 0)


@pytest.mark.parametrize(
    ("spoil", "gap"),
    [
        (lambda frames: [frames[0], frames[2]], 50),  # the first packet is missing
        (lambda frames: [frames[0], frames[1], frames[1], frames[2]], 50),  # one comes twice
        (lambda frames: [frames[0], frames[2], frames[1]], 50),  # out of turn
        (lambda frames: frames, 800),  # longer than T1
    ],
)
def test_a_broadcast_with_a_gap_is_lost_and_the_next_is_not(spoil: object, gap: int) -> None:
    assert callable(spoil)
    reassembly = Reassembly()
    assert play(reassembly, spoil(bam()), gap=gap) == []
    assert reassembly.lost == 1
    assert play(reassembly, bam(), at=5000) == [LongMessage(DM1, 0, DTCS)]


def test_an_unfinished_message_expires_and_a_new_announcement_replaces_it() -> None:
    reassembly = Reassembly()
    reassembly.control(0, 255, bam()[0], 0)
    reassembly.expire(750 * MS)
    assert len(reassembly) == 1
    reassembly.expire(751 * MS)
    assert (len(reassembly), reassembly.lost) == (0, 1)
    reassembly.control(0, 255, bam(bytes(60))[0], 1000 * MS)
    assert play(reassembly, bam(), at=1010) == [LongMessage(DM1, 0, DTCS)]
    assert reassembly.lost == 2


def test_between_two_controllers_a_missed_packet_is_asked_for_again() -> None:
    """RTS from 0 to 0xF9, CTS, packets 1 and 3, CTS for 2, packet 2, end. Another sender's broadcast runs in between."""
    data = bytes(range(20))
    tail = bytes([0xCA, 0xFE, 0])
    reassembly = Reassembly()
    reassembly.control(0, 0xF9, bytes([16, 20, 0, 3, 255]) + tail, 0)
    reassembly.control(0xF9, 0, bytes([17, 3, 1, 255, 255]) + tail, 100 * MS)
    packets = [bytes([i + 1]) + data[7 * i : 7 * i + 7].ljust(7, b"\xff") for i in range(3)]
    assert reassembly.data(0, 0xF9, packets[0], 200 * MS) is None
    assert play(reassembly, bam(), source=3, at=210) == [LongMessage(DM1, 3, DTCS)]
    assert reassembly.data(0, 0xF9, packets[2], 300 * MS) is None
    reassembly.control(0xF9, 0, bytes([17, 0, 255, 255, 255]) + tail, 1400 * MS)  # "wait": the pause is not a loss
    reassembly.control(0xF9, 0, bytes([17, 1, 2, 255, 255]) + tail, 2500 * MS)
    assert reassembly.data(0, 0xF9, packets[1], 2600 * MS) == LongMessage(DM1, 0, data)
    reassembly.control(0xF9, 0, bytes([19, 20, 0, 3, 255]) + tail, 2700 * MS)
    assert (reassembly.finished, reassembly.lost) == (2, 0)


@pytest.mark.parametrize(("source", "destination", "kind"), [(0, 0xF9, 255), (0xF9, 0, 255), (0xF9, 0, 19)])
def test_an_aborted_exchange_is_lost(source: int, destination: int, kind: int) -> None:
    reassembly = Reassembly()
    reassembly.control(0, 0xF9, bytes([16, 20, 0, 3, 255, 0xCA, 0xFE, 0]), 0)
    reassembly.control(source, destination, bytes([kind, 3, 255, 255, 255, 0xCA, 0xFE, 0]), MS)
    assert (len(reassembly), reassembly.lost) == (0, 1)


@pytest.mark.parametrize(
    ("data", "destination"),
    [
        (bytes([32, 14, 0, 3, 255, 0xCA, 0xFE, 0]), 255),  # 14 bytes are two packets
        (bytes([32, 8, 0, 2, 255, 0xCA, 0xFE, 0]), 255),  # fits one frame
        (bytes([32, 255, 255, 255, 255, 0xCA, 0xFE, 0]), 255),  # too long
        (bytes([32, 14, 0, 2, 255, 0xCA, 0xFE, 0]), 7),  # a broadcast to one
        (bytes([16, 14, 0, 2, 255, 0xCA, 0xFE, 0]), 255),  # an exchange with all
        (bytes([32, 14, 0]), 255),
    ],
)
def test_announcements_that_contradict_themselves_are_refused(data: bytes, destination: int) -> None:
    reassembly = Reassembly()
    reassembly.control(0, destination, data, 0)
    assert (len(reassembly), reassembly.refused) == (0, 1)


def test_a_babbling_bus_does_not_fill_the_memory() -> None:
    reassembly = Reassembly()
    for source in range(250):
        reassembly.control(source, 255, bam()[0], source)
    assert len(reassembly) == MAX_SESSIONS
    assert reassembly.lost == 250 - MAX_SESSIONS


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.sampled_from([0, 1, 255]), st.binary(max_size=8)), max_size=60))
def test_garbage_raises_nothing(frames: list[tuple[bool, int, int, bytes]]) -> None:
    reassembly = Reassembly()
    for index, (is_control, source, destination, data) in enumerate(frames):
        if is_control:
            reassembly.control(source, destination, data, index * 10 * MS)
        elif message := reassembly.data(source, destination, data, index * 10 * MS):
            assert 9 <= len(message.data) <= 1785
            decode_dm1(message.data)
    assert len(reassembly) <= 12
