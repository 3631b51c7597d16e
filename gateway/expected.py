"""Points that a node has declared and that do not come, while the node itself tells: a blind spot that no silence shows.

A frame costs one note, whatever its size: frames of a node mostly carry the same points, so what is kept is when each set of points came last.
"""

from collections.abc import Mapping

from contract.messages import PointDeclaration

SECOND = 1_000_000_000
PERIODS = 3  # of its own that a point may miss
PATIENCE = 60.0  # seconds that it may miss at least
SETS = 200  # of one node; beyond it they are put together
Points = tuple[str, ...]


def patience_ns(period: float) -> int:
    """How long a point with this period (seconds) may be away."""
    return round(max(PERIODS * period, PATIENCE) * SECOND)


class Expected:
    """Used on the event loop alone. Times are Unix ns by the gateway's clock."""

    def __init__(self, now_ns: int) -> None:
        self._began_ns = now_ns
        self._heard: dict[str, dict[Points, int]] = {}
        self._since: dict[str, int] = {}

    def begin(self, node: str, now_ns: int) -> None:
        """The node was born, or tells again: from now on its points are waited for."""
        self._since[node] = now_ns
        self._heard.pop(node, None)

    def begin_all(self, now_ns: int) -> None:
        """The gateway hears again, or its clock was set."""
        self._began_ns = now_ns
        self._since.clear()
        self._heard.clear()

    def forget(self, node: str) -> None:
        self._heard.pop(node, None)
        self._since.pop(node, None)

    def heard(self, node: str, points: Points, at_ns: int) -> None:
        """Something was said about these points; a reading that could not be taken is said, too."""
        sets = self._heard.setdefault(node, {})
        if at_ns > sets.get(points, 0):
            if len(sets) >= SETS and points not in sets:
                self._together(sets)
            sets[points] = at_ns

    @staticmethod
    def _together(sets: dict[Points, int]) -> None:
        newest: dict[Points, int] = {}
        for points, at_ns in sets.items():
            for point in points:
                newest[(point,)] = max(at_ns, newest.get((point,), 0))
        sets.clear()
        sets.update(newest)

    def missing(self, node: str, declared: Mapping[str, PointDeclaration], now_ns: int) -> list[str] | None:
        """The points with a period that are away for too long, sorted; None while it is too early to say of some of them."""
        since_ns = self._since.get(node, self._began_ns)
        newest: dict[str, int] = {}
        for points, at_ns in self._heard.get(node, {}).items():
            for point in points:
                newest[point] = max(at_ns, newest.get(point, 0))
        away, early = [], False
        for name, declaration in declared.items():
            if not declaration.period:
                continue
            last_ns = newest.get(name)
            if now_ns - max(since_ns, last_ns or 0) > patience_ns(declaration.period):
                away.append(name)
            elif last_ns is None:
                early = True
        return None if early and not away else sorted(away)
