"""The J1939 transport protocol (SAE J1939-21) as a passive listener: messages of 9 to 1785 bytes put together again. Pure.

Two ways exist. BAM: announced to all, packets follow in order, a lost one is lost. RTS/CTS: between two controllers, and the receiver asks
again for what it missed. We only listen: we send nothing, and what the receiver got but we did not is lost for us.
"""

from typing import NamedTuple

from edge.sources.can_j1939 import BROADCAST

TP_CONTROL = 60416  # TP.CM
TP_DATA = 60160  # TP.DT
RTS, CTS, END, BAM, ABORT = 16, 17, 19, 32, 255  # first byte of TP.CM
BAM_TIMEOUT_NS = 750_000_000  # T1: between two packets
RTS_TIMEOUT_NS = 1_250_000_000  # T2 and T3: until the other side goes on
MAX_SESSIONS = 64  # a bus in order has a handful; a babbling one shall not fill the memory
MAX_SIZE = 1785  # 255 packets of 7 bytes


class Session:
    """One message on its way: which packets of it are there."""

    def __init__(self, pgn: int, size: int, *, broadcast: bool, now_ns: int) -> None:
        self.pgn = pgn
        self.size = size
        self.broadcast = broadcast
        self.packets = -(-size // 7)
        self.parts: dict[int, bytes] = {}
        self.last_ns = now_ns

    def expired(self, now_ns: int) -> bool:
        return now_ns - self.last_ns > (BAM_TIMEOUT_NS if self.broadcast else RTS_TIMEOUT_NS)


class LongMessage(NamedTuple):
    """A message put together: its PGN, who sent it, and its bytes."""

    pgn: int
    source: int
    data: bytes


class Reassembly:
    """Sessions by (source, destination): senders may interleave, but each has one message at a time to each destination.

    ``finished`` counts messages completed; ``lost`` those given up: a packet missing, a pause too long, aborted, or begun anew;
    ``refused`` announcements that contradict themselves. The clock (Unix ns) is passed in.
    """

    def __init__(self) -> None:
        self._sessions: dict[tuple[int, int], Session] = {}
        self.finished = 0
        self.lost = 0
        self.refused = 0

    def __len__(self) -> int:
        return len(self._sessions)

    def control(self, source: int, destination: int, data: bytes, now_ns: int) -> None:
        """A TP.CM frame: 8 bytes, the PGN in the last three."""
        if len(data) < 8:
            self.refused += 1
            return
        kind = data[0]
        if kind in (RTS, BAM):
            self._begin(source, destination, data, now_ns)
        elif kind == CTS:  # comes from the receiver: the session is that of the other direction
            session = self._sessions.get((destination, source))
            if session is not None and not session.broadcast:
                session.last_ns = now_ns
        elif kind == END:
            self._give_up((destination, source))
        elif kind == ABORT:
            self._give_up((destination, source))
            self._give_up((source, destination))

    def data(self, source: int, destination: int, data: bytes, now_ns: int) -> LongMessage | None:
        """A TP.DT frame: the number of the packet and 7 bytes. The message that it completes, or None."""
        key = (source, destination)
        session = self._sessions.get(key)
        if session is None or len(data) < 8:
            return None  # begun before we listened, or given up
        number = data[0]
        late = session.expired(now_ns)
        # Nobody repeats a packet of a BAM: one out of turn means that another is missing.
        out_of_turn = number != len(session.parts) + 1 if session.broadcast else not 1 <= number <= session.packets
        if late or out_of_turn:
            self._give_up(key)
            return None
        session.parts[number] = bytes(data[1:8])
        session.last_ns = now_ns
        if len(session.parts) < session.packets:
            return None
        del self._sessions[key]
        self.finished += 1
        whole = b"".join(session.parts[index] for index in range(1, session.packets + 1))
        return LongMessage(session.pgn, source, whole[: session.size])

    def expire(self, now_ns: int) -> None:
        """Gives up what has waited too long."""
        for key in [key for key, session in self._sessions.items() if session.expired(now_ns)]:
            self._give_up(key)

    def _begin(self, source: int, destination: int, data: bytes, now_ns: int) -> None:
        size, packets, broadcast = data[1] | data[2] << 8, data[3], data[0] == BAM
        if broadcast != (destination == BROADCAST) or not 9 <= size <= MAX_SIZE or packets != -(-size // 7):
            self.refused += 1
            return
        self._give_up((source, destination))
        if len(self._sessions) >= MAX_SESSIONS:
            self._give_up(min(self._sessions, key=lambda key: self._sessions[key].last_ns))
        pgn = (data[5] | data[6] << 8 | data[7] << 16) & 0x3FFFF
        self._sessions[source, destination] = Session(pgn, size, broadcast=broadcast, now_ns=now_ns)

    def _give_up(self, key: tuple[int, int]) -> None:
        if self._sessions.pop(key, None) is not None:
            self.lost += 1
