"""The board: each place with its gas, its air and its blasts, as they are now. Reads the store; nothing that is not measured counts as good."""

import time
from typing import Any, NamedTuple

from contract.frames import to_ms
from contract.units import convert
from gateway.gas.air import required
from gateway.gas.clearance import Blast, NotClear, blasts, judge, opened
from gateway.gas.crews import crew_doses
from gateway.gas.exposure import STEL_NS, WHOLE, Average, average, dose
from gateway.gas.settings import Place
from gateway.services import Services
from gateway.site_rules import split
from gateway.store import Sample, Series
from gateway.store.rollup import grid
from rules.exposure_limits import PE_ENTRY, PE_RSSOM

OLD_NS = 15_000_000_000  # a value older than this, or than three of its periods, is old
MOST_SAMPLES = 20_000
MINUTE_NS = 60_000_000_000


class Newest(NamedTuple):
    """A value that may be used now, in the gas's unit; else ``why`` not: no_value, bad, old, wrong_unit."""

    value: float | None
    why: str
    time_ns: int | None
    quality: str


def board(services: Services, now_ns: int) -> dict[str, Any]:
    """Ready for JSON; times in Unix ms. Blocks. Raises StoreUnavailable."""
    config = services.config.gas
    wanted = {series for place in config.places for _, series in place.heads()}
    wanted |= {split(name) for place in config.places for name in (place.airflow, place.people) if isinstance(name, str)}
    latest = services.store.latest(sorted(wanted)) if wanted else {}
    waiting = blasts(services.engine, waiting=True)
    shifts = services.shifts
    start_ns, end_ns = shifts.began(now_ns), shifts.ends(now_ns)
    return {
        "written": to_ms(now_ns),
        "shift": {"start": to_ms(start_ns), "end": to_ms(end_ns)},
        "altitude": config.altitude,
        "clear_for": config.clear_for,
        "places": [
            _place(services, place, latest, [blast for blast in waiting if blast.place == place.id], now_ns) for place in config.places
        ],
        "crews": crew_doses(services, start_ns, now_ns, end_ns - start_ns),
    }


def _place(services: Services, place: Place, latest: dict[Series, Sample], waiting: list[Blast], now_ns: int) -> dict[str, Any]:
    return {
        "id": place.id,
        "title": place.title,
        "gases": [_gas(services, gas, series, latest.get(series), now_ns) for gas, series in place.heads()],
        "air": _air(services, place, latest, now_ns),
        "blasts": [blast_json(blast) | {"heads": heads(services, place, blast, now_ns)} for blast in waiting],
    }


def newest(services: Services, series: Series, sample: Sample | None, unit: str, now_ns: int) -> Newest:
    birth = services.nodes.birth(series.node)
    declared = birth.points.get(series.point) if birth else None
    if sample is None or declared is None:
        return Newest(None, "no_value", None, "bad:no_data")
    told = (sample.time_ns, sample.quality)
    if now_ns - sample.time_ns > max(OLD_NS, int(3e9 * (declared.period or 0))):
        return Newest(None, "old", *told)
    if sample.value is None or sample.quality.startswith("bad"):
        return Newest(None, "bad", *told)
    try:
        return Newest(convert(sample.value, declared.unit, unit), "", *told)
    except ValueError:
        return Newest(None, "wrong_unit", *told)


def _gas(services: Services, gas: str, series: Series, sample: Sample | None, now_ns: int) -> dict[str, Any]:
    entry, limits = PE_ENTRY[gas], PE_RSSOM.get(gas)
    now = newest(services, series, sample, entry.unit, now_ns)
    told: dict[str, Any] = {"gas": gas, "node": series.node, "point": series.point, "unit": entry.unit}
    told |= {"value": now.value, "why": now.why, "quality": now.quality, "time": None if now.time_ns is None else to_ms(now.time_ns)}
    told |= {"least": entry.least, "most": entry.most, "source": entry.source, "certainty": entry.certainty}
    told |= {"twa_limit": limits.twa if limits else None, "stel_limit": limits.stel if limits else None}
    told |= dict.fromkeys(("stel", "stel_coverage", "twa", "twa_coverage", "twa_projected"))
    if limits is not None and now.why not in {"wrong_unit", "no_value"}:
        start_ns, end_ns = services.shifts.began(now_ns), services.shifts.ends(now_ns)
        short = _average(services, series, entry.unit, now_ns - STEL_NS, now_ns)
        long = _average(services, series, entry.unit, start_ns, now_ns)
        found = dose(short, long, now.value, passed_ns=now_ns - start_ns, length_ns=end_ns - start_ns)
        told |= {"stel": found.stel.mean, "stel_coverage": found.stel.coverage, "twa": found.twa, "twa_coverage": found.coverage}
        told["twa_projected"] = found.projected
    told["state"] = _state(told)
    return told


def _average(services: Services, series: Series, unit: str, start_ns: int, end_ns: int) -> Average:
    """Over slots of a minute or so, in ``unit``, into which the point's own was found to convert."""
    birth = services.nodes.birth(series.node)
    count = max(1, min(1000, round((end_ns - start_ns) / MINUTE_NS)))
    slots = services.store.buckets(series, start_ns, end_ns, count) if birth else []
    found = average(slots, grid(start_ns, end_ns, count, services.store.kept()).width_ns, start_ns, end_ns)
    if birth is None or found.mean is None:
        return found
    return found._replace(mean=convert(found.mean, birth.points[series.point].unit, unit))


def _state(told: dict[str, Any]) -> str:
    """``over``, ``blind``, ``incomplete`` or ``within``: the worst that is true."""
    pairs = [(told["stel"], told["stel_limit"]), (told["twa"], told["twa_limit"]), (told["twa_projected"], told["twa_limit"])]
    outside = told["value"] is not None and (
        (told["least"] is not None and told["value"] < told["least"])
        or (told["twa_limit"] is None and told["value"] > (told["most"] or 1e9))
    )
    if outside or any(value is not None and limit is not None and value > limit for value, limit in pairs):
        return "over"
    if told["why"]:
        return "blind"
    covers = [told[name] for name in ("stel_coverage", "twa_coverage") if told[name] is not None]
    return "incomplete" if any(cover < WHOLE for cover in covers) else "within"


def _air(services: Services, place: Place, latest: dict[Series, Sample], now_ns: int) -> dict[str, Any]:
    people: float | None = None
    if isinstance(place.people, str):
        series = split(place.people)
        people = newest(services, series, latest.get(series), "1", now_ns).value
    elif place.people is not None:
        people = float(place.people)
    unknown = place.people is not None and people is None
    parts = required(place, services.config.gas.altitude or 0.0, people)
    told: dict[str, Any] = {
        "parts": [part._asdict() for part in parts],
        "required": sum(part.m3_min for part in parts) if parts else None,
        "people": people,
        "people_unknown": unknown,
        "measured": None,
        "why": "no_point",
        "point": place.airflow,
        "time": None,
    }
    if place.airflow is not None:
        series = split(place.airflow)
        found = newest(services, series, latest.get(series), "m3/min", now_ns)
        told |= {"measured": found.value, "why": found.why, "time": None if found.time_ns is None else to_ms(found.time_ns)}
    need, have = told["required"], told["measured"]
    told["state"] = "blind" if have is None or unknown else "unknown" if need is None else "over" if have < need else "within"
    return told


def heads(services: Services, place: Place, blast: Blast, now_ns: int) -> list[dict[str, Any]]:
    """Each head of a place: whether it has measured clear air for as long as the site wants. Blocks."""
    start_ns = now_ns - int(services.config.gas.clear_for * 1e9)
    told = []
    for gas, series in place.heads():
        birth = services.nodes.birth(series.node)
        declared = birth.points.get(series.point) if birth else None
        limit = PE_ENTRY[gas]
        samples = services.store.raw(series, start_ns, now_ns + 1, MOST_SAMPLES) if start_ns >= blast.at_ns else []
        verdict = "too_soon"
        if start_ns >= blast.at_ns:
            try:
                unit = declared.unit if declared else ""
                seen = [one._replace(value=None if one.value is None else convert(one.value, unit, limit.unit)) for one in samples]
            except ValueError:
                verdict = "wrong_unit"
            else:
                gap = max(OLD_NS, int(3.5e9 * (declared.period or 0))) if declared else OLD_NS
                verdict = judge(seen, limit, start_ns=start_ns, now_ns=now_ns, longest_gap_ns=gap)
        newest_value = samples[-1].value if samples else None
        told.append({"gas": gas, "node": series.node, "point": series.point, "verdict": verdict, "value": newest_value})
    return told


def reopen(services: Services, blast: Blast, *, who: str, note: str) -> bool:
    """Lets people in again, if every head says so now. False where somebody was faster. Blocks. Raises NotClear, StoreUnavailable."""
    place = services.config.gas.by_id.get(blast.place)
    now_ns = time.time_ns()
    measured = heads(services, place, blast, now_ns) if place else []
    wrong = [f"{head['gas']} {head['node']}/{head['point']}: {head['verdict']}" for head in measured if head["verdict"] != "clear"]
    if not measured:
        wrong = ["no head measures gas there"]
    if wrong:
        raise NotClear(wrong)
    return opened(services.engine, blast.number, who=who, note=note, measured=measured, now_ns=now_ns)


def blast_json(blast: Blast) -> dict[str, Any]:
    told: dict[str, Any] = {"number": blast.number, "place": blast.place, "at": to_ms(blast.at_ns), "who": blast.who, "note": blast.note}
    return told | {
        "opened": None if blast.opened_ns is None else to_ms(blast.opened_ns),
        "opened_by": blast.opened_by,
        "measured": list(blast.measured),
    }
