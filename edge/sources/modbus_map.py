"""The register map of a Modbus unit: reads merged into as few requests as may be, answers decoded into readings. Pure; no I/O."""

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from contract.values import Quality, Reading, bad
from edge.sources.current_loop import CurrentLoop
from edge.sources.modbus_settings import FORMATS, ModbusPoint, Table

MAX_REGISTERS = 125  # Modbus Application Protocol V1.1b3, 6.3 and 6.4
MAX_BITS = 2000  # the same, 6.1 and 6.2
_SENSOR_FAULT = bad("sensor_fault")


class Cell(NamedTuple):
    """How one point is taken out of a block. ``at`` counts registers or bits from the start of the block."""

    point: str
    at: int
    words: int
    unpack: Callable[[Any, int], tuple[Any, ...]] | None  # None: a bit
    swapped: bool  # reads the copy of the block whose bytes are swapped within each register
    bit: int
    scale: float
    offset: float
    digits: int | None  # decimals that a scaled integer can have; None for floats
    loop: CurrentLoop | None


class Block(NamedTuple):
    """One request: ``size`` registers or bits from ``address``, and the points in them in order of address."""

    table: Table
    address: int
    size: int
    cells: tuple[Cell, ...]

    @property
    def points(self) -> tuple[str, ...]:
        return tuple(cell.point for cell in self.cells)


def plan(points: Mapping[str, ModbusPoint], max_gap: int) -> list[Block]:
    """The fewest requests that read all points, bridging at most ``max_gap`` unused registers (or bits) between two of them."""
    blocks: list[Block] = []
    ordered = sorted(points.items(), key=lambda entry: (entry[1].table, entry[1].register_, entry[0]))
    run: list[tuple[str, ModbusPoint]] = []
    end = 0
    for name, point in ordered:
        limit = MAX_BITS if point.table in ("coil", "discrete") else MAX_REGISTERS
        last = point.register_ + point.words
        if run and (point.table != run[0][1].table or point.register_ - end > max_gap or max(last, end) - run[0][1].register_ > limit):
            blocks.append(_block(run, end))
            run = []
        end = max(end, last) if run else last
        run.append((name, point))
    if run:
        blocks.append(_block(run, end))
    return blocks


def split(block: Block) -> tuple[Block, ...]:
    """The block as two, divided at its widest gap; as it is when it holds one point.

    For a unit that refuses the whole block (exception 2) because one address in it does not exist.
    """
    if len(block.cells) < 2:
        return (block,)
    ends = [max(cell.at + cell.words for cell in block.cells[: i + 1]) for i in range(len(block.cells))]
    middle = len(block.cells) / 2
    cut = max(range(1, len(block.cells)), key=lambda i: (block.cells[i].at - ends[i - 1], -abs(i - middle)))
    halves = []
    for cells in (block.cells[:cut], block.cells[cut:]):
        first = cells[0].at
        count = max(cell.at + cell.words for cell in cells) - first
        halves.append(Block(block.table, block.address + first, count, tuple(cell._replace(at=cell.at - first) for cell in cells)))
    return tuple(halves)


class Probe(NamedTuple):
    """A read whose values nobody wants. ``unique``: no other answer of the unit is as long as its."""

    block: Block
    unique: bool


def probe(blocks: Sequence[Block]) -> Probe | None:
    """What to ask a unit before it is read again after a silence; None where no two of its answers can be taken for each other.

    A serial answer does not tell which request it belongs to: one that comes too late would pass for that of the next request with the same
    function and length, and from then on each point would show its neighbour's value. A unit answers in order, so once a probe has been
    answered everything before it has come. It reads only what exists: some units are silent where they ought to refuse.
    """
    taken = {(block.table, _length(block)) for block in blocks}
    if len(taken) == len(blocks):
        return None
    for block in blocks:
        for length in range(1, _length(block)):
            if (block.table, length) not in taken:
                return Probe(Block(block.table, block.address, 8 * length if _is_bits(block) else length, ()), True)
    return Probe(blocks[0]._replace(cells=()), False)


def _is_bits(block: Block) -> bool:
    return block.table in ("coil", "discrete")


def _length(block: Block) -> int:
    """Of the answer: registers, or bytes of bits."""
    return -(-block.size // 8) if _is_bits(block) else block.size


def decode_registers(block: Block, registers: Sequence[int], time_ns: int) -> list[Reading]:
    """The readings of a holding or input block; ``registers`` has ``block.size`` numbers of 16 bits.

    A number that is not finite is ``bad:sensor_fault`` without a value. Of a current loop the number is a current, and may report a fault.
    """
    count = block.size
    plain = struct.pack(f">{count}H", *registers)
    swapped: bytes | None = None
    readings = []
    for point, at, _, unpack, use_swapped, bit, scale, offset, digits, loop in block.cells:
        if use_swapped and swapped is None:
            swapped = struct.pack(f"<{count}H", *registers)
        source = swapped if use_swapped else plain
        if unpack is None:
            assert source is not None  # noqa: S101 - for the type checker
            word = source[2 * at] << 8 | source[2 * at + 1]
            readings.append(Reading(point, time_ns, float(word >> bit & 1)))
            continue
        number = unpack(source, 2 * at)[0]
        if loop is not None and math.isfinite(number):
            readings.append(Reading(point, time_ns, *loop.measured(number)))
            continue
        value = number * scale + offset
        if digits is not None:
            value = round(value, digits)  # 3 * 0.1 is 0.3, not 0.30000000000000004
        fault = not math.isfinite(value)
        readings.append(Reading(point, time_ns, None, _SENSOR_FAULT) if fault else Reading(point, time_ns, float(value)))
    return readings


def decode_bits(block: Block, bits: Sequence[bool], time_ns: int) -> list[Reading]:
    """The readings of a coil or discrete block; ``bits`` has at least ``block.size`` of them."""
    return [Reading(cell.point, time_ns, float(bits[cell.at])) for cell in block.cells]


def unread(block: Block, time_ns: int, quality: Quality) -> list[Reading]:
    """One reading without a value for each point of the block."""
    return [Reading(cell.point, time_ns, None, quality) for cell in block.cells]


def _block(run: Sequence[tuple[str, ModbusPoint]], end: int) -> Block:
    start = run[0][1].register_
    return Block(run[0][1].table, start, end - start, tuple(_cell(name, point, point.register_ - start) for name, point in run))


def _cell(name: str, point: ModbusPoint, at: int) -> Cell:
    # Two copies of the block serve all four orders: ABCD big/plain, DCBA little/plain, BADC big/swapped, CDAB little/swapped.
    swapped = point.byte_order != point.word_order if point.words > 1 else point.byte_order == "little"
    if point.type is None or point.type == "bool":
        return Cell(name, at, 1, None, point.byte_order == "little", point.bit or 0, 1.0, 0.0, None, None)
    code, words = FORMATS[point.type]
    little = words > 1 and point.word_order == "little"
    unpack = struct.Struct(("<" if little else ">") + code).unpack_from
    digits = None if code in "fd" else max(_decimals(point.scale), _decimals(point.offset))
    return Cell(name, at, words, unpack, swapped, 0, point.scale, point.offset, digits, point.loop)


def _decimals(number: float) -> int:
    exponent = Decimal(repr(number)).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
