"""How much air a place needs: D.S. 024-2016-EM art. 247 and 252 d with Anexo 38, as far as they were read. Pure.

Each part names its source and how certain it is; the amendment D.S. 034-2023-EM was not read. A site checks them against the law in force.
"""

from typing import NamedTuple

from gateway.gas.settings import Place

PER_HP = 3.0  # m3/min
LEAKAGE = 0.15  # of what is needed
_ANEXO_38 = "D.S. 024-2016-EM, Anexo 38"


class Part(NamedTuple):
    """One part of the need: which it is (a text of the page), m3/min, how it was reckoned, its source, and H, M or L for how certain it is."""

    what: str
    name: str
    m3_min: float
    how: str
    source: str
    certainty: str


def per_person(altitude: float) -> float:
    """m3/min for a person at so many metres (art. 247)."""
    for highest, need in ((1500.0, 3.0), (3000.0, 4.0), (4000.0, 5.0)):
        if altitude <= highest:
            return need
    return 6.0


def per_tonne(percent: float) -> float:
    """m3/min for a tonne of a shift, by the percentage of timber (art. 252 d)."""
    for below, need in ((20.0, 0.0), (41.0, 0.6), (70.0 + 1e-9, 1.0)):
        if percent < below:
            return need
    return 1.25


def least_velocity(dry_bulb: float) -> float:
    """m/min at this temperature in degC (art. 252 d): none below 24, 30 up to 29 and, where the text says nothing, above."""
    return 0.0 if dry_bulb < 24.0 else 30.0


def required(place: Place, altitude: float, people: float | None) -> list[Part]:
    """What the place needs, the leakage last. Without ``people`` (unknown) their part is left out: whoever shows it says so."""
    parts = []
    if people is not None:
        need = per_person(altitude)
        parts.append(Part("people", "", need * people, f"{need:g} x {people:g}", "D.S. 024-2016-EM, art. 247", "H"))
    for engine in place.diesel:
        how = f"{PER_HP:g} x {engine.power_hp:g} HP x {engine.availability:g} x {engine.use:g}"
        air = PER_HP * engine.power_hp * engine.availability * engine.use
        parts.append(Part("diesel", engine.name, air, how, f"{_ANEXO_38}, art. 252 d", "H"))
    if place.wood is not None:
        need = per_tonne(place.wood.percent)
        how = f"{need:g} x {place.wood.tonnes_per_shift:g} t"
        parts.append(Part("wood", "", need * place.wood.tonnes_per_shift, how, "D.S. 024-2016-EM, art. 252 d", "H"))
    if place.heat is not None:
        velocity = least_velocity(place.heat.dry_bulb)
        how = f"{velocity:g} m/min x {place.heat.area:g} m2"
        parts.append(
            Part("heat", "", velocity * place.heat.area, how, "D.S. 024-2016-EM, art. 252 d", "H" if place.heat.dry_bulb <= 29 else "L")
        )
    parts += [Part("other", one.name, one.m3_min, "", one.source, "") for one in place.other]
    total = sum(part.m3_min for part in parts)
    if parts:
        parts.append(Part("leakage", "", LEAKAGE * total, f"{LEAKAGE:.0%} x {total:g}", f"{_ANEXO_38} (the 15 % from reading)", "M"))
    return parts
