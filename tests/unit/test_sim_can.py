"""The simulated truck: an oracle by itself, so its bytes are checked against bytes written by hand, and its physics against good sense."""

import asyncio
import secrets
import struct

import can
import pytest

from simulators.field.can_bus import DM1, EEC1, ET1, PERIODS, PLACES, TruckBus, broadcast, exchange, payloads, trouble_codes
from simulators.plant.haul_truck import CYCLE, HaulTruck


def test_frames_by_hand() -> None:
    truck = HaulTruck()
    truck.rpm, truck.coolant, truck.oil, truck.oil_pressure = 621.0, 95.0, 98.0, 400.0
    sent = payloads(truck)
    assert sent[EEC1] == bytes.fromhex("FFFFFF 6813 FFFFFF")
    assert sent[ET1] == bytes.fromhex("87FF602EFFFFFFFF")
    assert sent[0x18FEEF00] == bytes.fromhex("FFFF DC 64 407D FF E1")
    assert sent.keys() == PERIODS.keys()
    assert {len(data) for data in sent.values()} == {8}


def test_trouble_codes_by_hand() -> None:
    assert trouble_codes([], amber=False) == bytes.fromhex("00FF00000000FFFF")
    assert trouble_codes([(110, 0, 3)], amber=True) == bytes.fromhex("04FF6E000003FFFF")
    codes = trouble_codes([(110, 0, 3), (100, 1, 1), (0x7F000, 31, 7)], red=True)
    assert codes == bytes.fromhex("10FF 6E000003 64000101 00F0FF07")
    frames = broadcast(65226, 0, codes)
    assert [(each.arbitration_id, bytes(each.data).hex()) for each in frames] == [
        (0x1CECFF00, "200e0002ffcafe00"), (0x1CEBFF00, "0110ff6e00000364"), (0x1CEBFF00, "0200010100f0ff07"),
    ]  # fmt: skip


def test_an_exchange_has_both_sides() -> None:
    frames = exchange(65226, 0, 0xF9, bytes(14), again=2)
    assert [f"{each.arbitration_id:08X} {each.data[0]}" for each in frames] == [
        "1CECF900 16", "1CEC00F9 17", "1CEBF900 1", "1CEBF900 2", "1CEC00F9 17", "1CEBF900 2", "1CEC00F9 19",
    ]  # fmt: skip


def test_a_haul_cycle() -> None:
    truck = HaulTruck()
    seen: dict[str, tuple[float, float, float, float]] = {}
    fuel, hours = truck.fuel_used, truck.hours
    for _ in range(int(sum(phase.seconds for phase in CYCLE))):
        truck.step(1.0)
        seen[truck.phase.name] = (truck.rpm, truck.speed, truck.fuel_rate, truck.oil_pressure)
    assert seen["uphill"][0] == pytest.approx(1850, abs=30)
    assert seen["uphill"][1] == pytest.approx(12, abs=0.5)
    assert seen["uphill"][2] > 5 * seen["downhill"][2]
    assert seen["uphill"][3] > seen["loading"][3] > 100
    assert truck.hours - hours == pytest.approx(1240 / 3600)
    assert 30 < truck.fuel_used - fuel < 150  # litres in 20 minutes
    assert 80 < truck.coolant < 100


def test_a_blocked_radiator_runs_hot() -> None:
    truck = HaulTruck()
    truck.blocked_radiator = True
    for _ in range(600):
        truck.step(1.0)
    assert truck.coolant > 108


async def test_it_broadcasts_at_its_pace_and_can_be_switched_off() -> None:
    channel = secrets.token_hex(8)
    with can.Bus(channel, "virtual", ignore_config=True) as ear:
        async with TruckBus(channel=channel) as truck:
            truck.codes = [(110, 0, 3), (100, 1, 1), (190, 2, 7)]
            truck.blank = {190: "not_available", 100: "error"}
            heard: dict[int, bytes] = {}
            async with asyncio.timeout(10):
                while not {EEC1, ET1, 0x18FEEF00, 0x1CECFF00} <= heard.keys():
                    while (message := ear.recv(0)) is not None:
                        assert message.is_extended_id
                        heard[message.arbitration_id] = bytes(message.data)
                    await asyncio.sleep(0.02)
            assert heard[EEC1][3:5] == b"\xff\xff"
            assert heard[0x18FEEF00][3] == 0xFE
            assert struct.unpack("<BHB", heard[0x1CECFF00][:4]) == (32, 14, 2)
            truck.silent = True
            while ear.recv(0) is not None:
                pass
            await asyncio.sleep(0.15)
            assert ear.recv(0) is None
    assert DM1 not in heard  # three codes do not fit one frame


@pytest.mark.parametrize("spn", PLACES)
async def test_codes_on_request_stand_where_the_parameter_stands(spn: int) -> None:
    truck = TruckBus()
    message, at, size = PLACES[spn]
    plain = truck.bytes_of(message)
    truck.blank = {spn: "error"}
    spoiled = truck.bytes_of(message)
    assert [index for index in range(8) if plain[index] != spoiled[index]][-1] == at + size - 1
    assert spoiled[at + size - 1] == 0xFE
