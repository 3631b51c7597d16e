"""When an output tests itself. Pure but for the device's time zone; the wall clock is passed in, in Unix seconds."""

import time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
DAYS: tuple[Day, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MOST = 3600.0  # s: a clock that jumps over the hour of a test has not reached it


def _minutes(value: Any) -> Any:
    """YAML 1.1 reads an unquoted 13:30 as 13·60 + 30."""
    return f"{value // 60:02}:{value % 60:02}" if isinstance(value, int) and 0 <= value < 1440 else value


class SelfTest(BaseModel):
    """The output is driven for ``seconds`` at ``at`` on each of ``days``, by the device's own time zone; not while an alarm stands."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: Annotated[str, BeforeValidator(_minutes)] = Field(
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", description="Hour and minute, as 07:30"
    )
    days: tuple[Day, ...] = Field(DAYS, min_length=1)
    seconds: float = Field(1.0, ge=0.1, le=60)

    def due(self, last: float, now: float) -> bool:
        """Whether the time of a test lies after ``last`` and not after ``now``."""
        if not 0 < now - last <= MOST:
            return False
        local = time.localtime(now)
        if DAYS[local.tm_wday] not in self.days:
            return False
        hour, minute = (int(part) for part in self.at.split(":"))
        at = time.mktime((local.tm_year, local.tm_mon, local.tm_mday, hour, minute, 0, 0, 0, -1))
        return last < at <= now
