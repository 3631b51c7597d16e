"""A running gateway's API, asked from the shell."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3

CHUNK = 1 << 20


class CannotAsk(Exception):
    """The gateway does not answer, or says no; the text says what would be right."""


class Remote:
    """``token_file``: its first line is a token of `muki gateway token create`."""

    def __init__(self, url: str, token_file: Path | None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Accept": "application/json", "Connection": "close"}
        if token_file is not None:
            try:
                self._headers["Authorization"] = f"Bearer {token_file.read_text('utf-8').split(chr(10), 1)[0].strip()}"
            except (OSError, UnicodeDecodeError) as error:
                raise CannotAsk(f"--token-file {token_file}: {error}") from None
        self._pool = urllib3.PoolManager(timeout=urllib3.Timeout(connect=5, read=60), retries=False)

    def close(self) -> None:
        self._pool.clear()

    def get(self, path: str, query: Mapping[str, object]) -> Any:
        """The JSON answer. Raises CannotAsk."""
        answer = self._request(path, list(query.items()))
        return json.loads(answer.data)

    def file(self, path: str, query: list[tuple[str, object]]) -> Iterator[bytes]:
        """The body, piece by piece. Raises CannotAsk, also in the middle of it."""
        answer = self._request(path, query, whole=False)
        try:
            yield from answer.stream(CHUNK)
        except urllib3.exceptions.HTTPError as error:
            raise CannotAsk(f"{self._url}: the connection broke off: {error}") from None

    def _request(self, path: str, query: list[tuple[str, object]], *, whole: bool = True) -> urllib3.BaseHTTPResponse:
        try:
            answer = self._pool.request("GET", f"{self._url}/api/v1{path}?{urlencode(query)}", headers=self._headers, preload_content=whole)
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise CannotAsk(f"{self._url} does not answer ({error}): is the gateway running, and is --url right?") from None
        if answer.status != 200:
            raise CannotAsk(_said(answer.status, answer.data))
        return answer


def _said(status: int, body: bytes) -> str:
    try:
        told = json.loads(body)
        text = f"{told['reason']}: {told['detail']}"
    except (ValueError, KeyError, TypeError):
        text = f"HTTP {status}"
    return f"{text}; give --token-file" if status == 401 else text
