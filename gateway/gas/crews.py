"""What each crew or person has breathed in the shift, from where they were and what was measured there. Reads the store.

A minute in no place of the site counts as clean air. A minute in which nobody knows where they were, or in which the gas was not measured where
they were, counts as nothing: it lowers the coverage, and no dose is good with a low one.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from contract.frames import to_ms
from contract.units import convert
from gateway.gas.exposure import STEL_NS, WHOLE, Average, dose
from gateway.gas.settings import Crew, Place
from gateway.services import Services
from gateway.site_rules import split
from gateway.store import Series
from rules.exposure_limits import PE_RSSOM

MINUTE_NS = 60_000_000_000
MOST_SLOTS = 1_000
Slots = Mapping[int, float]  # mean of a slot by its place in the row


class Been(NamedTuple):
    """One place: which share of each slot the crew was there, and what each head measured."""

    share: Slots
    heads: Sequence[Slots]


def breathed(places: Sequence[Been], slots: int) -> list[float | None]:
    """The concentration of each slot, None where it is not known. Of several heads of a place the highest counts."""
    return [_slot(places, slot) for slot in range(slots)]


def _slot(places: Sequence[Been], slot: int) -> float | None:
    shares = [place.share.get(slot) for place in places]
    if None in shares:
        return None
    here = [(share, place) for share, place in zip(shares, places, strict=True) if share]
    total = 0.0
    for share, place in here:
        measured = [head[slot] for head in place.heads if slot in head]
        if not measured or share is None:
            return None
        total += share * max(measured)
    return total / max(1.0, sum(share for share, _ in here if share is not None))  # at two places at once: half at each


def crew_doses(services: Services, start_ns: int, now_ns: int, length_ns: int) -> list[dict[str, Any]]:
    """Ready for JSON. ``start_ns`` begins the shift. Blocks. Raises StoreUnavailable."""
    reader = _Reader(services, min(start_ns, now_ns - STEL_NS), now_ns)
    return [_crew(reader, crew, start_ns, length_ns) for crew in services.config.gas.crews]


class _Reader:
    """Minutes of points up to now, each read once."""

    def __init__(self, services: Services, from_ns: int, now_ns: int) -> None:
        self.services = services
        self.now_ns = now_ns
        end_ns = now_ns - now_ns % MINUTE_NS + MINUTE_NS  # whole minutes, which are the slots of every store
        self.width_ns = MINUTE_NS * -(-(end_ns - from_ns) // (MINUTE_NS * MOST_SLOTS))
        self.count = -(-(end_ns - from_ns) // self.width_ns)
        self.from_ns, self.end_ns = end_ns - self.count * self.width_ns, end_ns
        self._known: dict[tuple[Series, str], Slots] = {}

    def minutes(self, series: Series, unit: str) -> Slots:
        """In ``unit``; nothing of a point that nobody declares, or in another kind of unit."""
        if (series, unit) not in self._known:
            birth = self.services.nodes.birth(series.node)
            declared = birth.points.get(series.point) if birth else None
            found: dict[int, float] = {}
            if declared is not None:
                for bucket in self.services.store.buckets(series, self.from_ns, self.end_ns, self.count):
                    if bucket.samples:
                        found[(bucket.start_ns - self.from_ns) // self.width_ns] = bucket.mean
                given = "1" if declared.unit == "bool" else declared.unit  # the share of a minute in which a switch was on
                try:
                    found = {slot: convert(mean, given, unit) for slot, mean in found.items()}
                except ValueError:
                    found = {}
            self._known[series, unit] = found
        return self._known[series, unit]


def _crew(reader: _Reader, crew: Crew, start_ns: int, length_ns: int) -> dict[str, Any]:
    by_id = reader.services.config.gas.by_id
    places = [(by_id[place], reader.minutes(split(point), "1")) for place, point in crew.at.items()]
    gases = sorted({gas for place, _ in places for gas in place.gases if gas in PE_RSSOM})
    last = reader.count - 1
    where = [place.id for place, share in places if share.get(last, share.get(last - 1, 0.0)) >= 0.5]
    lost = any(last not in share and last - 1 not in share for _, share in places)
    told = [_gas(reader, gas, places, start_ns, length_ns) for gas in gases]
    return {"id": crew.id, "title": crew.title, "places": where, "lost": lost, "time": to_ms(reader.now_ns), "gases": told}


def _gas(reader: _Reader, gas: str, places: Sequence[tuple[Place, Slots]], start_ns: int, length_ns: int) -> dict[str, Any]:
    limits = PE_RSSOM[gas]
    been = [Been(share, [reader.minutes(split(point), limits.unit) for point in place.gases.get(gas, [])]) for place, share in places]
    row = breathed(been, reader.count)
    first = max(0, round((start_ns - reader.from_ns) / reader.width_ns))
    newest = next((value for value in reversed(row[-2:]) if value is not None), None)
    short = _mean(row[-max(1, STEL_NS // reader.width_ns) :])
    found = dose(short, _mean(row[first:]), newest, passed_ns=reader.now_ns - start_ns, length_ns=length_ns)
    told: dict[str, Any] = {"gas": gas, "unit": limits.unit, "value": newest, "twa_limit": limits.twa, "stel_limit": limits.stel}
    told |= {"stel": found.stel.mean, "stel_coverage": found.stel.coverage, "twa": found.twa, "twa_coverage": found.coverage}
    told |= {"twa_projected": found.projected, "source": limits.source, "certainty": limits.certainty}
    over = [(told["stel"], limits.stel), (told["twa"], limits.twa), (told["twa_projected"], limits.twa)]
    if any(value is not None and limit is not None and value > limit for value, limit in over):
        return told | {"state": "over"}
    if newest is None:
        return told | {"state": "blind"}
    return told | {"state": "incomplete" if min(found.coverage, found.stel.coverage) < WHOLE else "within"}


def _mean(row: Sequence[float | None]) -> Average:
    known = [value for value in row if value is not None]
    return Average(sum(known) / len(known), len(known) / len(row)) if known else Average(None, 0.0)
