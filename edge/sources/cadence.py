"""A fixed schedule without drift. Pure; the monotonic clock is passed in, in seconds."""


def next_slot(start: float, every: float, slot: int, now: float) -> tuple[int, int]:
    """The number of the slot after ``slot`` that is still to come, and how many passed meanwhile: slot k is at ``start + k * every``.

    What was missed is skipped and counted, never made up for in a bunch.
    """
    following = slot + 1
    if now > start + following * every:
        following = int((now - start) / every) + 1
    return following, following - slot - 1
