"""The gateway as one process: its rooms, its HTTP server, and the signals that stop both."""

import asyncio
import contextlib
import ctypes
import gc
import signal
import socket
import sys
from collections.abc import Callable, Iterator

import pyarrow
from fastapi import FastAPI

from gateway.assembly import Gateway
from gateway.config import GatewayConfig
from gateway.opening import CannotStart

# A transaction is a dozen statements, and after each its thread asks for the interpreter again: with the usual 5 ms beside a busy event loop it
# would hold the database for seconds.
SWITCH_SECONDS = 0.0005
M_ARENA_MAX = -8  # malloc.h
COLLECT = (20_000, 20, 20)  # what waits for its commit is no garbage: it need not be looked through every few dozen messages


def _keep_memory_small() -> None:
    """By default glibc gives eight heaps to each core, and Arrow keeps what it once had: over hours a gateway would hold twice what it uses."""
    with contextlib.suppress(OSError, AttributeError):  # another libc has no such setting, and no such heaps
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)
    pyarrow.set_memory_pool(pyarrow.system_memory_pool())


def listen(config: GatewayConfig) -> socket.socket:
    """The HTTP socket, bound before anything else starts. Raises CannotStart."""
    listener = socket.socket(socket.AF_INET6 if ":" in config.http.host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.http.host, config.http.port))
    except OSError as error:
        listener.close()
        raise CannotStart(f"http {config.http.host}:{config.http.port}: {error.strerror}; choose another http.port") from error
    return listener


async def _serve_http(app: FastAPI, listener: socket.socket, stop: asyncio.Event) -> None:
    import uvicorn

    from gateway.api.stream import end_streams

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield  # the gateway has its own handlers, and they stop everything together

    settings = uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=1, server_header=False)
    server = Server(settings)

    async def stopper() -> None:
        await stop.wait()
        end_streams(app)
        server.should_exit = True

    watcher = asyncio.create_task(stopper(), name="http-stopper")
    try:
        await server.serve(sockets=[listener])
    finally:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
    if not stop.is_set():
        raise CannotStart("the HTTP server ended by itself; its log says why")


async def run(config: GatewayConfig, *, stopping: Callable[[], None] = lambda: None) -> None:
    """Until SIGTERM or SIGINT, when ``stopping`` is called first. Raises CannotStart, or the failure of a room."""
    from gateway.api.app import create_app

    _keep_memory_small()
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.freeze()  # what is there by now stays for good
    gc.set_threshold(*COLLECT)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with contextlib.closing(listen(config)) as listener:
        async with Gateway(config) as gateway, asyncio.TaskGroup() as group:
            app = create_app(gateway.services)
            http = group.create_task(_serve_http(app, listener, stop), name="gateway-http")
            failed = group.create_task(gateway.wait(), name="gateway-rooms")
            await stop.wait()
            stopping()
            await http
            failed.cancel()
