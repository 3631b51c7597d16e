"""A bundle of evidence: whole it holds, and whatever is done to it is found, without the gateway."""

import io
import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from sqlalchemy import select

from contract.alarms import Trigger
from gateway.alarms.tables import EVENT
from gateway.bundle_check import Checked, check
from gateway.evidence import Picture
from gateway.evidence_cli import main
from tests.rig.webapp import CO_HIGH, NODE, O2_LOW, WebSite, website
from tests.unit.test_evidence_gateway import JPEG

KEY = f"{NODE}.co-high"
Members = dict[str, bytes]


async def made(site: WebSite) -> bytes:
    """Of an alarm with a picture, an acknowledgement and a second round."""
    site.read({"gas-2/co": 41.5})
    site.event(CO_HIGH, value=41.5)
    with site.services.engine.connect() as connection:
        event = str(connection.execute(select(EVENT.c.id)).scalars().first())
    assert site.services.evidence.keep(Picture(NODE, event, time.time_ns(), JPEG)) == "kept"
    site.event(O2_LOW, value=19.0)
    site.journal.act(KEY, Trigger.ACKNOWLEDGE, who="Ana", note="voy", now_ns=time.time_ns())
    site.event(CO_HIGH, active=False, value=9.0)
    site.event(CO_HIGH, value=33.0)
    async with httpx.AsyncClient(base_url=f"{site.url}/api/v1", trust_env=False) as client:
        answer = await client.get(f"/alarms/{KEY}/bundle", params={"who": "Eva"})
        assert answer.status_code == 200, answer.text
        assert (await client.get(f"/alarms/{NODE}.nothing/bundle", params={"who": "Eva"})).status_code == 404
        assert (await client.get(f"/alarms/{KEY}/bundle")).json()["reason"] == "who_required"
    return answer.content


def unpacked(data: bytes) -> Members:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name: file.read(name) for name in file.namelist()}


def packed(members: Members, path: Path) -> Checked:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return check(path)


def resealed(members: Members) -> Members:
    """The manifest made to fit, as somebody would who knows how it is made."""
    import hashlib

    manifest = json.loads(members["manifest.json"])
    manifest["members"] = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for name, data in members.items() if name != "manifest.json"
    }
    return {**members, "manifest.json": json.dumps(manifest).encode()}


def lines(members: Members, change: Callable[[list[bytes]], list[bytes]]) -> Members:
    return resealed({**members, "audit.jsonl": b"\n".join(change(members["audit.jsonl"].splitlines())) + b"\n"})


async def test_whole_it_holds_and_whatever_is_done_to_it_is_found(tmp_path: Path) -> None:
    async with website(tmp_path) as site:
        data = await made(site)
    path = tmp_path / "bundle.zip"
    path.write_bytes(data)
    whole = check(path)
    assert whole.broken == []
    assert any("without a gap" in text for text in whole.holds)
    assert any("1 pictures are those that were received" in text for text in whole.holds)
    assert any("4 entries of the history" in text for text in whole.holds)
    good = CliRunner().invoke(main, ["verify", str(path)])
    assert (good.exit_code, "holds: " in good.output) == (0, True)
    members = unpacked(data)
    assert b"41.5" in members["samples.csv"]
    picture = next(name for name in members if name.startswith("pictures/"))

    for name, content in members.items():
        place = len(content) // 2
        flipped = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        assert packed({**members, name: flipped}, path).broken, f"a byte of {name}"
        if name != "manifest.json":
            assert packed({key: value for key, value in members.items() if key != name}, path).broken == [f"{name} is missing"]
    assert packed({**members, "more.txt": b"x"}, path).broken == ["more.txt was added"]
    assert packed({"manifest.json": b"[]"}, path).broken
    assert packed({"a": b"x"}, path).broken == ["manifest.json is missing"]

    # By somebody who makes the manifest fit.
    history = json.loads(members["history.json"])
    found = {
        "an entry removed": lines(members, lambda rows: [*rows[:1], *rows[2:]]),
        "the first removed": lines(members, lambda rows: rows[1:]),
        "the last removed": lines(members, lambda rows: rows[:-1]),
        "two swapped": lines(members, lambda rows: [rows[1], rows[0], *rows[2:]]),
        "a name changed": lines(members, lambda rows: [row.replace(b'"Ana"', b'"Eva"') for row in rows]),
        "none left": lines(members, lambda rows: []),
        "another picture": resealed({**members, picture: JPEG + b"x"}),
        "a picture of nowhere": resealed({**members, "pictures/x/y.jpg": JPEG}),
        "history shortened": resealed({**members, "history.json": json.dumps(history[1:]).encode()}),
        "history invented": resealed({**members, "history.json": json.dumps([{**history[0], "at": 5.0}, *history]).encode()}),
    }
    for how, changed in found.items():
        assert packed(changed, path).broken, how
    bad = CliRunner().invoke(main, ["verify", str(path)])
    assert (bad.exit_code, "BROKEN: history" in bad.output) == (1, True)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no zip at all", bytes(100)])
def test_what_is_no_bundle_is_said(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(content)
    assert check(path).broken[0].startswith("no whole ZIP")
    assert "No such file" in CliRunner().invoke(main, ["verify", str(tmp_path / "nowhere.zip")]).output


async def test_every_cut_of_a_bundle_is_found(tmp_path: Path) -> None:
    async with website(tmp_path) as site:
        data = await made(site)
    path = tmp_path / "cut.zip"
    for end in range(0, len(data) - 1, max(1, len(data) // 60)):
        path.write_bytes(data[:end])
        assert check(path).broken


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for place in range(9):
            file.writestr(f"{place}", bytes(64 << 20))
    assert "unpacked" in check(path).broken[0]
