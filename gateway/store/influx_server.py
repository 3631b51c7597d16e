"""One InfluxDB server of any version: found out, written to and queried; every answer becomes a result, a refusal or a clear error.

InfluxQL at ``/query`` reads from all of them. ``/write`` takes lines on 1.x before 1.8; from 1.8 on the official client writes to ``/api/v2/write``.
"""

import gzip
import ipaddress
import re
import threading
from collections.abc import Sequence
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

import msgspec
import urllib3

from gateway.store import StoreUnavailable

Series = dict[str, Any]
Version = tuple[int, int]

PROBE = 'SELECT "nothing" FROM "nothing" LIMIT 1'
"""Reads nothing, and fails where the database is missing (SHOW statements do not) or may not be read."""

_VERSION = re.compile(r"v?(\d+)\.(\d+)")
_DROPPED = re.compile(r"dropped=(\d+)")
_MISSING = re.compile(r"database not found|bucket .*not found|could not find bucket|database .*does not exist", re.IGNORECASE)


class LinesRefused(Exception):
    """The server does not take some of the lines. ``dropped`` is how many, where it says so; the others may be stored or not."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        found = _DROPPED.search(reason)
        self.dropped = int(found[1]) if found else None


class QueryRefused(StoreUnavailable):
    """The server answers, and cannot do this one statement."""


class Writer(Protocol):
    """Posts lines and returns the HTTP status and the body of the answer. Raises urllib3's errors."""

    def post(self, lines: bytes) -> tuple[int, str]: ...
    def close(self) -> None: ...


class WriteEndpoint:
    """``/write`` of InfluxDB 1.x. Compressed on its way to another machine; on this one that would only cost."""

    def __init__(self, pool: urllib3.HTTPConnectionPool, url: str, database: str, headers: dict[str, str]) -> None:
        self._pool = pool
        self._target = f"{urlsplit(url).path}/write?db={quote(database)}&precision=ns"
        self._headers = headers
        self._compress = not is_loopback(urlsplit(url).hostname or "")

    def post(self, lines: bytes) -> tuple[int, str]:
        headers = self._headers
        if self._compress:
            lines = gzip.compress(lines, compresslevel=1)
            headers = {**headers, "Content-Encoding": "gzip"}
        answer = self._pool.request("POST", self._target, body=lines, headers=headers)
        return answer.status, answer.data.decode(errors="replace")

    def close(self) -> None:
        """The pool belongs to the server."""


class OfficialClient:
    """`influxdb-client`, synchronous and with ready-made lines: its own batching reports failures to callbacks only, and queues without bound."""

    def __init__(self, url: str, database: str, token: str, org: str, timeout: float) -> None:
        from influxdb_client.client.influxdb_client import InfluxDBClient
        from influxdb_client.client.write_api import SYNCHRONOUS
        from influxdb_client.domain.write_precision import WritePrecision

        compress = not is_loopback(urlsplit(url).hostname or "")
        self._client = InfluxDBClient(url=url, token=token, org=org, timeout=int(timeout * 1000), enable_gzip=compress)
        self._write = self._client.write_api(write_options=SYNCHRONOUS)
        self._database, self._org, self._precision = database, org, WritePrecision.NS

    def post(self, lines: bytes) -> tuple[int, str]:
        from influxdb_client.rest import ApiException

        try:
            self._write.write(bucket=self._database, org=self._org, record=lines, write_precision=self._precision)  # type: ignore[arg-type]  # its enumeration is a class of plain texts
        except ApiException as error:
            if not error.status:
                raise urllib3.exceptions.HTTPError(str(error.reason)) from error
            body = error.body or b""
            return int(error.status), body.decode(errors="replace") if isinstance(body, bytes) else str(body)
        return 204, ""

    def close(self) -> None:
        self._write.close()  # type: ignore[no-untyped-call]  # the client has no types here
        self._client.close()  # type: ignore[no-untyped-call]


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class InfluxServer:
    """Connects at the first use, so that a gateway starts while its database is away. Safe to use from several threads."""

    def __init__(self, url: str, database: str, *, username: str, password: str, token: str, org: str, timeout: float) -> None:
        self.url = url.rstrip("/")
        self.database = database
        self._username, self._password, self._token, self._org, self._timeout = username, password, token, org, timeout
        self._headers: dict[str, str] = {}
        if token:
            self._headers = {"Authorization": f"Token {token}"}
        elif username:
            self._headers = dict(urllib3.util.make_headers(basic_auth=f"{username}:{password}"))
        # Not a PoolManager: that leaves its connections to the garbage collector.
        self._pool = urllib3.connection_from_url(
            self.url, maxsize=8, timeout=urllib3.Timeout(connect=min(timeout, 5.0), read=timeout), retries=False
        )
        self._base = urlsplit(self.url).path
        self._lock = threading.Lock()
        self._writer: Writer | None = None
        self.version_text = ""

    def close(self) -> None:
        with self._lock:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            self._pool.close()

    # --- the three things that it does

    def query(self, *statements: str) -> list[list[Series]]:
        """The series of each statement; times are ns. Raises StoreUnavailable."""
        self._connected()
        return self._query(statements)

    def write(self, lines: bytes) -> None:
        """Returns when the server has acknowledged. Raises LinesRefused or StoreUnavailable."""
        writer = self._connected()
        try:
            status, text = writer.post(lines)
        except urllib3.exceptions.HTTPError as error:
            raise StoreUnavailable(f"{self.url}: no answer to a write ({error})") from error
        if 200 <= status < 300:
            return
        reason = _message(text)
        if status in {400, 413, 422} and not _MISSING.search(reason):
            raise LinesRefused(f"InfluxDB {self.version_text}: {reason}")
        raise self._unavailable(status, reason)

    def ping(self) -> str:
        """The version. Raises StoreUnavailable when nothing or something else answers."""
        try:
            answer = self._pool.request("GET", f"{self._base}/ping", headers=self._headers)
        except urllib3.exceptions.HTTPError as error:
            raise StoreUnavailable(f"{self.url}: does not answer ({error}); is InfluxDB running there, and is the url right?") from error
        found = answer.headers.get("X-Influxdb-Version", "")
        if answer.status in {401, 403}:
            raise self._unavailable(answer.status, _message(answer.data.decode(errors="replace")))
        if not _VERSION.match(found):
            raise StoreUnavailable(
                f"{self.url}: answers /ping with status {answer.status} and no X-Influxdb-Version: this is no InfluxDB;"
                " write its address, for example http://127.0.0.1:8086"
            )
        return found.removeprefix("v")

    def version(self) -> Version:
        """Of the server; (0, 0) for one that says something else. Raises StoreUnavailable."""
        self._connected()
        return _parsed(self.version_text)

    # --- the way there

    def _connected(self) -> Writer:
        with self._lock:
            if self._writer is None:
                self.version_text = self.ping()
                version = _parsed(self.version_text)
                self._ensure_database(version)
                self._writer = self._open_writer(version)
            return self._writer

    def _open_writer(self, version: Version) -> Writer:
        if version < (1, 8):
            return WriteEndpoint(self._pool, self.url, self.database, self._headers)
        token = self._token or (f"{self._username}:{self._password}" if self._username else "-")
        return OfficialClient(self.url, self.database, token, self._org or "-", self._timeout)

    def _ensure_database(self, version: Version) -> None:
        if version >= (3, 0):
            return  # made by the first write
        try:
            self._query([PROBE])
        except _DatabaseMissing as error:
            if version >= (2, 0):
                raise StoreUnavailable(
                    f"{self.url}: has no database {self.database!r}; make a bucket and its mapping:"
                    f" influx bucket create -n {self.database}; influx v1 dbrp create --db {self.database} --rp autogen --default --bucket-id ID"
                ) from error
            try:
                self._query([f'CREATE DATABASE "{self.database}"'])
            except StoreUnavailable as refused:
                raise StoreUnavailable(
                    f"{self.url}: has no database {self.database!r} and the user {self._username!r} may not make it; as an administrator:"
                    f' influx -execute \'CREATE DATABASE "{self.database}"\' and GRANT ALL ON "{self.database}" TO "{self._username}" ({refused})'
                ) from refused

    def _query(self, statements: Sequence[str]) -> list[list[Series]]:
        fields = {"q": ";".join(statements), "db": self.database, "epoch": "ns"}
        try:
            answer = self._pool.request("POST", f"{self._base}/query", fields=fields, encode_multipart=False, headers=self._headers)
        except urllib3.exceptions.HTTPError as error:
            raise StoreUnavailable(f"{self.url}: no answer to a query ({error})") from error
        text = answer.data.decode(errors="replace")
        if answer.status != 200:
            raise self._unavailable(answer.status, _message(text))
        try:
            results = msgspec.json.decode(answer.data)["results"]
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            raise StoreUnavailable(f"{self.url}: the answer to a query is not InfluxDB's: {text[:200]!r}") from error
        for result in results:
            if "error" in result:
                refused = self._unavailable(200, str(result["error"]))
                raise refused if isinstance(refused, _DatabaseMissing) else QueryRefused(str(refused))
        return [result.get("series", []) for result in results]

    def _unavailable(self, status: int, reason: str) -> StoreUnavailable:
        if _MISSING.search(reason):
            # It was there when we connected, or should be made now: the next call looks again.
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            return _DatabaseMissing(f"{self.url}: has no database {self.database!r} ({reason})")
        if status in {401, 403}:
            return StoreUnavailable(
                f"{self.url}: does not let us in ({status}: {reason}); on InfluxDB 1.x set username and password_file of a user with ALL on"
                f" {self.database!r}, on 2.x and 3.x token_file with a token that may read and write it"
            )
        return StoreUnavailable(f"{self.url}: cannot take it now ({status}: {reason})")


class _DatabaseMissing(StoreUnavailable):
    """The server answers, and has no such database."""


def _parsed(text: str) -> Version:
    found = _VERSION.match(text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _message(text: str) -> str:
    """What an error answer says: 1.x writes ``error``, 2.x ``message``."""
    try:
        decoded = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text.strip()[:500]
    if isinstance(decoded, dict):
        return str(decoded.get("error") or decoded.get("message") or decoded)[:500]
    return text.strip()[:500]
