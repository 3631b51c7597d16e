"""A whole site on this machine: a gateway and its nodes as processes of their own, and questions to its API."""

import json
import sqlite3
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.rig.processes import MUKI, Child, free_port, wait_for

SITE = "test"
START = 40.0  # seconds a process may take to be ready while the machine is busy with the rest of the suite


class Gateway(Child):
    """`muki gateway run` with a configuration of its own."""

    def __init__(self, folder: Path, broker_port: int, store: dict[str, Any], **settings: object) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        configuration = folder / "gateway.yaml"
        content = {
            "site": SITE,
            "broker": {"host": "127.0.0.1", "port": broker_port},
            "store": store,
            "data_dir": ".",
            "http": {"host": "127.0.0.1", "port": self.port},
            "language": "en",
            **settings,
        }
        configuration.write_text(yaml.safe_dump(content))
        super().__init__([*MUKI, "gateway", "run", str(configuration)], folder / "gateway.log")

    def wait_ready(self) -> None:
        wait_for(lambda: self.get("/ready"), seconds=START, describe="the gateway", log=self)

    def get(self, path: str, **query: object) -> Any:
        """The JSON answer of the API. Raises OSError while it does not listen, and for a status that is no success."""
        text = urllib.parse.urlencode({key: value for key, value in query.items() if value is not None})
        with urllib.request.urlopen(f"{self.url}{path}{'?' + text if text else ''}", timeout=10) as answer:  # noqa: S310 - loopback
            return json.loads(answer.read() or "true")

    def post(self, path: str, **body: object) -> tuple[int, Any]:
        """Status and JSON answer."""
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{self.url}{path}", json.dumps(body).encode(), {"Content-Type": "application/json", "Origin": self.url}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.loads(refused.read())


class Node(Child):
    """`muki edge run` with a configuration of its own."""

    def __init__(self, folder: Path, name: str, broker_port: int, **settings: object) -> None:
        self.name = name
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.configuration = folder / f"{name}.yaml"
        content = {
            "site": SITE,
            "node": name,
            "broker": {"host": "127.0.0.1", "port": broker_port},
            "data_dir": str(folder / "data"),
            **settings,
        }
        self.configuration.write_text(yaml.safe_dump(content, sort_keys=False))
        super().__init__([*MUKI, "edge", "run", str(self.configuration)], folder / f"{name}.log")

    @property
    def outbox(self) -> Path:
        return self.folder / "data" / "outbox.db"

    def waiting_frames(self) -> list[dict[str, Any]]:
        """The data frames in the node's file: what it has taken, and has not deleted after an acknowledgement."""
        rows = _rows(self.outbox, "select payload from message where kind = 0 order by id")
        return [frame for (payload,) in rows for frame in json.loads(payload)]

    def last_seq(self) -> int:
        """The highest sequence number that the node has given out."""
        return max((row[0] for row in _rows(self.outbox, "select seq from sqlite_sequence where name = 'message'")), default=0)


def _rows(path: Path, query: str) -> Iterator[Any]:
    if not path.exists():
        return
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        yield from connection.execute(query)
    finally:
        connection.close()
