"""One thread that does what a coroutine awaits, and that can be left behind: a call that hangs must not keep the node from stopping."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

_T = TypeVar("_T")
_Call = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]


class DaemonThread:
    """Calls run one after the other. Unlike those of an executor, the thread is not waited for when the interpreter ends."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._name = name
        self._begun = False

    def call(self, function: Callable[[], _T]) -> "asyncio.Future[_T]":
        """The result or the exception of ``function``; to be used within a running loop."""
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_T] = loop.create_future()
        self._calls.put((loop, future, function))
        return future

    def end(self) -> None:
        """The thread ends after the calls that it has; nobody waits for it."""
        self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            loop, future, function = call
            if future.cancelled():
                continue
            try:
                answer: tuple[Any, BaseException | None] = function(), None
            except BaseException as error:  # the caller gets it, whatever it is
                answer = None, error
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_settle, future, *answer)


def _settle(future: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
