"""One Modbus unit: whether it is there, who made it, and which registers answer. Reads only (functions 1 to 4, and 43/14)."""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from pymodbus.pdu import ModbusPDU

    from edge.modbus_client import Client

Table = Literal["input", "holding", "discrete", "coil"]
TABLES: tuple[Table, ...] = ("input", "holding", "discrete", "coil")
GATEWAY_SILENT = (10, 11)  # Modbus Application Protocol V1.1b3, section 7: a gateway answers, the unit does not
ILLEGAL_FUNCTION = 1
STARTS = (0, 1, 100, 200, 256, 1000, 2000, 3000, 4000, 4096, 5000, 10_000, 30_000, 40_000)  # where makers like to begin
MOST = 64  # registers or bits in a row that are looked for
MAX_SHOWN = 16  # values of a block that are kept


class Block(NamedTuple):
    """``size`` registers or bits in a row from ``address`` that answer; ``open_end`` where more may follow. ``values``: the first of them."""

    table: Table
    address: int
    size: int
    values: tuple[int, ...]
    open_end: bool

    def __str__(self) -> str:
        span = f"{self.address}" if self.size == 1 else f"{self.address} to {self.address + self.size - 1}"
        return f"{self.table} {span}{' and perhaps more' * self.open_end}"


class Unit(NamedTuple):
    """A unit that answered. ``identity`` is what it says of itself (maker, product, revision); empty where it does not."""

    number: int
    identity: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()


class Asker:
    """Asks one bus, one request after the other, and counts them. ``pause`` is the silence before each, in seconds."""

    def __init__(self, client: "Client", pause: float = 0.0) -> None:
        self._client = client
        self._pause = pause
        self.requests = 0

    @property
    def connected(self) -> bool:
        return self._client.connected

    async def read(self, unit: int, table: Table, address: int, count: int) -> "ModbusPDU | None":
        """The answer, an exception of the unit included; None where nothing sound came from that very unit."""
        ask: Callable[..., Awaitable[ModbusPDU]] = {
            "input": self._client.read_input_registers,
            "holding": self._client.read_holding_registers,
            "discrete": self._client.read_discrete_inputs,
            "coil": self._client.read_coils,
        }[table]
        return await self._answer(unit, ask, address, count=count)

    async def identity(self, unit: int) -> tuple[str, ...]:
        """Maker, product code and revision (function 43/14, section 6.21); empty where the unit does not tell."""
        answer = await self._answer(unit, self._client.read_device_information, read_code=1, object_id=0)
        if answer is None or answer.isError():
            return ()
        told: dict[int, Any] = getattr(answer, "information", {})
        return tuple(text for _, value in sorted(told.items()) if (text := _text(value)))

    async def _answer(self, unit: int, ask: Callable[..., Awaitable["ModbusPDU"]], *place: int, **more: int) -> "ModbusPDU | None":
        from pymodbus.exceptions import ModbusException

        if self._pause:
            await asyncio.sleep(self._pause)
        self.requests += 1
        try:
            answer = await ask(*place, device_id=unit, **more)
        except ModbusException:
            return None
        return answer if answer.dev_id == unit else None


def there(answer: "ModbusPDU | None") -> bool:
    """Whether an answer proves a unit: an exception does too, unless a gateway raised it for one that is silent."""
    return answer is not None and not (answer.isError() and answer.exception_code in GATEWAY_SILENT)


async def explore(asker: Asker, number: int) -> Unit:
    """Identity and blocks of a unit that is there: at most some hundred short reads."""
    identity = await asker.identity(number)
    blocks: list[Block] = []
    for table in TABLES:
        end = -1
        for start in STARTS:
            if start < end:
                continue
            answer = await asker.read(number, table, start, 1)
            if answer is None or (answer.isError() and answer.exception_code == ILLEGAL_FUNCTION):
                break  # it has no such table, or no longer answers
            if answer.isError():
                continue
            block = await _block(asker, number, table, start)
            if block is not None:
                blocks.append(block)
                end = block.address + block.size
                if block.open_end:
                    break  # a unit that answers everywhere would only be asked the same again
    return Unit(number, identity, tuple(blocks))


async def _block(asker: Asker, number: int, table: Table, start: int) -> Block | None:
    """The longest run from ``start`` on, found by doubling and halving: a unit refuses a whole read for one address that it lacks."""
    good, bad = 1, MOST + 1
    size = 2
    while good < MOST and good + 1 < bad:
        answer = await asker.read(number, table, start, size)
        if answer is not None and not answer.isError():
            good = size
        else:
            bad = size
        size = min(2 * good, MOST) if bad > MOST else (good + bad) // 2
    answer = await asker.read(number, table, start, good)
    if answer is None or answer.isError():
        return None
    raw = answer.bits if table in ("discrete", "coil") else answer.registers
    return Block(table, start, good, tuple(int(value) for value in raw[: min(good, MAX_SHOWN)]), good == MOST)


def floats(block: Block) -> tuple[Literal["big", "little"], list[float]] | None:
    """The word order and the numbers where all pairs of registers look like float32: of usual size, or 0 beside others. A guess.

    Small whole numbers, which most registers hold, make no such pairs.
    """
    pairs = list(zip(block.values[::2], block.values[1::2], strict=False))
    if block.table not in ("input", "holding") or not pairs or (block.size % 2 and not block.open_end):
        return None
    for order in ("big", "little"):
        words = pairs if order == "big" else [(low, high) for high, low in pairs]
        numbers = [float(struct.unpack(">f", struct.pack(">HH", *pair))[0]) for pair in words]
        if any(numbers) and all(number == 0 or 1e-3 <= abs(number) < 1e7 for number in numbers):
            return ("big" if order == "big" else "little"), numbers
    return None


def _text(value: Any) -> str:
    parts = value if isinstance(value, list) else [value]
    joined = b" ".join(part if isinstance(part, bytes) else str(part).encode() for part in parts)
    text = joined.decode("utf-8", "replace").strip("\0 ")
    return "".join(c if c.isprintable() else "?" for c in text)[:60]
