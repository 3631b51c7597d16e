"""What can be said against the units, ranges and trust of a node's points before anything runs."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from contract.documents import Document, Location
from contract.messages import PointDeclaration
from contract.units import check_unit
from edge.trust_settings import TrustSettings, matching, resolve

Problem = tuple[str, str]

_GAS_UNITS = ("ppm", "ppb", "%vol", "%LEL", "mg/m3", "ug/m3")


def declared_problems(document: Document, points: Mapping[str, PointDeclaration], declared_at: Mapping[str, Location]) -> Iterator[str]:
    """One line for each point of a source or processor whose unit does not exist, or that measures a gas and has no range."""
    for point, entry in declared_at.items():
        location = place(document, entry, point)
        for key, text in _declaration_problems(points[point], gas_needs_range=entry[0] == "sources"):
            yield document.problem((*location, key), text if location[-1] == point else f"point {point!r}: {text}")


def _declaration_problems(declaration: PointDeclaration, *, gas_needs_range: bool) -> Iterator[Problem]:
    try:
        check_unit(declaration.unit)
    except ValueError as error:
        yield "unit", str(error)
    if gas_needs_range and is_gas(declaration.unit) and declaration.range is None:
        unit = declaration.unit
        yield "range", f"missing: a gas ({unit}) needs it; write range: [lowest, highest] of the sensor in {unit}"


def trust_problems(document: Document, trust: Mapping[str, TrustSettings], points: Mapping[str, PointDeclaration]) -> Iterator[str]:
    """One line for each problem of the ``trust`` part of a document. A pattern that says a key last answers for it."""
    for pattern in trust:
        if not matching(pattern, points):
            close = get_close_matches(pattern, points, 1, 0.6)
            hint = f"did you mean {close[0]!r}?" if close else "write a point, or a pattern such as 'heading-3/*'"
            yield document.problem(("trust", pattern), f"names no point of this node; {hint}")
    told = set()
    for point, settings in resolve(trust, points).items():
        for key, text in _settings_problems(settings, points[point]):
            pattern = [name for name in trust if key in trust[name].model_fields_set and point in matching(name, points)][-1]
            if (pattern, key) not in told:  # one line is enough for a hundred points of a pattern
                told.add((pattern, key))
                yield document.problem(("trust", pattern, key), text if pattern == point else f"{text} (for {point})")


def _settings_problems(settings: TrustSettings, declaration: PointDeclaration) -> Iterator[Problem]:
    if settings.calibrated is not None and settings.calibration_every is None:
        yield "calibrated", "write calibration_every: the days that a calibration lasts"
    if settings.bump_tested is not None and settings.bump_every is None:
        yield "bump_tested", "write bump_every: the days that a bump test lasts"
    if "noise" in settings.model_fields_set and settings.stuck_after is None:
        yield "noise", "write stuck_after: the seconds after which a value that does not move by more is stuck"
    if "confirm" in settings.model_fields_set and settings.max_rate is None:
        yield "confirm", "write max_rate: the fastest possible change a second"
    for key in ("stuck_after", "stale_after"):
        limit = getattr(settings, key)
        if limit is not None and declaration.period is not None and limit <= 2 * declaration.period:
            yield key, f"{limit:g} s: the point comes each {declaration.period:g} s; write more than {2 * declaration.period:g}"
    if settings.gas is not None and not is_gas(declaration.unit):
        yield "gas", f"{settings.gas} in {declaration.unit!r}: a gas has one of the units {', '.join(_GAS_UNITS)}"


def is_gas(unit: str) -> bool:
    """Whether a unit is one in which gas is measured. Dust has mg/m3 and ug/m3, too, and needs a range no less."""
    return unit in _GAS_UNITS


def place(document: Document, entry: Location, point: str) -> Location:
    """Where a point stands within an entry of the document; the entry itself where its name is made up by the source."""
    pending = [entry]
    while pending:
        location = pending.pop()
        value = document.at(location)
        if isinstance(value, dict):
            if point in value:
                return (*location, point)
            pending += [(*location, key) for key in value]
        elif isinstance(value, list):
            pending += [(*location, index) for index in range(len(value))]
    return entry
