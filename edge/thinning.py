"""What an outbox gives up when it is over its limit: resolution, oldest first, and never a message or an alarm event."""

import msgspec

from contract.messages import ReadingFrame

LAST_LEVEL = 8  # visits after which a message is empty
EMPTY = b"[]"

_decoder = msgspec.json.Decoder(list[ReadingFrame])
_encoder = msgspec.json.Encoder()


def thin(frames: list[ReadingFrame], place: int, level: int) -> list[ReadingFrame]:
    """Half the frames; of a single one, all or nothing by the message's place, so that half the messages keep theirs at each level."""
    if level + 1 >= LAST_LEVEL:
        return []
    if len(frames) > 1:
        return frames[::2]
    return [] if place >> level & 1 else frames


def thinned_payload(payload: bytes, place: int, level: int) -> tuple[bytes, int]:
    """The frames of a data message after one more visit, and how many of them were dropped."""
    frames = _decoder.decode(payload)
    kept = thin(frames, place, level)
    return (_encoder.encode(kept), len(frames) - len(kept)) if len(kept) < len(frames) else (payload, 0)
