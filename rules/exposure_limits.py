"""Exposure limits that ship with Muki, each with its source and how certain it is. A site checks them against the law in force first.

Peru: D.S. 024-2016-EM (RSSOM), Anexo 15, mod. D.S. 023-2017-EM. The further amendment D.S. 034-2023-EM was not read: whether it changed the
annex is unknown. The TLVs of ACGIH are licensed and are not here: a site writes its own as ``twa``, ``stel`` and ``ceiling``.
"""

from types import MappingProxyType
from typing import Final, Literal, NamedTuple

Certainty = Literal["high", "medium", "low"]


class ExposureLimits(NamedTuple):
    """Limits of one substance in ``unit``: 8 h time-weighted average, 15 min average, and what is immediately dangerous (NIOSH IDLH)."""

    unit: str
    twa: float
    stel: float | None
    idlh: float | None
    source: str
    certainty: Certainty


VERSION = "0.1"
_ANEXO_15 = "D.S. 024-2016-EM, Anexo 15; check D.S. 034-2023-EM"

PE_RSSOM: Final = MappingProxyType(
    {
        "CO": ExposureLimits("ppm", 25, None, 1200, f"{_ANEXO_15}; IDLH NIOSH", "high"),
        "CO2": ExposureLimits("ppm", 5000, 30000, 40000, f"{_ANEXO_15}; IDLH NIOSH", "high"),
        "NO2": ExposureLimits("ppm", 3, 5, 13, f"{_ANEXO_15}; IDLH NIOSH", "high"),
        "NO": ExposureLimits("ppm", 25, None, 100, f"{_ANEXO_15}; IDLH NIOSH", "high"),
        "H2S": ExposureLimits("ppm", 10, 15, 100, f"{_ANEXO_15}; IDLH NIOSH", "medium"),
        "SO2": ExposureLimits("ppm", 2, 5, 100, f"{_ANEXO_15}; IDLH NIOSH", "medium"),
        "respirable-dust": ExposureLimits("mg/m3", 3, None, None, "D.S. 024-2016-EM, art. 111", "high"),
        "inhalable-dust": ExposureLimits("mg/m3", 10, None, None, _ANEXO_15, "high"),
        "respirable-quartz": ExposureLimits("mg/m3", 0.05, None, None, _ANEXO_15, "medium"),
    }
)


class Breathable(NamedTuple):
    """Between which values a place may be entered, in ``unit``; None where there is no bound."""

    unit: str
    least: float | None
    most: float | None
    source: str
    certainty: Certainty


# For an entry: the long-term limit also for the moment, so that nobody walks into what a shift may not bear.
PE_ENTRY: Final = MappingProxyType(
    {
        "O2": Breathable("%vol", 19.5, 22.5, "D.S. 024-2016-EM, art. 246 b (19.5); DS 055-2010-EM, Anexo 4 (22.5)", "high"),
        "CH4": Breathable("%vol", None, 0.5, "30 CFR 57.22232: ventilate from 0.5 %", "high"),
        **{
            name: Breathable(limits.unit, None, limits.twa, limits.source, limits.certainty)
            for name, limits in PE_RSSOM.items()
            if limits.unit == "ppm"
        },
    }
)
TABLES: Final = MappingProxyType({"pe-rssom": PE_RSSOM})


def limits_of(table: str, substance: str) -> ExposureLimits:
    """The limits of a substance. Raises ValueError naming the tables, or the substances of the table."""
    if table not in TABLES:
        raise ValueError(f"limits {table!r}: write one of {', '.join(TABLES)}")
    found = TABLES[table].get(substance)
    if found is None:
        raise ValueError(
            f"{table} has no limit for {substance!r}: write one of {', '.join(TABLES[table])}, or twa, stel and ceiling yourself"
        )
    return found
