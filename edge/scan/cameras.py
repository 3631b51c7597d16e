"""Cameras: those of this machine (V4L2), and on hosts that somebody names. Asks what they offer; takes no picture and guesses no password."""

import asyncio
import base64
import contextlib
import fcntl
import os
import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from edge.scan.found import Finding, Say, name_for

RTSP_PORT, HTTP_PORTS = 554, (80, 8080)
# As makers and programs use them: general knowledge, not complete. The manual of the camera has the last word.
RTSP_PATHS = (
    "/", "/stream1", "/live", "/h264", "/Streaming/Channels/101", "/cam/realmonitor?channel=1&subtype=0", "/axis-media/media.amp", "/live/ch00_0",
)  # fmt: skip
HTTP_PATHS = (
    "/stream",
    "/?action=stream",
    "/video",
    "/mjpg/video.mjpg",
    "/video.mjpg",
    "/axis-cgi/mjpg/video.cgi",
    "/mjpeg",
    "/cgi-bin/mjpeg",
)
MAX_HEAD = 16_384  # bytes of an answer that are read
VIDIOC_QUERYCAP = 0x80685600  # linux/videodev2.h: _IOR('V', 0, struct v4l2_capability), 104 bytes
_CAPTURE, _HAS_DEVICE_CAPS = 0x00000001, 0x80000000
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Answer(NamedTuple):
    """``stream``: it offers pictures there. ``locked``: it asks for a user and password. ``status`` is the first line."""

    status: str
    stream: bool = False
    locked: bool = False


def local_cameras(folder: Path = Path("/dev")) -> list[Finding]:
    """The V4L2 devices that give pictures. Of a Raspberry Pi the codecs are devices too: they are left out."""
    found = []
    for path in sorted(folder.glob("video[0-9]*"), key=lambda each: (len(each.name), each.name)):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        except OSError as error:
            hint = "; add this user to the group video: sudo usermod -aG video $USER" if isinstance(error, PermissionError) else ""
            found.append(Finding(kind="camera", where=str(path), found=False, trouble=f"cannot be opened: {error.strerror}{hint}"))
            continue
        try:
            answer = bytearray(104)
            fcntl.ioctl(descriptor, VIDIOC_QUERYCAP, answer)
            card = capture_card(bytes(answer))
        except OSError:
            card = None  # no V4L2 device
        finally:
            os.close(descriptor)
        if card is not None:
            found.append(_camera(str(path), str(path), f"camera of this machine: {card}", asked=False))
    return found


def capture_card(answer: bytes) -> str | None:
    """The name in a ``struct v4l2_capability``; None where the device gives no pictures."""
    card, capabilities, device = answer[16:48], *struct.unpack_from("=II", answer, 84)
    able = device if capabilities & _HAS_DEVICE_CAPS else capabilities
    return card.split(b"\0")[0].decode("utf-8", "replace") if able & _CAPTURE else None


def check_wish(wish: str, environment: Mapping[str, str]) -> str | None:
    """What is wrong with a HOST or URL that somebody named, or None."""
    missing = [name for name in _VARIABLE.findall(wish) if name not in environment]
    if missing:
        return f"the environment has no {missing[0]}: set it before the command, {missing[0]}=… muki edge scan …"
    if "://" not in wish:
        return None if re.fullmatch(r"[^\s/@]+", wish) else f"{wish!r}: write HOST, HOST:PORT, or a whole rtsp:// or http:// address"
    address = urlsplit(_VARIABLE.sub("x", wish))
    try:
        sound = address.scheme in ("rtsp", "http") and bool(address.hostname) and address.port != 0
    except ValueError:
        sound = False
    if not sound:
        return f"{_shown(wish)!r}: write rtsp://HOST/PATH or http://HOST/PATH"
    password = urlsplit(wish).password
    if password is not None and not _VARIABLE.fullmatch(password):
        return "write the password as ${NAME} in single quotes and set NAME in the environment, so that it stands in no file and no list of programs"
    return None


async def scan_hosts(wishes: Sequence[str], environment: Mapping[str, str], *, timeout: float, say: Say) -> list[Finding]:  # noqa: ASYNC109 - for each request
    """What each host or address offers, one after the other; each request has ``timeout`` seconds."""
    found = []
    for wish in wishes:
        if "://" in wish:
            say(f"camera: asking {_shown(wish)} …")
            found.append(await _address(wish, environment, timeout))
        else:
            say(f"camera: trying {len(RTSP_PATHS)} RTSP and {len(HTTP_PATHS)} HTTP addresses on {wish} …")
            found += await _host(wish, timeout)
    return found


async def _address(wish: str, environment: Mapping[str, str], limit: float) -> Finding:
    answer = await _ask(_VARIABLE.sub(lambda match: environment[match[1]], wish), limit)
    if answer.stream:
        return _camera(wish, _shown(wish), f"a stream: {answer.status}", asked=True)
    hint = ""
    if answer.locked and "@" not in wish:
        hint = "; write the user and the password: 'rtsp://USER:${CAMERA_PASSWORD}@…'"
    elif answer.locked:
        hint = "; wrong user or password, or the camera wants another way of logging in (Digest): `muki edge run FILE --once` tells"
    source = _camera(wish, _shown(wish), "", asked=True) if answer.locked and "@" in wish else None
    return Finding(
        kind="camera",
        where=_shown(wish),
        found=answer.locked,
        trouble=f"{answer.status}{hint}",
        asked=True,
        source=source.source if source else None,
        processing=source.processing if source else None,
    )


async def _host(host: str, limit: float) -> list[Finding]:
    bare, _, port = host.rpartition(":") if re.search(r"[^:]:\d+$", host) else (host, "", "")
    tried = []
    locked = None
    for scheme, numbers, paths in (("rtsp", [port or RTSP_PORT], RTSP_PATHS), ("http", [port] if port else HTTP_PORTS, HTTP_PATHS)):
        for number in numbers:
            place = bare if (scheme, number) in (("rtsp", RTSP_PORT), ("http", 80)) else f"{bare}:{number}"
            for path in paths:
                url = f"{scheme}://{place}{path}"
                answer = await _ask(url, limit)
                if answer.stream:
                    return [_camera(url, url, f"a stream: {answer.status}", asked=True)]
                if answer.locked:
                    locked = locked or url
                    break  # each further attempt would look like guessing
                if answer.status.startswith("no "):
                    tried.append(f"{scheme} port {number}: {answer.status}")
                    break
            else:
                tried.append(f"{scheme} port {number}: answers, and offers no stream at the usual addresses")
    if locked is not None:
        scheme, _, rest = locked.partition("://")
        why = f"{locked}: wants a user and a password: muki edge scan --camera '{scheme}://USER:${{CAMERA_PASSWORD}}@{rest}'"
        return [Finding(kind="camera", where=host, found=True, trouble=why, data={"locked": locked}, asked=True)]
    why = f"{'; '.join(tried)}; is it on? Its manual has the address of the stream: --camera rtsp://{bare}/PATH"
    return [Finding(kind="camera", where=host, found=False, trouble=why, asked=True)]


async def _ask(url: str, limit: float) -> Answer:
    """What the first lines of the answer say: DESCRIBE of RTSP (RFC 2326, 10.2), GET of HTTP. Nothing more of a stream is read."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (RTSP_PORT if parts.scheme == "rtsp" else 80)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    place = f"[{host}]" if ":" in host else host
    login = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        login = f"Authorization: Basic {base64.b64encode(pair.encode()).decode()}\r\n"
    if parts.scheme == "rtsp":
        request = f"DESCRIBE rtsp://{place}:{port}{target} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n{login}\r\n"
    else:
        request = f"GET {target} HTTP/1.1\r\nHost: {place}:{port}\r\nConnection: close\r\n{login}\r\n"
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(limit):
            reader, writer = await asyncio.open_connection(host, port, limit=MAX_HEAD)
            writer.write(request.encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except TimeoutError:
        return Answer(f"no answer within {limit:g} s")
    except OSError as error:
        return Answer(f"no connection: {os.strerror(error.errno) if error.errno and error.errno > 0 else error}")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return Answer("no RTSP or HTTP: the answer makes no sense")
    finally:
        if writer is not None:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    return understood(head, parts.scheme)


def understood(head: str, scheme: str) -> Answer:
    """What the head of an answer means: its status, and whether pictures come there."""
    lines = head.split("\r\n")
    found = re.fullmatch(r"(RTSP|HTTP)/1\.[01] (\d{3})(.*)", lines[0])
    if found is None or (found[1] == "RTSP") != (scheme == "rtsp"):
        return Answer(f"no {scheme.upper()}: the answer makes no sense")
    kinds = [line.partition(":")[2].strip().lower() for line in lines[1:] if line.lower().startswith("content-type:")]
    kind = kinds[0] if kinds else "no content"
    good = found[2] == "200" and kind.startswith("application/sdp" if scheme == "rtsp" else ("multipart/x-mixed-replace", "video/"))
    return Answer(f"{found[2]}{found[3]}, {kind}", good, found[2] in ("401", "403"))


def _camera(url: str, where: str, says: str, *, asked: bool) -> Finding:
    name = name_for("camera", re.sub(r"^[a-z]+://", "", where))
    return Finding(
        kind="camera",
        where=where,
        found=True,
        says=(says,),
        data={"url": where},
        source={"name": name, "type": "camera", "camera": name, "url": url, "fps": 5},
        processing={"name": name, "type": "camera-check", "input": name},
        fill_in=("camera: the name that operators know, for example belt-cam; the same in its processor's input",),
        asked=asked,
    )


def _shown(url: str) -> str:
    return re.sub(r"//[^/\s]*@", "//", url)
