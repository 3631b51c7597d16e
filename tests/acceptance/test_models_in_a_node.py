"""One node, one sound model and three that are not, each in its own way: what the node keeps, says and goes on doing. Real processes and files."""

import socket
import sqlite3
import threading
from functools import partial
from pathlib import Path
from typing import Any

from models.signing import make_keys, sign
from tests.rig.processes import free_port, wait_for
from tests.rig.site import START, Node
from tests.rig.small_models import install


class Lines:
    """A logger on TCP that says two numbers ten times a second to whoever connects."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._ended = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                try:
                    while not self._ended.wait(0.1):
                        connection.sendall(b"2.0,2.0\n")
                except OSError:
                    continue

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._listener.close()


def entry(name: str, model: str) -> dict[str, Any]:
    inputs = {"speed": "belt-1/speed", "load": "belt-1/load"}
    return {"name": name, "type": "scoring", "model": model, "inputs": inputs, "output": f"belt-1/{name}"}


def test_models_that_must_not_or_cannot_run_are_malfunctions_and_the_node_goes_on(tmp_path: Path) -> None:
    make_keys(tmp_path / "site")
    models = {name: install(tmp_path, kind, name=name, period=0.2) for name, kind in KINDS.items()}
    for name in models:
        if name != "unsigned":
            sign(tmp_path / "site", tmp_path / f"{name}.onnx")
    swapped = tmp_path / "swapped.onnx"
    swapped.write_bytes(swapped.read_bytes() + b"\0")
    with Lines() as lines:
        points = {
            "belt-1/speed": {"column": 1, "unit": "m/s", "range": [0, 9]},
            "belt-1/load": {"column": 2, "unit": "kN", "range": [0, 9]},
        }
        source = {
            "name": "logger",
            "type": "serial-line",
            "tcp": f"127.0.0.1:{lines.port}",
            "lines": [{"separator": ",", "points": points}],
        }
        node = Node(
            tmp_path,
            "belt-1",
            free_port(),  # nobody listens: everything stays in the outbox, to be looked at
            sources=[source],
            processing=[entry(name, model) for name, model in models.items()],
            models={"trusted_keys": ["site.pub"], "require_signature": True},
        )
        with node:
            wait_for(lambda: told(node, "v", "sound", 2.0) > 3, seconds=START, describe="scores of the sound model", log=node)
            for name in ("unsigned", "swapped", "nan"):
                wait_for(partial(told, node, "q", name, "bad:processor_fault"), seconds=START, describe=name, log=node)
                wait_for(partial(reported, node, name), seconds=START, describe=f"{name} reported", log=node)
            before = told(node, "v", "sound", 2.0)
            wait_for(lambda: told(node, "v", "sound", 2.0) > before + 3, seconds=START, describe="that it goes on", log=node)
            assert [told(node, "v", name, 2.0) for name in ("unsigned", "swapped", "nan")] == [0, 0, 0]
        log = node.log.read_text()
    assert "unsigned.sig: there is none, and this site demands one: muki models sign KEY unsigned" in log
    assert "swapped.onnx: its SHA-256 is" in log
    assert "model nan 1.0.0: gave [nan]; 1 finite numbers are needed" in log
    assert "Traceback" not in log


KINDS = {"sound": "mean", "unsigned": "mean", "swapped": "mean", "nan": "nan"}


def frames(node: Node) -> list[dict[str, Any]]:
    """What lies in the node's outbox; nothing while it is being made."""
    try:
        return node.waiting_frames()
    except sqlite3.OperationalError:
        return []


def told(node: Node, part: str, name: str, wanted: object) -> int:
    """How many frames say so of the model's score."""
    return sum(frame.get(part, {}).get(f"belt-1/{name}/score") == wanted for frame in frames(node))


def reported(node: Node, name: str) -> bool:
    """Whether the node said that the processor does not run: what its malfunction alarm watches."""
    return any(frame.get("v", {}).get(f"belt-1/processor/{name}") == 0 for frame in frames(node))
