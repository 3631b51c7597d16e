"""A CAN interface, listened to with python-can: opened, read as frames come, and closed on every way out. Nothing is ever sent."""

import asyncio
import contextlib
import errno
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import EdgeError, Misconfigured, Retry
from edge.sources.can_points import Frame
from edge.sources.can_settings import CanSettings, nearest

if TYPE_CHECKING:
    import can

log = logging.getLogger("muki.edge.sources.can")

PAUSE = 0.02  # s between two looks at the bus: frames are taken in bunches; classical CAN brings some 340 at most meanwhile at 1 Mbit/s
BUNCH = 1024  # frames in one look, then the loop has its turn
UNREADABLE = 100  # in a row, and the interface is taken for broken
CLOCK_TOLERANCE = 2.0  # s; beyond that the adapter's clock is not ours (many count from power-on)
_ERROR_CONTROLLER, _ERROR_BUS_OFF = 0x04, 0x40  # SocketCAN, linux/can/error.h
_ARPHRD_CAN = "280"  # linux/if_arp.h
_SO_MEMINFO, _DROPS = 55, 8  # asm-generic/socket.h, linux/sock_diag.h
_WITHOUT_BITRATE = ("socketcan", "virtual", "udp_multicast")


class CanListener:
    """Hands each data frame to ``accept`` from within the event loop, also while the source waits to be read.

    ``failure`` is done when the bus is lost: its result is what to raise. ``error_frames`` counts what the controller reported,
    ``unreadable`` the frames that could not be read.
    """

    def __init__(self, bus: "can.BusABC", accept: Callable[[Frame], None], where: str, advice: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._bus = bus
        self._accept = accept
        self._where = where
        self._advice = advice
        self._descriptor = _descriptor(bus)
        self._timer: asyncio.TimerHandle | None = None
        self._bad_in_a_row = 0
        self._warned = False
        self.failure: asyncio.Future[Retry] = self._loop.create_future()
        self.error_frames = 0
        self.unreadable = 0

    def start(self) -> None:
        self._timer = None
        if self._descriptor >= 0:
            self._loop.add_reader(self._descriptor, self._readable)
        else:
            self._read()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)

    @property
    def dropped(self) -> int:
        """Frames that the kernel threw away because we did not fetch them in time; 0 where the interface has no socket."""
        try:
            with socket.socket(fileno=os.dup(self._descriptor)) as again:
                counters = again.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36)
        except OSError:
            return 0
        return memoryview(counters).cast("I")[_DROPS] if len(counters) == 36 else 0

    def _readable(self) -> None:
        self._loop.remove_reader(self._descriptor)
        self._read()

    def _read(self) -> None:
        try:
            for _ in range(BUNCH):
                if not self._read_one():
                    break
        except Exception as error:  # a driver may raise anything; here nobody else would hear of it
            self._fail(error)
        else:
            self._timer = self._loop.call_later(PAUSE, self.start)

    def _read_one(self) -> bool:
        """Whether there was something to read. Raises what ends the bus."""
        from can import CanOperationError

        try:
            message = self._bus.recv(0)
        except CanOperationError as error:
            self.unreadable += 1
            self._bad_in_a_row += 1
            if error.error_code is not None or self._bad_in_a_row >= UNREADABLE:
                raise
            return True
        if message is None:
            return False
        self._bad_in_a_row = 0
        if message.is_error_frame:
            self._controller_says(message)
        elif not message.is_remote_frame:
            now = time.time()
            at = message.timestamp if abs(message.timestamp - now) < CLOCK_TOLERANCE else now
            self._accept(Frame(message.arbitration_id, message.is_extended_id, bytes(message.data), round(at * 1e9)))
        return True

    def _controller_says(self, message: "can.Message") -> None:
        self.error_frames += 1
        if message.arbitration_id & _ERROR_BUS_OFF:
            raise Retry(
                f"{self._where}: the controller went bus-off; check the bit rate (mobile machines have 250000 or 500000), the two 120 ohm "
                f"resistors and CAN-H and CAN-L; then {self._advice}"
            )
        if message.arbitration_id & _ERROR_CONTROLLER and not self._warned:
            self._warned = True
            log.warning(
                "%s: the controller reports errors on the wires; check bit rate, terminating resistors, CAN-H and CAN-L", self._where
            )

    def _fail(self, error: Exception) -> None:
        if not self.failure.done():
            lost = f"{self._where}: the interface was lost: {error}; {self._advice}"
            self.failure.set_result(error if isinstance(error, Retry) else Retry(lost))


@contextlib.asynccontextmanager
async def listening(
    settings: CanSettings, filters: Sequence[tuple[int, int, bool]], accept: Callable[[Frame], None]
) -> AsyncIterator[CanListener]:
    """The bus, open and read. Raises Retry where it cannot be opened now, Misconfigured where it never will be."""
    # Opening may take seconds (serial adapters); a bus that opens after a cancellation must be closed again, so it is waited for.
    opening = asyncio.ensure_future(asyncio.to_thread(open_bus, settings, filters))
    try:
        bus = await asyncio.shield(opening)
    except asyncio.CancelledError:
        with contextlib.suppress(EdgeError):
            (await opening).shutdown()
        raise
    listener = None
    try:
        listener = CanListener(bus, accept, where(settings), advice(settings))
        listener.start()
        yield listener
    finally:
        if listener is not None:
            listener.stop()
        bus.shutdown()


def where(settings: CanSettings) -> str:
    return f"{settings.interface} {settings.channel}"


def advice(settings: CanSettings) -> str:
    """The command that brings a SocketCAN interface up."""
    if settings.interface != "socketcan":
        return "is the adapter plugged in, and does no other program hold it?"
    if settings.channel.startswith("vcan"):
        return f"bring it up with: ip link set {settings.channel} up"
    return f"bring it up with: ip link set {settings.channel} up type can bitrate {settings.bitrate or 250_000}"


def open_bus(settings: CanSettings, filters: Sequence[tuple[int, int, bool]]) -> "can.BusABC":
    """The bus that the settings name; blocks while it opens. Raises Retry or Misconfigured."""
    import can

    if settings.interface not in can.VALID_INTERFACES:
        raise Misconfigured(
            f"interface {settings.interface}: python-can has none of this name; {nearest(settings.interface, sorted(can.VALID_INTERFACES))}"
        )
    more: dict[str, Any] = dict(settings.options)
    if settings.interface == "socketcan":
        check_network_interface(settings)
        more["can_filters"] = [{"can_id": ident, "can_mask": mask, "extended": extended} for ident, mask, extended in filters]
    if settings.bitrate is not None and settings.interface not in _WITHOUT_BITRATE:
        more["bitrate"] = settings.bitrate
    try:
        return can.Bus(settings.channel, settings.interface, ignore_config=True, **more)
    except (TypeError, ValueError) as error:
        raise Misconfigured(f"{where(settings)}: python-can refuses channel, bitrate or options: {error}") from error
    except (can.CanError, OSError, ImportError) as error:
        if isinstance(error.__context__, ValueError):  # python-can wraps what a driver finds wrong
            raise Misconfigured(f"{where(settings)}: python-can refuses channel, bitrate or options: {error}") from error
        if isinstance(error, OSError) and error.errno == errno.EAFNOSUPPORT:
            raise Retry(f"{where(settings)}: this kernel has no CAN; load it with: modprobe can_raw") from error
        raise Retry(f"{where(settings)}: cannot be opened: {error}; {advice(settings)}") from error


def check_network_interface(settings: CanSettings, folder: Path = Path("/sys/class/net")) -> None:
    """Raises Retry where the network interface is absent or down, Misconfigured where it is none for CAN."""
    there = folder / settings.channel
    can_there = sorted(each.name for each in folder.glob("*") if _content(each / "type") == _ARPHRD_CAN)
    if not there.exists():
        raise Retry(
            f"{where(settings)}: there is no such interface; CAN interfaces here: {', '.join(can_there) or 'none'}; "
            f"is the adapter plugged in? Then {advice(settings)}"
        )
    if _content(there / "type") != _ARPHRD_CAN:
        raise Misconfigured(f"channel {settings.channel}: is no CAN interface; write for example {', '.join(can_there) or 'can0'}")
    if not int(_content(there / "flags") or "0x1", 16) & 1:  # IFF_UP
        raise Retry(f"{where(settings)}: the interface is down; {advice(settings)}")


def _content(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except OSError:
        return ""


def _descriptor(bus: "can.BusABC") -> int:
    try:
        return bus.fileno()
    except NotImplementedError:
        return -1
