"""Cameras and video files, read by OpenCV in a thread of their own; the newest picture wins, older ones are dropped and counted."""

import asyncio
import contextlib
import os
import re
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from contract.messages import PointDeclaration
from edge.errors import Misconfigured, Retry
from edge.items import Frame, Item
from edge.sources import SourceContext, SourceSettings

if TYPE_CHECKING:
    import numpy as np

    Image = np.ndarray[Any, np.dtype[np.uint8]]

_DEVICE = re.compile(r"(?:/dev/video)?(\d{1,3})")
# The second form is a password with a slash that nobody encoded; digits before a slash are a port.
_CREDENTIALS = re.compile(r"//[^/?#\s]*@|//[^/@:\s]*:(?!\d+[/?#])\S*@")
_SECRETS = re.compile(r"\b(pass|passwd|password|pwd|token|auth|key)=[^&\s]*", re.IGNORECASE)  # many recorders take the password in the path
_JOIN_GRACE = 1.0  # seconds beyond the read timeout that the thread may take to end


class CameraSettings(SourceSettings):
    """Which camera, under which name its pictures go on, and how many of them a second."""

    camera: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$", description="Names the camera for its processors")
    url: str = Field(min_length=1, description="rtsp://, http:// or https:// address, /dev/videoN or N, or a video file")
    fps: float = Field(5.0, gt=0, le=120, description="Most pictures a second that go on")
    timeout: float = Field(5.0, ge=0.2, le=120, description="Seconds to connect, and without a picture until the camera is taken for gone")
    loop: bool = Field(False, description="Begin a file again at its end; else the source falls silent there")


class CameraSource:
    """One camera. ``dropped`` counts the pictures that a newer one replaced before anybody took them."""

    Settings: ClassVar[type[SourceSettings]] = CameraSettings

    def __init__(self, settings: SourceSettings, context: SourceContext) -> None:
        if not isinstance(settings, CameraSettings):
            raise TypeError(f"CameraSource takes CameraSettings, not {type(settings).__name__}")
        self._settings = settings
        self._folder = context.folder
        self.dropped = 0

    def points(self) -> Mapping[str, PointDeclaration]:
        return {}

    def counters(self) -> Mapping[str, int]:
        return {"dropped_pictures": self.dropped}

    async def items(self) -> AsyncIterator[Sequence[Item]]:
        """One Frame a batch, at most ``fps`` a second. Raises Retry when the camera is absent, its stream ends or nothing comes for ``timeout``.

        A file that does not loop ends in silence.
        """
        settings = self._settings
        capture = _Capture(settings, self._folder, asyncio.get_running_loop())
        await asyncio.to_thread(_import_cv2)  # takes a second on a Pi
        thread = threading.Thread(target=capture.run, name=f"camera {settings.camera}", daemon=True)
        thread.start()
        dropped = self.dropped
        patience = 2 * settings.timeout  # to open, and for the first picture
        try:
            while True:
                try:
                    async with asyncio.timeout(patience):
                        await capture.news.wait()
                except TimeoutError:
                    raise Retry(f"camera {settings.camera}: no picture for {patience:g} s from {shown(settings.url)}") from None
                capture.news.clear()
                frame, self.dropped = capture.take(), dropped + capture.dropped
                if frame is not None:
                    patience = settings.timeout
                    yield [Frame(settings.camera, frame[0], frame[1])]
                elif capture.error is not None:
                    raise capture.error
                elif capture.at_end:
                    await asyncio.Event().wait()  # a source goes on until it is cancelled
        finally:
            capture.stop.set()
            deadline = time.monotonic() + settings.timeout + _JOIN_GRACE
            while thread.is_alive() and time.monotonic() < deadline:  # noqa: ASYNC110 - a thread has no event that a loop can await
                await asyncio.sleep(0.01)


class _Capture:
    """What the thread does. It shares with the loop one slot for the newest picture, and ends within the read timeout once told to."""

    def __init__(self, settings: CameraSettings, folder: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.news = asyncio.Event()
        self.stop = threading.Event()
        self.error: Retry | Misconfigured | None = None
        self.at_end = False
        self.dropped = 0
        self._settings = settings
        self._folder = folder
        self._loop = loop
        self._lock = threading.Lock()
        self._newest: tuple[int, Image] | None = None

    def take(self) -> "tuple[int, Image] | None":
        with self._lock:
            frame, self._newest = self._newest, None
        return frame

    def run(self) -> None:
        try:
            self._read()
        except (Retry, Misconfigured) as error:
            self.error = error
        except Exception as error:  # cv2.error, MemoryError: nothing may end this thread without a word
            self.error = Retry(f"camera {self._settings.camera}: {type(error).__name__}: {error}")
        self._tell()

    def _tell(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(self.news.set)

    def _read(self) -> None:
        url, camera = self._settings.url, self._settings.camera
        kind, target = locate(url, self._folder)
        if kind == "file" and not Path(str(target)).is_file():
            raise Retry(f"camera {camera}: there is no such file: {target}")
        if kind == "device" and not Path(f"/dev/video{target}").exists():
            there = sorted(str(path) for path in Path("/dev").glob("video*"))
            raise Retry(
                f"camera {camera}: there is no /dev/video{target}; there are: {', '.join(there) or 'none; is the camera plugged in?'}"
            )
        while not self.stop.is_set():
            capture = self._open(kind, target)
            try:
                pictures = self._pictures(capture, paced=kind == "file")
            finally:
                capture.release()
            if self.stop.is_set():
                return
            if kind != "file":
                raise Retry(f"camera {camera}: the stream from {shown(url)} ended")
            if not pictures:
                raise Retry(f"camera {camera}: {target} holds no picture that OpenCV can read")
            if not self._settings.loop:
                self.at_end = True
                return

    def _open(self, kind: str, target: str | int) -> Any:
        import cv2

        milliseconds = round(self._settings.timeout * 1000)
        if kind == "network":
            limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, milliseconds, cv2.CAP_PROP_READ_TIMEOUT_MSEC, milliseconds]
            capture = cv2.VideoCapture(str(target), cv2.CAP_FFMPEG, limits)
        elif kind == "device":
            capture = cv2.VideoCapture(int(target), cv2.CAP_V4L2)
        else:
            capture = cv2.VideoCapture(str(target))
        if not capture.isOpened():
            capture.release()
            hint = "is it on, and are address, user and password right?" if kind == "network" else "is another program using it?"
            if kind == "file":
                raise Retry(f"camera {self._settings.camera}: OpenCV cannot read {target} as a video")
            raise Retry(f"camera {self._settings.camera}: {shown(self._settings.url)} does not open; {hint}")
        return capture

    def _pictures(self, capture: Any, *, paced: bool) -> int:
        """Posts pictures until the stream ends or the source stops; a file is read at its own pace. Returns how many came."""
        import cv2

        fps = capture.get(cv2.CAP_PROP_FPS)
        period = 1 / fps if paced and 0 < fps <= 240 else 1 / 25
        # A stream whose rate is the limit must not lose every second picture to jitter: half a period of grace.
        apart = 1 / self._settings.fps * 0.9
        start, count, posted = time.monotonic(), 0, float("-inf")
        while not self.stop.is_set() and capture.grab():
            count += 1
            now = time.monotonic()
            if now - posted >= apart:
                done, image = capture.retrieve()
                if done and image is not None and image.ndim == 3:
                    posted = now
                    self._post(time.time_ns() // 1_000_000 * 1_000_000, image)
            if paced:
                self.stop.wait(max(0.0, start + count * period - time.monotonic()))
        return count

    def _post(self, time_ns: int, image: "Image") -> None:
        with self._lock:
            self.dropped += self._newest is not None
            self._newest = (time_ns, image)
        self._tell()


def locate(url: str, folder: Path) -> tuple[str, str | int]:
    """What a url names: ("network", url), ("device", number) or ("file", path); a relative path is resolved against ``folder``."""
    if "://" in url:
        return "network", url
    if (device := _DEVICE.fullmatch(url)) is not None:
        return "device", int(device[1])
    return "file", str(folder / url)


def shown(url: str) -> str:
    """The url without user and password, for messages and logs."""
    return _SECRETS.sub(r"\1=…", _CREDENTIALS.sub("//", url))


def _import_cv2() -> None:
    # Over UDP a lost packet spoils the picture and many networks drop the stream: RTSP runs in its TCP connection. OpenCV reads this at each open.
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what matters is raised, and it would print passwords in addresses
