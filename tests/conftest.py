"""How tests run here: coroutine tests on a loop of their own, and nothing may be left over: no task, no thread, no socket."""

import asyncio
import inspect
import os
import threading
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

GRACE = 2.0  # seconds a thread or socket may take to go after the test has returned


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs `async def` tests, and fails one that leaves a task behind."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    with asyncio.Runner() as runner:
        runner.run(_run(pyfuncitem.obj(**arguments)))
    return True


async def _run(test: Coroutine[Any, Any, None]) -> None:
    await test
    me = asyncio.current_task()
    await asyncio.sleep(0)
    left = [task for task in asyncio.all_tasks() if task is not me and not task.done()]
    assert not left, f"tasks left behind: {[task.get_name() + ' ' + repr(task.get_coro()) for task in left]}"


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """Fails a test that leaves a thread or a socket: what leaks in a test leaks on a node that nobody visits for months."""
    threads, sockets = set(threading.enumerate()), _sockets()
    yield
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline and (_new_threads(threads) or _sockets() - sockets):
        time.sleep(0.02)
    assert not _new_threads(threads), f"threads left behind: {_new_threads(threads)}"
    assert not _sockets() - sockets, f"sockets left behind: {_sockets() - sockets}"


def _new_threads(before: set[threading.Thread]) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread not in before and thread.is_alive()]


def _sockets() -> set[str]:
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(descriptor)  # noqa: PTH115 - not a path: socket:[inode]
        except OSError:
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found
