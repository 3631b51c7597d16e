"""What becomes of many readings in one slot of time, the same in every store."""

from collections.abc import Iterable
from math import isfinite

from contract.values import Level
from gateway.store import Bucket, Sample

_LEVELS = (Level.GOOD, Level.UNCERTAIN, Level.BAD)


def rank(quality: str) -> int:
    """0 good, 1 uncertain, 2 bad."""
    return 2 if quality.startswith("bad") else 0 if quality == "good" else 1


def bucket(  # noqa: PLR0917 - a row of a query
    start_ns: int, low: float, high: float, total: float, samples: int, last: float, worst: int
) -> Bucket:
    """A bucket of a summary; ``worst`` is a `rank`. The mean lies between the extremes, whatever rounding or a sum beyond all floats makes of it."""
    mean = total / samples
    mean = min(max(mean, low), high) if isfinite(mean) else low / 2 + high / 2
    return Bucket(start_ns, float(low), float(high), float(mean), int(samples), float(last), _LEVELS[worst])


def drawn(sample: Sample) -> bool:
    """Whether a chart draws it: it has a value, and that is not bad."""
    return sample.value is not None and not sample.quality.startswith("bad")


def summarised(samples: Iterable[Sample], start_ns: int, width_ns: int) -> list[Bucket]:
    """The buckets of samples in the order of time; slots without a value are left out."""
    slots: dict[int, list[Sample]] = {}
    for sample in samples:
        slots.setdefault((sample.time_ns - start_ns) // width_ns, []).append(sample)
    found = []
    for slot, members in slots.items():
        values = [sample.value for sample in members if drawn(sample) and sample.value is not None]
        if values:
            worst = max(rank(sample.quality) for sample in members)
            found.append(bucket(start_ns + slot * width_ns, min(values), max(values), sum(values), len(values), values[-1], worst))
    return found
