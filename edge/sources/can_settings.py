"""What the configuration says of a CAN bus: the interface, and where each point stands in its messages."""

import re
from difflib import get_close_matches
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from contract.messages import PointDeclaration
from contract.units import check_unit
from contract.values import check_point
from edge.sources import SourceSettings
from edge.sources.can_j1939 import DM1_INTERVAL, LAMP_BIT, SPNS, TIRE, Lamp, Spn

Address = Annotated[int, Field(ge=0, le=253)]
PointName = Annotated[str, AfterValidator(check_point)]

MISSED = 3  # transmissions in a row that may fail to come until a value is stale
_LAMP_NAMES: dict[Lamp, tuple[str, str]] = {
    "protect": ("Lámpara de protección", "Protect lamp"),
    "amber_warning": ("Lámpara ámbar de advertencia", "Amber warning lamp"),
    "red_stop": ("Lámpara roja de parada", "Red stop lamp"),
    "malfunction": ("Lámpara de avería", "Malfunction indicator lamp"),
}


class Fault(BaseModel):
    """One trouble code: which parameter, and how it fails (failure mode identifier; 31 is "condition exists")."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    spn: int = Field(ge=1, le=0x7FFFF)
    fmi: int = Field(ge=0, le=31)


class CanPoint(BaseModel):
    """One point: a J1939 parameter (``spn``), something of the active trouble codes (``dm1``), or a signal of the DBC file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    spn: int | None = Field(None, description="Number of a J1939 parameter in the table")
    location: int | None = Field(None, ge=0, le=254, description="(SPN 241, 242) which tire: the byte of SPN 929")
    dm1: Lamp | Literal["count"] | Fault | None = Field(None, description="A lamp, the count of active codes, or {spn, fmi} of one code")
    message: str | None = Field(None, description="Name of a message in the DBC file")
    signal: str | None = Field(None, description="Name of a signal of that message")
    unit: Annotated[str, AfterValidator(check_unit)] | None = Field(None, description="(DBC) unit of the signal; the others have theirs")
    kind: Literal["analog", "digital", "counter"] | None = Field(None, description="(DBC) analog if not said; the others have theirs")
    range: tuple[float, float] | None = Field(None, description="Lowest and highest plausible value, in unit")
    source_address: Address | None = Field(None, description="J1939 address of the controller that sends it, instead of the source's")
    stale_after: float | None = Field(None, gt=0, le=86400, description="Seconds without a frame, instead of the source's")
    description: dict[str, str] = Field(default_factory=dict, description="What it is, keyed by language: es, en")

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        ways = [self.spn is not None, self.dm1 is not None, self.message is not None or self.signal is not None]
        if sum(ways) != 1:
            raise ValueError("write one of: spn: 190, or dm1: count, or message: NAME with signal: NAME")
        if self.spn is not None:
            self._check_spn(self.spn)
        elif self.location is not None:
            raise ValueError("location belongs to spn 241 and 242 (tires)")
        if ways[2] and (self.message is None or self.signal is None or self.unit is None):
            raise ValueError("a signal of a DBC file needs message, signal and unit (for example unit: t, or 1 for a number without unit)")
        if not ways[2] and (self.unit is not None or self.kind is not None):
            raise ValueError("unit and kind come from the J1939 table: leave them out")
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"range {list(self.range)}: write [lowest, highest]")
        return self

    def _check_spn(self, number: int) -> None:
        if number not in SPNS:
            known = ", ".join(str(known) for known in sorted(SPNS))
            raise ValueError(f"spn {number}: is not in the table ({known}); describe it in a DBC file and write message and signal")
        if (SPNS[number].pgn == TIRE) != (self.location is not None):
            raise ValueError("spn 241 and 242 need location (the byte of SPN 929, which tire), and only these take it")

    @property
    def parameter(self) -> Spn | None:
        return SPNS[self.spn] if self.spn is not None else None

    @property
    def interval(self) -> float:
        """Seconds between transmissions where the table knows it, else 0."""
        if self.dm1 is not None:
            return DM1_INTERVAL
        return (self.parameter.interval or 0.0) if self.parameter else 0.0

    def declaration(self, point: str, every: float) -> PointDeclaration:
        """The declaration for the birth message; ``every`` in seconds."""
        asset, period = point.partition("/")[0], max(every, self.interval)
        if self.parameter is not None:
            entry = self.parameter
            text = self.description or {"es": entry.es, "en": entry.en}
            return PointDeclaration(entry.unit, entry.kind, self.range or entry.range, asset, text, period)
        if self.dm1 == "count":
            text = self.description or {"es": "Códigos de falla activos", "en": "Active trouble codes"}
            return PointDeclaration("1", "analog", self.range, asset, text, period)
        if isinstance(self.dm1, Fault):
            name = f"SPN {self.dm1.spn} FMI {self.dm1.fmi}"
            text = self.description or {"es": f"Código de falla {name}", "en": f"Trouble code {name}"}
            return PointDeclaration("bool", "digital", self.range, asset, text, period)
        if self.dm1 is not None:
            es, en = _LAMP_NAMES[self.dm1]
            return PointDeclaration("bool", "digital", self.range, asset, self.description or {"es": es, "en": en}, period)
        kind = self.kind or ("digital" if self.unit == "bool" else "analog")
        return PointDeclaration(self.unit or "1", kind, self.range, asset, self.description, period)


class CanSettings(SourceSettings):
    """One CAN bus, listened to: nothing is ever sent."""

    interface: str = Field("socketcan", min_length=1, description="Interface of python-can: socketcan, virtual, udp_multicast, slcan …")
    channel: str = Field("can0", min_length=1, description="For socketcan the network interface")
    bitrate: int | None = Field(None, ge=5_000, le=1_000_000, description="bit/s; for socketcan it is set by ip link, and only named here")
    options: dict[str, str | int | float | bool] = Field(default_factory=dict, description="Further options of the python-can interface")
    dbc: str | None = Field(None, description="DBC file of the site, for points with message and signal")
    source_address: Address | None = Field(None, description="J1939 address of the controller whose messages count; any if not said")
    every: float = Field(1.0, ge=0.05, le=3600, description="Seconds between readings of a point: the newest value of each period")
    stale_after: float = Field(5.0, ge=0.1, le=86400, description="Seconds without a frame until a value is stale")
    points: dict[PointName, CanPoint] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for name, point in self.points.items():
            if point.message is not None and self.dbc is None:
                raise ValueError(f"point {name}: message {point.message} needs dbc: FILE of the source")
            if point.dm1 is not None and self.address_of(point) is None:
                raise ValueError(f"point {name}: trouble codes belong to one controller: write source_address (the engine is usually 0)")
        if self.interface == "socketcan" and not re.fullmatch(r"[^\s/]{1,15}", self.channel):
            raise ValueError(f"channel {self.channel!r}: write the name of a network interface, for example can0")
        taken = {"interface", "channel", "bitrate", "can_filters", "ignore_config"} & self.options.keys()
        if taken:
            raise ValueError(f"options: {', '.join(sorted(taken))} is no further option; leave it out")
        return self

    def address_of(self, point: CanPoint) -> int | None:
        return self.source_address if point.source_address is None else point.source_address

    def stale_limit(self, point: CanPoint) -> float:
        """Seconds: as written, but never shorter than three transmissions as the J1939 table knows them."""
        return point.stale_after or max(self.stale_after, self.every, MISSED * point.interval)


def nearest(name: str, known: list[str]) -> str:
    """A hint for a name that does not exist."""
    close = get_close_matches(name, known, 1)
    return f"did you mean {close[0]}?" if close else f"there are: {', '.join(known[:20]) or 'none'}"


__all__ = ["LAMP_BIT", "Address", "CanPoint", "CanSettings", "Fault", "nearest"]
