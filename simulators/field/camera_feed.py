"""An IP camera: MJPEG over HTTP (`/stream`), one picture (`/snapshot`), and the ground truth of the latest picture (`/truth`)."""

import asyncio
import json
import time
from typing import Self

from simulators.field.camera_scene import FPS, Lens, Scene, Truth, jpeg
from simulators.field.listener import Listener

BOUNDARY = "frame"
REQUEST_TIMEOUT = 5.0  # seconds a client has to say what it wants
BACKLOG = 1 << 20  # bytes that a client may lag before pictures are left out for it


class CameraFeed(Listener):
    """Draws and encodes each picture once for all clients, and none while nobody watches. ``lens`` may be set at any time."""

    def __init__(self, *, seed: int = 1, fps: float = FPS, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(self._converse, host=host, port=port)
        self.lens = Lens.CLEAR
        self._scene = Scene(seed)
        self._fps = fps
        self._watchers: set[asyncio.StreamWriter] = set()
        self._frame = 0
        self._drawn = -1
        self._drawing = asyncio.Lock()
        self._start = 0.0
        self._truth: dict[str, object] = {}
        self._jpeg = b""
        self._pacer: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.address}/stream"

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._start = time.monotonic()
        self._pacer = asyncio.create_task(self._pace(), name="camera pictures")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._pacer is not None:
            self._pacer.cancel()
            await asyncio.gather(self._pacer, return_exceptions=True)
        await super().__aexit__()

    async def _pace(self) -> None:
        while True:
            self._frame += 1
            await asyncio.sleep(max(0.0, self._start + self._frame / self._fps - time.monotonic()))
            if not self._watchers:
                continue
            await self._draw()
            head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(self._jpeg)}\r\nX-Frame: {self._frame}\r\n\r\n"
            part = head.encode() + self._jpeg + b"\r\n"
            for watcher in self._watchers:
                if not watcher.is_closing() and watcher.transport.get_write_buffer_size() < BACKLOG:
                    watcher.write(part)

    async def _draw(self) -> None:
        """The picture of now; drawn in a thread, so that the other devices keep their pace on a small computer."""
        async with self._drawing:
            if self._drawn == self._frame:
                return
            frame, lens = self._frame, self.lens
            self._jpeg, truth = await asyncio.to_thread(self._render, frame, lens)
            self._truth = {**truth.as_json(), "time_ns": time.time_ns()}
            self._drawn = frame

    def _render(self, frame: int, lens: Lens) -> tuple[bytes, Truth]:
        image, truth = self._scene.picture(frame, frame / self._fps, lens)
        return jpeg(image), truth

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                request = await reader.readuntil(b"\r\n\r\n")
        except (TimeoutError, asyncio.LimitOverrunError):
            return
        parts = request.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        method, path = (parts[0], parts[1].partition("?")[0]) if len(parts) == 3 else ("", "")
        if method != "GET":
            await _reply(writer, "405 Method Not Allowed", "text/plain", b"this camera answers GET only\n")
        elif path == "/stream":
            await self._stream(reader, writer)
        elif path == "/snapshot":
            await self._draw()
            await _reply(writer, "200 OK", "image/jpeg", self._jpeg)
        elif path == "/truth":
            await self._draw()
            await _reply(writer, "200 OK", "application/json", json.dumps(self._truth).encode())
        else:
            await _reply(writer, "404 Not Found", "text/plain", b"there are /stream, /snapshot and /truth\n")

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            f"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary={BOUNDARY}\r\n"
            "Cache-Control: no-store\r\nConnection: close\r\n\r\n".encode()
        )
        self._watchers.add(writer)
        try:
            while await reader.read(1024):
                pass
        finally:
            self._watchers.discard(writer)


async def _reply(writer: asyncio.StreamWriter, status: str, kind: str, body: bytes) -> None:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
