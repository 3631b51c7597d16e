"""What a source yields: readings, and the raw material that stays on the device."""

from typing import TYPE_CHECKING, Any

import msgspec

from contract.values import Reading

if TYPE_CHECKING:
    import numpy as np


class Waveform(msgspec.Struct, frozen=True):
    """``samples`` (float32, shape (n,), in ``unit``) of one point, from ``start_ns`` (Unix ns, UTC) at ``rate_hz``.

    ``dropped`` counts the samples known to be missing before this block.
    """

    point: str
    start_ns: int
    rate_hz: float
    samples: "np.ndarray[Any, np.dtype[np.float32]]"
    unit: str = "g"
    dropped: int = 0


class Frame(msgspec.Struct, frozen=True):
    """One picture of one camera: ``image`` is uint8, shape (height, width, 3), BGR."""

    camera: str
    time_ns: int
    image: "np.ndarray[Any, np.dtype[np.uint8]]"


Item = Reading | Waveform | Frame
