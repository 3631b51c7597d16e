"""The CAN bus of a haul truck: an engine controller that broadcasts J1939 with python-can, and its trouble codes.

Written from the table of SAE J1939-71 as public decoders give it, byte by byte, and independent of whoever reads it. Interfaces: `virtual`
(one process), `udp_multicast` (processes of one network; needs msgpack), `socketcan` on vcan. By hand:

    python -m simulators.field.can_bus --interface udp_multicast --channel 239.74.163.2
"""

import argparse
import asyncio
import contextlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import can

from simulators.plant.haul_truck import HaulTruck

NO_DATA, BROKEN = "not_available", "error"
TICK = 0.02  # s
PACKET_GAP = 0.05  # s between packets of a broadcast; SAE J1939-21 asks for 0.05 to 0.2

# 29-bit identifiers with source address 0 (engine 1): priority, PGN, address.
EEC1, CCVS, LFE = 0x0CF00400, 0x18FEF100, 0x18FEF200
EFL_P1, IC1, ET1 = 0x18FEEF00, 0x18FEF600, 0x18FEEE00
AMB, VEP1, HOURS, LFC, TIRE = 0x18FEF500, 0x18FEF700, 0x18FEE500, 0x18FEE900, 0x18FEF400
DM1, TP_CM, TP_DT = 0x18FECA00, 0x1CEC0000, 0x1CEB0000
PERIODS = {EEC1: 0.05, CCVS: 0.1, LFE: 0.1, EFL_P1: 0.5, IC1: 0.5, ET1: 1.0, AMB: 1.0, VEP1: 1.0, HOURS: 1.0, LFC: 1.0, TIRE: 1.0}

# Where each parameter stands: message, first byte, bytes. For the codes on request.
PLACES = {
    190: (EEC1, 3, 2), 84: (CCVS, 1, 2), 183: (LFE, 0, 2), 98: (EFL_P1, 2, 1), 100: (EFL_P1, 3, 1), 101: (EFL_P1, 4, 2),
    111: (EFL_P1, 7, 1), 102: (IC1, 1, 1), 105: (IC1, 2, 1), 107: (IC1, 4, 1), 173: (IC1, 5, 2), 110: (ET1, 0, 1), 175: (ET1, 2, 2),
    108: (AMB, 0, 1), 171: (AMB, 3, 2), 168: (VEP1, 4, 2), 247: (HOURS, 0, 4), 250: (LFC, 4, 4), 241: (TIRE, 1, 1), 242: (TIRE, 2, 2),
}  # fmt: skip


def payloads(truck: HaulTruck) -> dict[int, bytes]:
    """The eight bytes of each message; what the truck does not measure is 0xFF."""
    pad = b"\xff" * 7
    oil, exhaust, ambient, tire = (round((degrees + 273) * 32) for degrees in (truck.oil, truck.exhaust, truck.ambient, truck.tire))
    boost, intake, drop = round(truck.boost / 2), round(truck.intake + 40), round(truck.filter_drop * 20)
    return {
        EEC1: struct.pack("<3sH3s", pad, round(truck.rpm * 8), pad),
        CCVS: struct.pack("<BH5s", 0xFF, round(truck.speed * 256), pad),
        LFE: struct.pack("<H6s", round(truck.fuel_rate * 20), pad),
        EFL_P1: struct.pack("<2sBBHBB", pad, 220, round(truck.oil_pressure / 4), round((0.5 + 250) * 128), 0xFF, 225),
        IC1: struct.pack("<BBBBBHB", 0xFF, boost, intake, 0xFF, drop, exhaust, 0xFF),
        ET1: struct.pack("<BBH4s", round(truck.coolant + 40), 0xFF, oil, pad),
        AMB: struct.pack("<B2sH3s", round(truck.barometer * 2), pad, ambient, pad),
        VEP1: struct.pack("<4sHH", pad, round(truck.battery * 20), 0xFFFF),
        HOURS: struct.pack("<I4s", round(truck.hours * 20), pad),
        LFC: struct.pack("<4sI", pad, round(truck.fuel_used * 2)),
        TIRE: struct.pack("<BBH4s", 0x00, round(truck.tire_pressure / 4), tire, pad),
    }


def trouble_codes(codes: Sequence[tuple[int, int, int]], *, red: bool = False, amber: bool = False) -> bytes:
    """A DM1: lamps, then (SPN, FMI, occurrences) in four bytes each (SAE J1939-73, conversion method 4)."""
    message = bytearray([(0b01 << 4 if red else 0) | (0b01 << 2 if amber else 0), 0xFF])
    for spn, fmi, occurrences in codes or [(0, 0, 0)]:
        message += bytes([spn & 0xFF, spn >> 8 & 0xFF, (spn >> 16) << 5 | fmi, occurrences])
    return bytes(message) if len(message) > 8 else bytes(message).ljust(8, b"\xff")


def broadcast(pgn: int, source: int, data: bytes) -> list[can.Message]:
    """The frames of a message of more than eight bytes to all (BAM)."""
    count = (len(data) + 6) // 7
    announcement = struct.pack("<BHBB", 32, len(data), count, 0xFF) + pgn.to_bytes(3, "little")
    return [frame(TP_CM | 0xFF00 | source, announcement), *_packets(0xFF, source, data)]


def exchange(pgn: int, source: int, destination: int, data: bytes, *, again: int | None = None) -> list[can.Message]:
    """Both sides of a message from one controller to another (RTS, CTS, packets, end); ``again`` is a packet the receiver asks for twice."""
    count = (len(data) + 6) // 7
    tail = pgn.to_bytes(3, "little")
    ask, answer = TP_CM | destination << 8 | source, TP_CM | source << 8 | destination
    packets = _packets(destination, source, data)
    frames = [frame(ask, struct.pack("<BHBB", 16, len(data), count, 0xFF) + tail)]
    frames += [frame(answer, bytes([17, count, 1, 0xFF, 0xFF]) + tail), *packets]
    if again is not None:
        frames += [frame(answer, bytes([17, 1, again, 0xFF, 0xFF]) + tail), packets[again - 1]]
    return [*frames, frame(answer, struct.pack("<BHBB", 19, len(data), count, 0xFF) + tail)]


def frame(arbitration_id: int, data: bytes) -> can.Message:
    return can.Message(arbitration_id=arbitration_id, data=data, is_extended_id=True)


def _packets(destination: int, source: int, data: bytes) -> list[can.Message]:
    chunks = [data[at : at + 7].ljust(7, b"\xff") for at in range(0, len(data), 7)]
    return [frame(TP_DT | destination << 8 | source, bytes([number]) + chunk) for number, chunk in enumerate(chunks, 1)]


class TruckBus:
    """The truck on a bus, at the pace of the clock times ``speed``, while the context is open.

    ``codes`` are the active trouble codes (SPN, FMI, occurrences), sent each second as DM1; ``blank`` makes a parameter not available or
    an error; ``silent`` switches the ignition off; ``extra`` are frames to be sent once with the next tick.
    """

    def __init__(
        self,
        *,
        interface: str = "virtual",
        channel: str = "truck",
        truck: HaulTruck | None = None,
        speed: float = 1.0,
        periods: Mapping[int, float] | None = None,
    ) -> None:
        self.truck = truck or HaulTruck()
        self.codes: list[tuple[int, int, int]] = []
        self.red = self.amber = False
        self.blank: dict[int, str] = {}
        self.silent = False
        self.extra: list[can.Message] = []
        self.sent = 0
        self._periods = {**PERIODS, **(periods or {})}  # s, by message
        self._interface, self._channel, self._speed = interface, channel, speed
        self._bus: can.BusABC | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        # Over UDP the frames stay on this machine: a simulated truck has no business on anybody's network.
        more: dict[str, Any] = {"hop_limit": 0} if self._interface == "udp_multicast" else {}
        self._bus = can.Bus(self._channel, self._interface, ignore_config=True, **more)
        self._tasks = [asyncio.create_task(self._parameters(), name="truck"), asyncio.create_task(self._diagnostics(), name="truck-dm1")]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._bus is not None:
            self._bus.shutdown()

    def send(self, message: can.Message) -> None:
        """One frame, at once."""
        assert self._bus is not None  # noqa: S101 - within the context
        self._bus.send(message)
        self.sent += 1

    def bytes_of(self, message: int) -> bytes:
        """What is sent of a message now, with the codes on request."""
        data = bytearray(payloads(self.truck)[message])
        for spn, code in self.blank.items():
            place, at, size = PLACES[spn]
            if place == message:
                data[at : at + size] = b"\xff" * size if code == NO_DATA else b"\x00" * (size - 1) + b"\xfe"
        return bytes(data)

    def _due(self, before: float, now: float) -> Iterator[int]:
        return (message for message, period in self._periods.items() if int(now / period) > int(before / period))

    async def _parameters(self) -> None:
        loop = asyncio.get_running_loop()
        before = loop.time()
        while True:
            await asyncio.sleep(TICK)
            now = loop.time()
            self.truck.step((now - before) * self._speed)
            if not self.silent:
                for message in self._due(before, now):
                    self.send(frame(message, self.bytes_of(message)))
                while self.extra:
                    self.send(self.extra.pop(0))
            before = now

    async def _diagnostics(self) -> None:
        while True:
            if not self.silent:
                data = trouble_codes(self.codes, red=self.red, amber=self.amber)
                for message in [frame(DM1, data)] if len(data) <= 8 else broadcast(DM1 >> 8 & 0x3FFFF, 0, data):
                    if self.silent:
                        break
                    self.send(message)
                    if len(data) > 8:
                        await asyncio.sleep(PACKET_GAP)
            await asyncio.sleep(1.0 - PACKET_GAP)


async def _drive(interface: str, channel: str, speed: float) -> None:
    async with TruckBus(interface=interface, channel=channel, speed=speed) as bus:
        bus.codes, bus.amber = [(110, 0, 3), (100, 1, 1), (190, 2, 7)], True
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A haul truck on a CAN bus, with three active trouble codes")
    parser.add_argument("--interface", default="udp_multicast")
    parser.add_argument("--channel", default="239.74.163.2")
    parser.add_argument("--speed", type=float, default=1.0)
    chosen = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_drive(chosen.interface, chosen.channel, chosen.speed))
