"""One processor at work: what waits for it, and how it fares. What waits is bounded, and the newest picture or waveform wins."""

import math
from collections import deque

from edge.config import ConfiguredProcessor
from edge.health import ModuleStatus, module_point
from edge.items import Frame, Item, Waveform
from edge.progress import Mark

DEPTH_READINGS = 100  # that may wait for one processor, by point
DEPTH_WAVEFORMS = 4  # a few, so that a processor that averages blocks rarely sees a gap
DEPTH_FRAMES = 1
FIRST_BACKOFF = 0.5  # s between attempts to start a processor
CALL_LIMIT = 300.0  # s after which a call is taken to hang for ever


class Bench:
    """Two threads share it, so the worker's lock is held for all but the processor, the status and the mark."""

    def __init__(self, entry: ConfiguredProcessor, node: str) -> None:
        self.name = entry.settings.name
        self.processor = entry.processor
        self.status = ModuleStatus(module_point(node, "processor", self.name), "processor_fault")
        self.waiting: deque[Item] = deque()
        self.started = False
        self.start_at = 0.0  # steady s
        self.backoff = FIRST_BACKOFF
        self.complaint = ""
        self.well = False  # and that has been told: a result without readings is then no news
        self.remembered_at = -math.inf  # steady s
        self.stalled = False  # its call has not come back: it is not called again before
        self.mark = Mark(f"processor {self.name}", CALL_LIMIT)

    def offer(self, item: Item) -> int:
        """Queues the item; returns how many were shed for it (0 or 1)."""
        key, depth = subject(item), _depth(item)
        same = [waiting for waiting in self.waiting if type(waiting) is type(item) and subject(waiting) == key]
        self.waiting.append(item)
        if len(same) < depth:
            return 0
        for index, waiting in enumerate(self.waiting):
            if waiting is same[0]:
                del self.waiting[index]
                break
        return 1


def subject(item: Item) -> str:
    """What an item is of: its point or its camera."""
    return item.camera if isinstance(item, Frame) else item.point


def _depth(item: Item) -> int:
    return DEPTH_WAVEFORMS if isinstance(item, Waveform) else DEPTH_FRAMES if isinstance(item, Frame) else DEPTH_READINGS
