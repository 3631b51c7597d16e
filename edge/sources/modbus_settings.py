"""What the configuration says of a Modbus bus: the line or port, the units on it, and the points of each."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from contract.messages import PointDeclaration
from contract.values import check_point
from edge.sources import SourceSettings
from edge.sources.current_loop import FAULT_HIGH, FAULT_LOW, CurrentLoop
from edge.sources.endpoint import HostPort

Table = Literal["coil", "discrete", "holding", "input"]
Type = Literal["bool", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]

FORMATS: dict[Type, tuple[str, int]] = {
    "uint16": ("H", 1),
    "int16": ("h", 1),
    "uint32": ("I", 2),
    "int32": ("i", 2),
    "uint64": ("Q", 4),
    "int64": ("q", 4),
    "float32": ("f", 2),
    "float64": ("d", 4),
}
"""The struct code of each number, and how many registers it takes."""


class ModbusPoint(BaseModel):
    """One point of a unit: where it stands and what its number means. ``value = raw * scale + offset``, in ``unit``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: Table = Field(description="coil, discrete, holding or input")
    register_: int = Field(alias="register", ge=0, le=65535, description="Address from 0, as on the wire (40001 of a manual is holding 0)")
    type: Type | None = Field(None, description="How the registers are read; bool, and only bool, for coils and discrete inputs")
    unit: str | None = Field(None, min_length=1, max_length=32, description="Unit of the value after scaling; bool for a bool")
    kind: Literal["analog", "digital", "counter", "score"] | None = Field(None, description="analog, or digital for a bool, if not said")
    range: tuple[float, float] | None = Field(None, description="Lowest and highest plausible value, in unit")
    scale: float = Field(1.0, allow_inf_nan=False)
    offset: float = Field(0.0, allow_inf_nan=False)
    loop: CurrentLoop | None = Field(None, description="For a 4–20 mA sensor behind a converter, instead of scale and offset")
    byte_order: Literal["big", "little"] = Field("big", description="Order of the two bytes in a register")
    word_order: Literal["big", "little"] = Field("big", description="Order of the registers of a longer number")
    bit: int | None = Field(None, ge=0, le=15, description="For a bool in a register: which bit, 0 is the least significant")
    description: dict[str, str] = Field(default_factory=dict, description="What it is, keyed by language: es, en")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        bits = self.table in ("coil", "discrete")
        if bits and self.type not in (None, "bool"):
            raise ValueError(f"a {self.table} is one bit: write type bool or leave type out (got {self.type})")
        if not bits and self.type is None:
            raise ValueError(f"type is missing; write one of bool, {', '.join(FORMATS)}")
        if not bits and (self.type == "bool") != (self.bit is not None):
            raise ValueError("type bool in a register needs bit: 0 to 15, and only type bool takes a bit")
        if bits and self.bit is not None:
            raise ValueError(f"a {self.table} is one bit: leave bit out")
        if self.is_bool and (self.scale, self.offset) != (1.0, 0.0):
            raise ValueError("a bool is 0 or 1: leave scale and offset out")
        if self.unit is None and not self.is_bool:
            raise ValueError("unit is missing; write for example m3/h, kPa, ppm, or 1 for a number without unit")
        if self.scale == 0:
            raise ValueError("scale is 0: every value would be the offset")
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"range {list(self.range)}: write [lowest, highest]")
        if self.register_ + self.words > 65536:
            raise ValueError(f"{self.type} at register {self.register_} would reach beyond register 65535")
        if self.loop is not None:
            self._loop_fits(self.loop)
        return self

    def _loop_fits(self, loop: CurrentLoop) -> None:
        """A converter whose number cannot show a fault current would make a broken wire look like a measurement."""
        if self.is_bool or (self.scale, self.offset) != (1.0, 0.0):
            raise ValueError("loop does the scaling of a number: leave scale and offset out, and use no bool")
        assert self.type is not None  # noqa: S101 - only a bool may leave it out
        code, words = FORMATS[self.type]
        if code in "fd":
            return
        bits = 16 * words
        low, high = (0, 2**bits - 1) if code.isupper() else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        for current, way, fault in ((FAULT_LOW, -1, "a broken wire"), (FAULT_HIGH, 1, "an over-range")):
            count = loop.count(current) + way * (1 if loop.counts[1] > loop.counts[0] else -1)
            if not low <= count <= high:
                raise ValueError(
                    f"{self.type} holds {low} to {high} and {current:g} mA would be {loop.count(current):g}: {fault} could not be seen; "
                    f"write a signed or longer type, or the counts that the converter really gives"
                )

    @property
    def is_bool(self) -> bool:
        return self.table in ("coil", "discrete") or self.type == "bool"

    @property
    def words(self) -> int:
        """How many registers (or bits, in the bit tables) the point takes."""
        return FORMATS[self.type][1] if self.type is not None and self.type != "bool" else 1

    def declaration(self, point: str, period: float) -> PointDeclaration:
        """The declaration for the birth message; ``period`` in seconds."""
        unit = self.unit or "bool"
        kind = self.kind or ("digital" if self.is_bool else "analog")
        span = self.range or (self.loop.range() if self.loop is not None else None)
        return PointDeclaration(unit, kind, span, point.partition("/")[0], self.description, period)


PointName = Annotated[str, AfterValidator(check_point)]
UnitNumber = Annotated[int, Field(ge=0, le=255)]


class SerialLine(BaseModel):
    """A serial line as Modbus RTU uses it; the defaults are 9600 baud, 8 data bits, no parity, 1 stop bit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    port: str = Field(min_length=1, description="The device, best by its stable name: /dev/serial/by-id/…")
    baudrate: int = Field(9600, ge=300, le=4_000_000)
    parity: Literal["N", "E", "O"] = "N"
    stopbits: Literal[1, 2] = 1
    bytesize: Literal[7, 8] = 8

    @property
    def silence(self) -> float:
        """Seconds between frames: 3.5 characters, 1.75 ms at least (Modbus over Serial Line V1.02, 2.5.1.1)."""
        return max(0.00175, 3.5 * 11 / self.baudrate)


class ModbusSettings(SourceSettings):
    """One bus: a TCP port or a serial line, and the points of each unit on it."""

    tcp: HostPort | None = Field(None, description="host:port of a Modbus TCP server or gateway; port 502 if not said")
    rtu: SerialLine | None = Field(None, description="A serial line (RS-485)")
    every: float = Field(1.0, ge=0.02, le=86400, description="Seconds between polls")
    timeout: float = Field(0.5, ge=0.01, le=60, description="Seconds that a unit has for one answer")
    max_gap: int = Field(8, ge=0, le=100, description="Unused registers or bits that one request may bridge")
    backoff_max: float = Field(
        60.0, gt=0, le=3600, description="Longest pause, in seconds, between attempts on a unit that does not answer"
    )
    units: dict[UnitNumber, dict[PointName, ModbusPoint]] = Field(min_length=1, description="Points by unit (slave) number")

    @model_validator(mode="after")
    def _one_bus(self) -> Self:
        if (self.tcp is None) == (self.rtu is None):
            raise ValueError("write either tcp: host:port or rtu: {port: /dev/serial/by-id/…}, one of the two")
        seen: dict[str, int] = {}
        for number, points in self.units.items():
            if self.rtu is not None and not 1 <= number <= 247:
                raise ValueError(f"unit {number}: on a serial line units are numbered 1 to 247")
            if not points:
                raise ValueError(f"unit {number}: has no points; name at least one, or remove the unit")
            for name in points:
                if name in seen:
                    raise ValueError(f"point {name}: declared for unit {seen[name]} and for unit {number}; keep one")
                seen[name] = number
        return self
