"""Who crosses a line, and to which side. Places are fractions of the picture from its upper left corner. Pure."""

from typing import NamedTuple

MARGIN = 0.02  # of the picture: feet that are nearer to the line are on neither side, so that a box that trembles hardly counts
Spot = tuple[float, float]


class Line(NamedTuple):
    """From ``start`` to ``end``; left and right are those of somebody who looks at the picture along it in that direction."""

    start: Spot
    end: Spot

    def side(self, at: Spot) -> int:
        """+1 right of the line, -1 left of it, 0 within MARGIN of it or its prolongation."""
        (x1, y1), (x2, y2) = self
        length = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5
        away = ((x2 - x1) * (at[1] - y1) - (y2 - y1) * (at[0] - x1)) / length  # y points down: positive is to the right
        return 0 if abs(away) <= MARGIN else (1 if away > 0 else -1)

    def is_between(self, first: Spot, second: Spot) -> bool:
        """Whether the way from ``first`` to ``second``, on either side, leads through the line and not around its ends."""
        way = Line(first, second)
        a, b = _turn(way, self.start), _turn(way, self.end)
        return a * b <= 0


def _turn(line: Line, at: Spot) -> float:
    (x1, y1), (x2, y2) = line
    return (x2 - x1) * (at[1] - y1) - (y2 - y1) * (at[0] - x1)


class Crosser:
    """One person and one line."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._side = 0  # where the person last was clearly on one side, and at which place
        self._at: Spot = (0.0, 0.0)

    def update(self, at: Spot) -> int:
        """+1 when the person has now crossed to the right, -1 to the left, else 0."""
        side = self._line.side(at)
        if side == 0:
            return 0
        before, was = self._side, self._at
        self._side, self._at = side, at
        return side if before == -side and self._line.is_between(was, at) else 0
