"""The store's upkeep in the background: rollups are made while readings go on coming in."""

import asyncio
import logging
import time

from gateway.store import Retention, StoreUnavailable, TimeSeriesStore

log = logging.getLogger(__name__)

LOOK_EVERY = 10.0  # seconds
BETWEEN_STEPS = 0.2  # seconds at least, while there is more to do; as long as the step took: the rest of the machine has its turn


async def keep_up(store: TimeSeriesStore, retention: Retention) -> None:
    """Until cancelled. A store that is away is asked again."""
    while True:
        more, begun = False, time.monotonic()
        try:
            more = await asyncio.to_thread(store.maintain, time.time_ns(), retention)
        except StoreUnavailable as error:
            log.warning("the store's upkeep waits: %s", error)
        await asyncio.sleep(max(BETWEEN_STEPS, time.monotonic() - begun) if more else LOOK_EVERY)
