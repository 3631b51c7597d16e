"""Nodes are let in by people where the site wants it; what others send waits on them. And what the shell says of nodes and of what is missing."""

import asyncio
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

import muki
from contract.alarms import alarm_key
from gateway.alarms.journal import UnknownAlarm
from gateway.api.app import create_app
from gateway.approvals import Approvals
from gateway.assembly import Gateway
from gateway.config import BrokerConfig, GatewayConfig
from gateway.database import open_database
from gateway.ledger import Entry, Ledger
from gateway.store import Series
from gateway.store.memory import MemoryStore
from tests.rig.device import SITE, device, until
from tests.rig.servers import Mosquitto

POINTS = {"gas-2/co": {"unit": "ppm", "range": [0, 500]}}


def config(tmp_path: Path, port: int) -> GatewayConfig:
    broker = BrokerConfig(host="127.0.0.1", port=port)
    return GatewayConfig(site=SITE, data_dir=tmp_path / "data", broker=broker, commit_every=0.05, approve_nodes=True)


def file(tmp_path: Path, more: str = "approve_nodes: true\n") -> str:
    (tmp_path / "gateway.yaml").write_text(f"site: {SITE}\ndata_dir: data\n{more}")
    return str(tmp_path / "gateway.yaml")


def shell(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(muki.main, words)
    return done.exit_code, done.output


def standing(gateway: Gateway, name: str) -> bool:
    try:
        return gateway.services.journal.get(alarm_key("pump-3", name)).now.active
    except UnknownAlarm:
        return False


async def test_a_node_that_nobody_knows_waits_and_everything_arrives_once_it_is_approved(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        async with Gateway(config(tmp_path, broker.port), store=MemoryStore()) as gateway, device(broker.port) as one:
            await until(lambda: gateway.session.up)
            alarm = {"id": "co-high", "point": "gas-2/co", "condition": {"kind": "above", "limit": 25.0}, "priority": "high"}
            await one.birth(POINTS, alarms=[alarm | {"title": {"es": "CO alto", "en": "High CO"}}])
            first = await one.data({"gas-2/co": 30.0})
            second = await one.alarm("co-high", "active", event="01E")
            await until(lambda: standing(gateway, "unapproved"))
            await asyncio.sleep(0.3)
            assert one.acked() == set()
            assert gateway.services.store.series() == []
            assert not standing(gateway, "co-high")
            assert one.rejects() == [], "nothing is wrong with what it sent"
            code, said = await asyncio.to_thread(shell, "gateway", "approve", file(tmp_path), "pump-3", "--who", "Rosa Quispe")
            assert (code, said) == (0, "pump-3: approved\n")
            await until(lambda: gateway.approvals.approved("pump-3"))
            await until(lambda: not standing(gateway, "unapproved"))
            one.seq = first - 1  # a node sends again what was not acknowledged
            await one.data({"gas-2/co": 30.0})
            await one.alarm("co-high", "active", event="01E")
            await until(lambda: one.acked() >= {first, second})
            assert gateway.services.store.series() == [Series("pump-3", "gas-2/co")]
            view = gateway.services.journal.get(alarm_key("pump-3", "co-high"))
            assert view.definition.title["en"] == "High CO", "its birth counts from the approval on"
            assert await asyncio.to_thread(shell, "gateway", "approve", file(tmp_path), "pump-3", "--withdraw") == (
                0,
                "pump-3: no longer approved\n",
            )
            await until(lambda: standing(gateway, "unapproved"))
            third = await one.data({"gas-2/co": 31.0})
            await asyncio.sleep(0.3)
            assert third not in one.acked()


async def test_a_node_is_approved_through_the_api_with_a_name(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        async with Gateway(config(tmp_path, broker.port), store=MemoryStore()) as gateway, device(broker.port) as one:
            await until(lambda: gateway.session.up)
            await one.birth(POINTS)
            await until(lambda: gateway.services.nodes.birth("pump-3") is not None)
            app = httpx.ASGITransport(create_app(gateway.services))
            async with httpx.AsyncClient(transport=app, base_url="http://127.0.0.1/api/v1") as client:
                assert [node["approved"] for node in (await client.get("/nodes")).json()] == [False]
                assert (await client.post("/nodes/pump-9/approve", json={"who": "Rosa"})).status_code == 404
                assert (await client.post("/nodes/pump-3/approve", json={"who": ""})).status_code == 422
                assert (await client.post("/nodes/pump-3/approve", json={"who": "Rosa"})).status_code == 200
            await until(lambda: gateway.approvals.approved("pump-3"))
            assert gateway.approvals.by() == {"pump-3": "Rosa"}


def test_an_approval_has_a_name_and_outlives_the_process(tmp_path: Path) -> None:
    approvals = Approvals(open_database(f"sqlite:///{tmp_path / 'a.db'}"), required=True)
    with pytest.raises(ValueError, match="say who"):
        approvals.approve("gas-1", who=" ", note="", now_ns=1)
    approvals.approve("gas-1", who="Ana", note="level 4", now_ns=1)
    assert not approvals.approved("gas-1"), "until it is read again"
    assert approvals.reload() == {"gas-1"}
    assert approvals.reload() == frozenset()
    again = Approvals(open_database(f"sqlite:///{tmp_path / 'a.db'}"), required=True)
    assert again.approved("gas-1")
    assert not again.approved("gas-2")
    assert Approvals(open_database(f"sqlite:///{tmp_path / 'b.db'}"), required=False).approved("anybody")


def test_the_shell_says_what_is_missing_and_ends_with_1_while_something_is(tmp_path: Path) -> None:
    name = file(tmp_path)
    code, said = shell("ledger", name)
    assert (code, "no gateway has run" in said) == (1, True)
    (tmp_path / "data").mkdir()
    book = Ledger(open_database(f"sqlite:///{tmp_path / 'data' / 'journal.db'}"))
    assert shell("ledger", name) == (0, "nothing was received yet\n")
    book.commit([Entry("gas-1", "b1", seq) for seq in (1, 2, 5, 6, 8)])
    book.commit([Entry("gas-2", "b7", seq) for seq in (1, 2)])
    code, said = shell("ledger", name)
    assert code == 1
    lines = said.splitlines()
    assert lines[0].startswith("gas-1  boot b1 since 20")
    assert lines[0].endswith(": 5 of 8, 3 missing")
    assert lines[1:] == ["  3 to 4", "  7", "7 messages of 2 nodes committed, 3 missing"]
    assert shell("ledger", name, "--node", "gas-2") == (0, "2 messages of 1 nodes committed, 0 missing\n")
    assert "boot b7" in shell("ledger", name, "--node", "gas-2", "--all")[1]
    assert shell("ledger", name, "--node", "gas-3") == (0, "nothing was received of 'gas-3'\n")


def test_wrong_words_in_the_shell_are_told(tmp_path: Path) -> None:
    name = file(tmp_path, "")
    (tmp_path / "data").mkdir()
    open_database(f"sqlite:///{tmp_path / 'data' / 'journal.db'}")
    assert shell("gateway", "nodes", name) == (0, "no node was heard yet\n")
    code, said = shell("gateway", "approve", name, "Gas 1", "--who", "Ana")
    assert (code, "node" in said) == (1, True)
    assert shell("gateway", "approve", name, "gas-1")[0] == 1
    assert shell("gateway", "approve", name, "gas-1", "--withdraw") == (1, "Error: gas-1 was not approved\n")
    code, said = shell("gateway", "approve", name, "gas-1", "--who", "Ana")
    assert (code, "every node is let in" in said) == (0, True)
    code, said = shell("ledger", file(tmp_path, "aprove_nodes: true\n"))
    assert (code, "gateway.yaml:3" in said) == (2, True)
