"""The range of a read and the slots of a chart: the same arithmetic and the same refusals in every store."""

MAX_BUCKETS = 1_000
MAX_SAMPLES = 1_000_000


def check_range(start_ns: int, end_ns: int) -> None:
    """Raises ValueError for a range that ends before it starts; one that is empty (start = end) is allowed and holds nothing."""
    if end_ns < start_ns:
        raise ValueError(f"range {start_ns} to {end_ns}: the end lies before the start; give Unix nanoseconds with start_ns <= end_ns")


def check_limit(limit: int) -> None:
    """Raises ValueError for a limit that is not 1 to 1,000,000."""
    if not 1 <= limit <= MAX_SAMPLES:
        raise ValueError(f"limit {limit}: write 1 to {MAX_SAMPLES}")


def slot_width(start_ns: int, end_ns: int, count: int) -> int:
    """The width in ns of each of at most ``count`` equal slots that cover the range, the first beginning at ``start_ns``.

    Slot ``i`` is ``[start + i * width, start + (i + 1) * width)``; the last may reach beyond the end. At least 1 ns, for a range shorter than
    ``count`` ns. Raises ValueError for a count that is not 1 to 1,000 and for a reversed range.
    """
    check_range(start_ns, end_ns)
    if not 1 <= count <= MAX_BUCKETS:
        raise ValueError(f"count {count}: write 1 to {MAX_BUCKETS} buckets")
    return max(1, -((start_ns - end_ns) // count))
