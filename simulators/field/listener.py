"""A TCP server that ends with its block: every connection is a task that is cancelled and awaited."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Self

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
GOODBYE = 1.0  # seconds a client gets to read the rest of an answer


class Listener:
    """Listens on ``host``:``port`` (0: a free one, then in ``port``) and runs ``serve`` for each connection."""

    def __init__(self, serve: Serve, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port
        self._serve = serve
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def connections(self) -> int:
        return len(self._tasks)

    async def __aenter__(self) -> Self:
        """Raises OSError where the port is taken."""
        self._server = await asyncio.start_server(self._accept, self.host, self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        await self.drop_connections()

    async def drop_connections(self) -> None:
        """Cuts every connection; the port keeps listening. For tests: a cable pulled, a device restarted."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio runs this in a task
        self._tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._serve(reader, writer)
            writer.close()
            with contextlib.suppress(ConnectionError, TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), GOODBYE)
        except asyncio.CancelledError:
            pass  # dropped on purpose; a cancelled task here would be reported by asyncio's streams as a failure
        finally:
            writer.transport.abort()
            self._tasks.discard(task)
