"""A network camera that speaks RTSP 1.0 (RFC 2326) and sends RTP/JPEG interleaved in the same TCP connection, with the faults of real ones."""

import asyncio
import base64
import hashlib
import random
import re
import secrets
import time
from enum import StrEnum
from typing import NamedTuple

from simulators.field.camera_scene import FPS, Image, Lens, Scene, jpeg
from simulators.field.listener import Listener
from simulators.field.rtp_jpeg import CLOCK_HZ, PAYLOAD_TYPE, packets, scan_of

REALM = "camera"
MAX_REQUEST = 1 << 14
BACKLOG = 1 << 20  # bytes that a client may lag before pictures are left out for it
METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN"


class Fault(StrEnum):
    NONE = "none"
    STALL = "stall"  # the connection stays, nothing comes
    HALF = "half"  # half a packet, then nothing
    GARBAGE = "garbage"  # bytes without sense in place of packets
    CLOSE = "close"  # the camera restarts
    MUTE = "mute"  # requests are read and not answered
    HALF_ANSWER = "half answer"  # the answer to a request stops in its middle


class Auth(StrEnum):
    NONE = "none"
    BASIC = "basic"
    DIGEST = "digest"


class _Request(NamedTuple):
    method: str
    url: str
    headers: dict[str, str]


class RtspCamera(Listener):
    """``fault`` and ``lens`` may be set at any time. ``setups`` lists the transports that clients asked for."""

    def __init__(
        self,
        *,
        seed: int = 1,
        fps: float = FPS,
        auth: Auth = Auth.NONE,
        user: str = "admin",
        password: str = "",
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        super().__init__(self._converse, host=host, port=port)
        self.lens = Lens.CLEAR
        self.fault = Fault.NONE
        self.setups: list[str] = []
        self.refused = 0
        self._fps = fps
        self._auth = auth
        self._user, self._password = user, password
        self._seed = seed
        self._nonce = secrets.token_hex(8)

    @property
    def url(self) -> str:
        """With user and password where they are needed."""
        who = f"{self._user}:{self._password}@" if self._auth is not Auth.NONE else ""
        return f"rtsp://{who}{self.address}/stream1"

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = secrets.token_hex(4)
        player: asyncio.Task[None] | None = None
        try:
            while (request := await _request(reader)) is not None:
                if self.fault is Fault.MUTE:
                    continue
                sequence = request.headers.get("cseq", "0")
                status, headers, body = self._answer(request, session)
                lines = [f"RTSP/1.0 {status}", f"CSeq: {sequence}", *(f"{name}: {value}" for name, value in headers.items())]
                if body:
                    lines += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
                answer = "\r\n".join([*lines, "", ""]).encode() + body
                if self.fault is Fault.HALF_ANSWER:
                    writer.write(answer[: len(answer) // 2])
                    continue
                writer.write(answer)
                await writer.drain()
                if not status.startswith("200"):
                    continue
                if request.method == "PLAY" and player is None:
                    player = asyncio.create_task(self._play(writer), name="rtsp pictures")
                elif request.method == "TEARDOWN":
                    return
        finally:
            if player is not None:
                player.cancel()
                await asyncio.gather(player, return_exceptions=True)

    def _answer(self, request: _Request, session: str) -> tuple[str, dict[str, str], bytes]:
        """Status, headers and body for a request."""
        if request.method == "OPTIONS":
            return "200 OK", {"Public": METHODS}, b""
        if not self._allowed(request):
            self.refused += "authorization" in request.headers
            kind = f'Basic realm="{REALM}"' if self._auth is Auth.BASIC else f'Digest realm="{REALM}", nonce="{self._nonce}"'
            return "401 Unauthorized", {"WWW-Authenticate": kind}, b""
        match request.method:
            case "DESCRIBE":
                return "200 OK", {"Content-Base": request.url.rstrip("/") + "/"}, self._description()
            case "SETUP":
                return self._set_up(request.headers.get("transport", ""), session)
            case "PLAY" | "GET_PARAMETER" | "TEARDOWN":
                return "200 OK", {"Session": session}, b""
            case _:
                return "501 Not Implemented", {"Allow": METHODS}, b""

    def _set_up(self, transport: str, session: str) -> tuple[str, dict[str, str], bytes]:
        self.setups.append(transport)
        if "TCP" not in transport:
            return "461 Unsupported Transport", {}, b""
        return "200 OK", {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1", "Session": f"{session};timeout=60"}, b""

    def _description(self) -> bytes:
        lines = ["v=0", f"o=- 1 1 IN IP4 {self.host}", "s=camera", f"c=IN IP4 {self.host}", "t=0 0"]
        lines += [f"m=video 0 RTP/AVP {PAYLOAD_TYPE}", f"a=rtpmap:{PAYLOAD_TYPE} JPEG/{CLOCK_HZ}", "a=control:track1"]
        return "\r\n".join([*lines, ""]).encode()

    def _allowed(self, request: _Request) -> bool:
        given = request.headers.get("authorization", "")
        match self._auth:
            case Auth.NONE:
                return True
            case Auth.BASIC:
                return given == "Basic " + base64.b64encode(f"{self._user}:{self._password}".encode()).decode()
            case Auth.DIGEST:
                fields = dict(re.findall(r'(\w+)="([^"]*)"', given))
                secret = _md5(f"{self._user}:{REALM}:{self._password}")
                asked = _md5(f"{request.method}:{fields.get('uri', '')}")
                right = _md5(f"{secret}:{self._nonce}:{asked}")
                return fields.get("username") == self._user and fields.get("response") == right

    async def _play(self, writer: asyncio.StreamWriter) -> None:
        """Pictures at the camera's rate until the client goes or a fault ends it."""
        scene, sequence, source = Scene(self._seed), 0, secrets.randbits(32)
        begun, frame, noise = time.monotonic(), 0, random.Random(self._seed)
        while not writer.is_closing():
            frame += 1
            await asyncio.sleep(max(0.0, begun + frame / self._fps - time.monotonic()))
            if self.fault is Fault.CLOSE:
                writer.transport.abort()
                return
            if self.fault is Fault.STALL or writer.transport.get_write_buffer_size() > BACKLOG:
                continue
            if self.fault is Fault.GARBAGE:
                writer.write(noise.randbytes(4096))
                continue
            image = await asyncio.to_thread(_encode, scene, frame, frame / self._fps, self.lens)
            for packet in packets(scan_of(image), sequence=sequence, timestamp=round(frame * CLOCK_HZ / self._fps), source=source):
                sequence += 1
                framed = b"$\x00" + len(packet).to_bytes(2, "big") + packet
                if self.fault is Fault.HALF:
                    writer.write(framed[: len(framed) // 2])
                    self.fault = Fault.STALL
                    break
                writer.write(framed)


def _encode(scene: Scene, frame: int, seconds: float, lens: Lens) -> bytes:
    image: Image = scene.picture(frame, seconds, lens)[0]
    return jpeg(image)


async def _request(reader: asyncio.StreamReader) -> _Request | None:
    """The next request; what the client says about reception (RTCP, framed by a dollar sign) is skipped. None at the end or for nonsense."""
    while (first := await reader.read(1)) == b"$":
        await reader.readexactly(int.from_bytes((await reader.readexactly(3))[1:], "big"))
    if not first:
        return None
    try:
        head = first + await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        return None
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or len(head) > MAX_REQUEST:
        return None
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    await reader.readexactly(min(int(headers.get("content-length", "0") or 0), MAX_REQUEST))
    return _Request(words[0], words[1], headers)


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()  # noqa: S324 - what RFC 2617 asks for
