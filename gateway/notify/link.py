"""Links by which one person acknowledges one alarm without logging in: signed, for one event, for a while.

The gateway keeps none of them. A link is the alarm, the event that raised it, the person and an end, with an HMAC-SHA256 (RFC 2104) over them; its
key lies in a file of the gateway, and whoever deletes that file makes every link that was sent worth nothing.
"""

import base64
import hashlib
import hmac
import json
import os
import secrets
from pathlib import Path
from typing import NamedTuple

from gateway.turns import Pace

SECOND = 1_000_000_000  # ns
KEY_BYTES = 32
LONGEST = 2000  # characters of a token
_MAC_BYTES = 16  # RFC 2104, 5: half of the hash's length is enough
_PURPOSE = b"muki-acknowledge-1\n"  # a signature of this key for anything else is none here


class BadLink(ValueError):
    """Not signed by this gateway, or not with the key that it has now."""


class Link(NamedTuple):
    """``event`` is what raised the alarm: once it is raised anew the link is overtaken. ``until``: Unix seconds."""

    key: str
    event: str
    person: str
    until: int


class Links:
    """Makes and reads them. ``wrong`` and ``opened`` say how often somebody may try: a wrong one costs one HMAC, and blocks no right one."""

    def __init__(self, secret: bytes, *, page: str, hold_for: float) -> None:
        """``page``: the address under which people reach the gateway; ``hold_for``: seconds."""
        self._secret = secret
        self._page = page.rstrip("/")
        self._hold_for = hold_for
        self.wrong = Pace(30, 1.0)
        self.opened = Pace(20, 1.0)

    def invite(self, key: str, event: str, person: str, *, now_ns: int) -> tuple[str, int]:
        """The address for a message, and until when it holds (Unix seconds)."""
        link = Link(key, event, person, int(now_ns / SECOND + self._hold_for))
        return f"{self._page}/ack/{self.sign(link)}", link.until

    def sign(self, link: Link) -> str:
        body = _encoded(json.dumps(link, ensure_ascii=False, separators=(",", ":")).encode())
        return f"{body}.{self._mac(body)}"

    def read(self, token: str) -> Link:
        """Raises BadLink. Whether it still holds is not looked at."""
        body, _, mac = token.partition(".")
        if len(token) > LONGEST or not hmac.compare_digest(self._mac(body).encode(), mac.encode("utf-8", "replace")):
            raise BadLink("this link was not made by this gateway, or not whole, or its key is another by now")
        return Link(*json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))))

    def _mac(self, body: str) -> str:
        text = _PURPOSE + body.encode("utf-8", "replace")
        return _encoded(hmac.new(self._secret, text, hashlib.sha256).digest()[:_MAC_BYTES])


def open_secret(path: Path) -> bytes:
    """The key in a file, which is made where there is none, for its owner alone. Raises OSError, and ValueError saying what would be right."""
    if not path.exists():
        begun = path.with_suffix(".new")
        descriptor = os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{secrets.token_hex(KEY_BYTES)}\n")
            file.flush()
            os.fsync(file.fileno())
        begun.replace(path)
    if (mode := path.stat().st_mode & 0o777) & 0o077:
        raise ValueError(f"{path}: others may read it (mode {mode:o}), and could acknowledge in anybody's name: chmod 600, or delete it")
    try:
        secret = bytes.fromhex(path.read_text("ascii"))
    except ValueError:
        secret = b""
    if len(secret) < KEY_BYTES:
        raise ValueError(
            f"{path}: write {2 * KEY_BYTES} hexadecimal digits, or delete it: then a new one is made, and links that were sent end"
        )
    return secret


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
