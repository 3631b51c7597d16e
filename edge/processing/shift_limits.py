"""How a limit for 8 h a day becomes one for another shift or altitude. Pure; each rule names its source.

A reduced limit is compared with the average over the shift. TWA8 divides the dose by 8 h however long the shift is and is compared with the
limit as it stands. The two are never combined: that would reduce twice.
"""


def brief_scala(shift_hours: float, week_hours: float) -> float:
    """Factor for a limit, Brief and Scala (1975): the smaller of (8/h)·((24−h)/16) by day and (40/h)·((168−h)/128) by week; at most 1.

    A roster of 14 days at 12 h and 7 days off has 56 h a week.
    """
    _check(shift_hours, week_hours)
    daily = 8 / shift_hours * (24 - shift_hours) / 16
    weekly = 40 / week_hours * (168 - week_hours) / 128
    return min(1.0, daily, weekly)


def ds594_art62(week_hours: float, ordinary_week: float = 48) -> float:
    """Factor for a limit, Chile D.S. 594 art. 62: (48/h)·((168−h)/120) above 48 h a week; at most 1.

    120 is what a week of 168 h leaves beside the ordinary 48: with another ``ordinary_week`` both change.
    """
    _check(8, week_hours)
    _check(8, ordinary_week)
    return min(1.0, ordinary_week / week_hours * (168 - week_hours) / (168 - ordinary_week))


def ds594_art63(pressure_kpa: float, altitude_m: float) -> float:
    """Factor for a limit in mg/m3, Chile D.S. 594 art. 63: P/760 mmHg above 1,000 m; at most 1. A limit in ppm is never rescaled."""
    return 1.0 if altitude_m <= 1000 else min(1.0, pressure_kpa / 101.325)


def _check(shift_hours: float, week_hours: float) -> None:
    if not 0 < shift_hours < 24:
        raise ValueError(f"a shift of {shift_hours} h: write more than 0 and less than 24")
    if not 0 < week_hours < 168:
        raise ValueError(f"a week of {week_hours} h: write more than 0 and less than 168")
