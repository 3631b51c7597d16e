"""The JSON Schemas that others read, made from the structs that we decode with: `python -m contract.schema_files --write`.

Without ``--write`` it says which files differ and ends with 1. Objects are left open on purpose: a receiver ignores unknown keys.
"""

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from contract.messages import Ack, Alarm, Birth, Command, Data, GatewayAlarm, NodeState, Reject, Result

FOLDER = Path(__file__).parent / "schemas"
KINDS: dict[str, type[msgspec.Struct]] = {
    "birth": Birth,
    "state": NodeState,
    "data": Data,
    "alarm": Alarm,
    "ack": Ack,
    "reject": Reject,
    "cmd": Command,
    "result": Result,
    "gateway-alarm": GatewayAlarm,
}


def schema(kind: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of one message kind."""
    struct = KINDS[kind]
    made = _plain(msgspec.json.schema(struct))
    definitions = made["$defs"]
    root = definitions.pop(struct.__name__)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"urn:muki:v1:{kind}"}
    return {**head, **root, **({"$defs": definitions} if definitions else {})}


def _plain(node: Any) -> Any:
    """Docstrings as one line without the marks of reStructuredText, and patterns as ECMA 262 needs them (see `contract.values.whole`)."""
    if isinstance(node, dict):
        return {
            key: " ".join(value.replace("``", "").split())
            if key == "description" and isinstance(value, str)
            else value.removesuffix(r"(?!\n)")
            if key == "pattern" and isinstance(value, str)
            else _plain(value)
            for key, value in node.items()
        }
    return [_plain(item) for item in node] if isinstance(node, list) else node


def text(kind: str) -> str:
    """The file's content."""
    return json.dumps(schema(kind), indent=2, ensure_ascii=False) + "\n"


def stale() -> list[Path]:
    """The files that are missing or differ from what the structs give."""
    expected = {FOLDER / f"{kind}.json": text(kind) for kind in KINDS}
    differing = [path for path, content in expected.items() if not path.is_file() or path.read_text("utf-8") != content]
    return differing + sorted(set(FOLDER.glob("*.json")) - set(expected))


def write() -> None:
    """Writes every file, and removes those of kinds that are no more."""
    FOLDER.mkdir(exist_ok=True)
    for path in stale():
        if path.stem in KINDS:
            path.write_text(text(path.stem), "utf-8")
        else:
            path.unlink()


def main(arguments: list[str]) -> int:
    """0 when every file is as it should be (with ``--write``: now), otherwise 1 with their names on standard error."""
    if arguments not in ([], ["--write"]):
        sys.stderr.write("usage: python -m contract.schema_files [--write]\n")
        return 2
    if arguments:
        write()
    for path in stale():
        sys.stderr.write(f"{path.name} differs from contract/messages.py: run python -m contract.schema_files --write\n")
    return 1 if stale() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
