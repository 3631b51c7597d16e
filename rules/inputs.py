"""The inputs of an alarm over several points: the last value of each, and what the expression makes of them. Pure."""

from contract.alarms import Condition
from contract.values import GOOD, Quality, Reading, worst
from rules.conditions import usable
from rules.expressions import Expression
from rules.moment import SECOND, Instant

MAX_AGE = 60.0  # s, where the condition says nothing


class ExpressionInputs:
    """Unknown as long as one point is: never read, bad, or older than ``max_age``."""

    def __init__(self, condition: Condition) -> None:
        self._expression = Expression(condition.expression)
        self._names = {point: name for name, point in condition.points.items() if name in self._expression.names}
        self._max_age = (MAX_AGE if condition.max_age is None else condition.max_age) * SECOND
        self._values: dict[str, float] = {}
        self._told: dict[str, int] = {}  # steady ns, by name
        self._quality: dict[str, Quality] = {}

    def update(self, reading: Reading, now: Instant) -> None:
        name = self._names.get(reading.point)
        if name is None:
            return
        value = usable(reading)
        self._quality[name] = reading.quality
        if value is None:
            self._values.pop(name, None)
        else:
            self._values[name], self._told[name] = value, now.steady_ns

    def result(self, now: Instant) -> float | None:
        """What the expression gives; None while an input is unknown or it has no result."""
        for name in self._expression.names:
            if name not in self._values or now.steady_ns - self._told[name] > self._max_age:
                return None
        return self._expression.evaluate(self._values)

    @property
    def quality(self) -> Quality:
        """The worst of the inputs."""
        quality = GOOD
        for one in self._quality.values():
            quality = worst(quality, one)
        return quality
