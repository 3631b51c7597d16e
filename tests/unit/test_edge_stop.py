"""A node that is told to stop while the broker answers: the word must not get lost between the two."""

import asyncio
import logging
from pathlib import Path

import pytest

from edge.agent import Agent
from edge.config import load
from tests.rig.edge_node import register, write_config
from tests.rig.servers import Mosquitto

# s from a line of the log to the stop: about when the first alarm's PUBACK comes; in the middle of connecting and of the birth.
DELAYS = {
    "connected to": (0.0, 0.0005, 0.001, 0.002, 0.003, 0.005),
    "starting:": (0.002, 0.004, 0.006, 0.008, 0.010, 0.012, 0.015, 0.020),
}


class After(logging.Handler):
    """Sets ``stop`` so many seconds after the node said ``words``."""

    def __init__(self, words: str, stop: asyncio.Event, delay: float) -> None:
        super().__init__()
        self._words, self._stop, self._delay = words, stop, delay

    def emit(self, record: logging.LogRecord) -> None:
        if self._words in record.getMessage():
            asyncio.get_running_loop().call_later(self._delay, self._stop.set)


@pytest.mark.parametrize("words", DELAYS)
async def test_a_stop_in_the_middle_of_a_publish_is_heeded(words: str, tmp_path: Path) -> None:
    register()
    log, delays = logging.getLogger("muki.edge"), DELAYS[words]
    level = log.level
    log.setLevel(logging.INFO)
    try:
        with Mosquitto(tmp_path / "broker") as broker:
            for number in range(30):
                stop = asyncio.Event()
                log.addHandler(handler := After(words, stop, delays[number % len(delays)]))
                try:
                    async with asyncio.timeout(30):
                        await Agent(load(write_config(tmp_path / f"node-{number}", broker.port))).run(stop)
                except TimeoutError:
                    pytest.fail(f"stop {number} was never heeded")
                finally:
                    log.removeHandler(handler)
    finally:
        log.setLevel(level)
