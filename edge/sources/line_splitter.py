"""Lines out of a stream of bytes that may begin anywhere, stop anywhere and hold anything. Pure; the monotonic clock is passed in."""

MAX_LINE = 1024  # bytes, if the settings do not say otherwise
GAP = 1.0  # seconds; a line whose bytes come further apart than this was broken off in its middle
_EDGES = bytes(range(0x21)) + b"\x7f"  # blanks and control characters: an adapter that is plugged in often begins with NULs


class LineSplitter:
    """Cuts lines at carriage return, line feed or both, and at each of ``ends``. Holds ``max_line`` bytes and never more.

    ``whole`` says that a line without a checksum must be whole to be believed: the first one, into which the port may have been opened, and
    one that paused for `GAP` seconds are then dropped up to their end. ``dropped`` counts these and the lines that were too long.
    """

    def __init__(self, *, max_line: int = MAX_LINE, ends: bytes = b"", whole: bool = True) -> None:
        self._max = max_line
        self._table = bytes.maketrans(ends + b"\r", b"\n" * (len(ends) + 1))
        self._whole = whole
        self._partial = bytearray()
        self._broken = whole
        self._fed_at: float | None = None
        self.dropped = 0

    def feed(self, data: bytes, now: float) -> list[bytes]:
        """The lines that ``data`` completes, without their ends and without blanks around them; empty ones are left out."""
        if self._whole and self._partial and self._fed_at is not None and now - self._fed_at > GAP:
            self._broken = True
        self._fed_at = now
        lines = []
        *ended, rest = data.translate(self._table).split(b"\n")
        for part in ended:
            self._append(part)
            line = bytes(self._partial).strip(_EDGES)
            if self._broken:
                self.dropped += 1
            elif line:
                lines.append(line)
            self._partial.clear()
            self._broken = False
        self._append(rest)
        return lines

    def _append(self, part: bytes) -> None:
        if not self._broken and len(self._partial) + len(part) <= self._max:
            self._partial += part
        elif part:
            self._partial.clear()
            self._broken = True
