"""Who crosses a line, and to which side. Places are fractions of the picture from its upper left corner. Pure."""

from typing import NamedTuple

MARGIN = 0.02  # of the picture: feet that are nearer to the line are on neither side
SWAY = 0.15  # of the person's height, the same: about a quarter of a metre, by which boxes tremble and somebody who stands sways
PICTURES = 2  # one after the other on a side, before somebody is on it
Spot = tuple[float, float]


class Line(NamedTuple):
    """From ``start`` to ``end``; left and right are those of somebody who looks at the picture along it in that direction."""

    start: Spot
    end: Spot

    def side(self, at: Spot, margin: float = MARGIN) -> int:
        """+1 right of the line, -1 left of it, 0 within ``margin`` of it or its prolongation."""
        (x1, y1), (x2, y2) = self
        length = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5
        away = ((x2 - x1) * (at[1] - y1) - (y2 - y1) * (at[0] - x1)) / length  # y points down: positive is to the right
        return 0 if abs(away) <= margin else (1 if away > 0 else -1)

    def is_between(self, first: Spot, second: Spot) -> bool:
        """Whether the way from ``first`` to ``second``, on either side, leads through the line and not around its ends."""
        way = Line(first, second)
        a, b = _turn(way, self.start), _turn(way, self.end)
        return a * b <= 0


def _turn(line: Line, at: Spot) -> float:
    (x1, y1), (x2, y2) = line
    return (x2 - x1) * (at[1] - y1) - (y2 - y1) * (at[0] - x1)


class Crosser:
    """One person and one line. Who stands on the line is on neither side, and has crossed once clearly on the other: for PICTURES pictures."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._side = 0  # where the person last was clearly on one side, and at which place
        self._at: Spot = (0.0, 0.0)
        self._newly = 0  # pictures on the other side so far, and the place of the first
        self._first: Spot = (0.0, 0.0)

    def update(self, at: Spot, height: float = 0.0) -> int:
        """+1 when the person has now crossed to the right, -1 to the left, else 0. ``height``: of the person, as a fraction of the picture."""
        side = self._line.side(at, max(MARGIN, SWAY * height))
        if side in (0, self._side):
            self._newly = 0
            self._at = at if side else self._at
            return 0
        if self._newly == 0:
            self._first = at
        self._newly += 1
        if self._newly < PICTURES and self._side != 0:
            return 0
        before, was = self._side, self._at
        self._side, self._at, self._newly = side, at, 0
        return side if before == -side and self._line.is_between(was, self._first) else 0
