"""How an asset stands: its worst alarm, its zones and since when, what nobody sees of it."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from contract.frames import to_ms
from contract.messages import Birth, ModelUse
from gateway.alarms.view import URGENCY, AlarmView
from gateway.assets.crossing import crossed
from gateway.assets.spectra import inputs, is_line
from gateway.services import Services
from gateway.store import Sample, Series

OLD_NS = 15_000_000_000
_LETTERS = "ABCD"


class Asset(NamedTuple):
    node: str
    asset: str
    points: list[str]


def assets(births: dict[str, Birth]) -> list[Asset]:
    """Every asset that a node declares points of, in the order of their names. The node's own points are none."""
    found: dict[tuple[str, str], list[str]] = {}
    for node, birth in births.items():
        for point, declared in birth.points.items():
            asset = declared.asset or point.partition("/")[0]
            if asset != node:
                found.setdefault((node, asset), []).append(point)
    return [Asset(*key, points) for key, points in sorted(found.items())]


def overview(services: Services, now_ns: int) -> list[dict[str, Any]]:
    """A line for each asset, the worst first. Blocks. Raises StoreUnavailable."""
    births = services.nodes.births()
    found = assets(births)
    shown = {Series(asset.node, point) for asset in found for point in asset.points if not is_line(point)}
    latest = services.store.latest(sorted(shown)) if shown else {}
    standing = services.annunciator.standing()
    lines = [_line(asset, births[asset.node], latest, standing, now_ns) for asset in found]
    return sorted(lines, key=lambda line: (line["urgency"], -(line["zone"] or 0), -line["blind"], line["node"], line["asset"]))


def _line(asset: Asset, birth: Birth, latest: dict[Series, Sample], standing: list[AlarmView], now_ns: int) -> dict[str, Any]:
    own = set(asset.points)
    alarms = [view for view in standing if view.node == asset.node and view.point in own and view.now.active]
    shown = [point for point in asset.points if not is_line(point)]
    zones = [
        sample.value for point in shown if point.endswith("/zone") and (sample := latest.get(Series(asset.node, point))) and sample.value
    ]
    worst = min(alarms, key=lambda view: URGENCY[view.definition.priority], default=None)
    return {
        "node": asset.node,
        "asset": asset.asset,
        "points": len(shown),
        "blind": sum(not seen(birth, point, latest.get(Series(asset.node, point)), now_ns) for point in shown),
        "alarms": len(alarms),
        "priority": str(worst.definition.priority) if worst else None,
        "title": (worst.definition.title or {"es": worst.definition.id}) if worst else None,
        "urgency": URGENCY[worst.definition.priority] if worst else len(URGENCY),
        "zone": max(zones, default=None),
    }


def seen(birth: Birth, point: str, sample: Sample | None, now_ns: int) -> bool:
    """Whether a point has a value that is not bad and not old."""
    if sample is None or sample.value is None or sample.quality.startswith("bad"):
        return False
    period = birth.points[point].period or 0
    return now_ns - sample.time_ns <= max(OLD_NS, int(3e9 * period))


def zones(services: Services, asset: Asset, latest: dict[Series, Sample], now_ns: int) -> Iterator[dict[str, Any]]:
    """Each ISO zone with the moment since which it is that one. Blocks. Raises StoreUnavailable."""
    birth = services.nodes.birth(asset.node)
    for point in asset.points:
        sample = latest.get(Series(asset.node, point))
        if birth is None or not point.endswith("/zone") or sample is None or sample.value is None or not 1 <= sample.value <= len(_LETTERS):
            continue
        since = crossed(services.store, Series(asset.node, point), sample.value, now_ns)
        yield {
            "point": point,
            "zone": _LETTERS[int(sample.value) - 1],
            "quality": sample.quality,
            "time": to_ms(sample.time_ns),
            "since": to_ms(since.since_ns) if since else None,
            "before": _LETTERS[int(since.before) - 1] if since and since.before and 1 <= since.before <= len(_LETTERS) else None,
            "description": birth.points[point].description,
        }


def find(services: Services, node: str, name: str) -> Asset | None:
    birth = services.nodes.birth(node)
    return next((asset for asset in assets({node: birth}) if asset.asset == name), None) if birth else None


def models(services: Services, asset: Asset) -> list[ModelUse]:
    """Those that write points of it, with what their cards say."""
    birth = services.nodes.birth(asset.node)
    own = set(asset.points)
    mine = [(use, [name for name in use.points if name in own]) for use in birth.models] if birth else []
    return [msgspec.structs.replace(use, points=points) for use, points in mine if points]


def detail(services: Services, asset: Asset, now_ns: int) -> dict[str, Any]:
    """What the page of one asset shows beside its points. Blocks. Raises StoreUnavailable."""
    own = set(asset.points)
    latest = services.store.latest([Series(asset.node, point) for point in asset.points if point.endswith("/zone")])
    return {
        "node": asset.node,
        "asset": asset.asset,
        "alarms": [view.to_json() for view in services.annunciator.standing() if view.node == asset.node and view.point in own],
        "zones": list(zones(services, asset, latest, now_ns)),
        "models": [msgspec.to_builtins(use) for use in models(services, asset)],
        "spectra": {name: sorted(kinds) for name, kinds in sorted(inputs(asset.points).items())},
    }
