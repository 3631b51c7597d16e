"""Whatever a node sends, the ingest neither fails nor stops: the next good message is stored and acknowledged."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.assembly import Gateway
from gateway.config import BrokerConfig, GatewayConfig
from gateway.ledger import Entry
from gateway.numbering import numbered
from gateway.session import Incoming
from gateway.store.memory import MemoryStore

NOW = time.time_ns()
MS = NOW // 1_000_000
BIRTH: dict[str, Any] = {
    "boot": "b1",
    "software": "x",
    "contract": 1,
    "points": {"gas-2/co": {"unit": "ppm", "range": [0, 500]}},
    "sent": MS,
    "alarms": [{"id": "co-high", "point": "gas-2/co", "condition": {"kind": "above", "limit": 25.0}, "priority": "high"}],
    "standing": [{"definition": "co-high", "since": MS, "event": "e1"}],
    "models": [
        {
            "name": "m",
            "version": "1.0.0",
            "sha256": "ab" * 32,
            "points": ["gas-2/co"],
            "figures": [{"name": "F1", "value": 1, "low": 0, "high": 1}],
        }
    ],
}
STATE: dict[str, Any] = {"online": True, "boot": "b1", "since": MS, "clock_synchronised": False}
DATA: dict[str, Any] = {"boot": "b1", "seq": 3, "sent": MS, "frames": [{"t": MS, "v": {"gas-2/co": 1.0}, "q": {"gas-2/co": "bad:stuck"}}]}
ALARM: dict[str, Any] = {
    "boot": "b1",
    "seq": 4,
    "sent": MS,
    "event": {"id": "e2", "definition": "co-high", "point": "gas-2/co", "t": MS, "transition": "active", "value": 30.0, "evidence": ["a"]},
}
VALID = {"birth": BIRTH, "state": STATE, "data": DATA, "alarm": ALARM}

odd = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 1, 2**53 - 1, 2**63, 10**400, 253402300799999, 1e308, -1e308, 5e-324, 0.5]),
    st.sampled_from(["", "gas-2/co", "silence", "good", "bad", "bad:x", "a/b", "\x00", "ñ", "x" * 300, "_gateway", "e1\n"]),
    st.text(max_size=8),
    st.sampled_from(["[]", "{}", "[[]]", '{"": {}}', "[1, 2]", '{"gas-2/co": 1.0}']).map(json.loads),
)


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, bytes]:
    """A valid message with up to three of its places changed, or its bytes cut or overwritten."""
    kind = draw(st.sampled_from(sorted(VALID)))
    message = json.loads(json.dumps(VALID[kind]))
    for _ in range(draw(st.integers(0, 3))):
        place: Any = message
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], dict | list) and place[key] and draw(st.booleans()):
                place = place[key]
                continue
            if isinstance(place, dict) and draw(st.integers(0, 3)) == 0:
                del place[key]
            else:
                place[key] = draw(odd)
            break
    payload = json.dumps(message).encode()
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(payload)))
        payload = payload[:at] + draw(st.binary(max_size=6)) + (payload[at:] if draw(st.booleans()) else b"")
    return kind, payload


@asynccontextmanager
async def running(tmp_path: Path) -> AsyncIterator[Gateway]:
    config = GatewayConfig(site="test", data_dir=tmp_path, broker=BrokerConfig(port=1), commit_every=0.01)
    async with Gateway(config, store=MemoryStore()) as gateway:
        yield gateway
        gateway.session._acks.clear()


async def test_nothing_stops_the_ingest(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        acked: list[Entry] = []
        gateway.batcher._acknowledge = acked.append

        @settings(max_examples=400, deadline=None, database=None)
        @given(mutated(), st.booleans())
        def feed(message: tuple[str, bytes], retained: bool) -> None:
            kind, payload = message
            gateway.ingest.handle(Incoming(f"muki/v1/test/pump-3/{kind}", payload, retained, time.time_ns()))

        feed()
        await asyncio.wait_for(gateway.ingest.drained(), 20)
        await asyncio.wait_for(gateway.batcher.drained(), 20)
        await asyncio.wait_for(gateway.services.annunciator.drained(), 20)
        await asyncio.wait_for(gateway.rejects.drained(), 20)
        good = {**DATA, "boot": "b9", "seq": 1}
        gateway.ingest.handle(Incoming("muki/v1/test/other-1/data", json.dumps(good).encode(), False, time.time_ns()))
        await asyncio.wait_for(gateway.ingest.drained(), 20)
        await asyncio.wait_for(gateway.batcher.drained(), 20)
        assert acked[-1][:3] == ("other-1", "b9", 1)
        assert gateway.services.metrics.registry.get_sample_value("muki_store_errors_total") == 0
        assert gateway.services.metrics.registry.get_sample_value("muki_journal_errors_total") == 0


@given(st.binary(max_size=200))
def test_a_number_is_found_or_not_but_never_wrong(payload: bytes) -> None:
    found = numbered(payload)
    assert found is None or (found[0] and 0 < found[1] < 2**53)


def test_a_number_is_found_in_what_was_cut_off() -> None:
    assert numbered(b'{"boot": "01JD-x", "seq": 4182, "sent": 17638704') == ("01JD-x", 4182)
    assert numbered(b'{"frames": [], "seq": 9, "boot": "b"}') == ("b", 9)
    assert numbered(b'{"boot": "b", "seq": 0}') is None
    assert numbered(b'{"boot": "b b", "seq": 1}') is None
    assert numbered(b'{"boot": 7, "seq": 1}') is None
    assert numbered(b'{"boot": "b"') is None


async def test_times_that_sql_cannot_hold_are_refused_and_settled(tmp_path: Path) -> None:
    far = 253402300799999  # the year 9999, which the contract allows and 64 bits of nanoseconds do not
    async with running(tmp_path) as gateway:
        acked: list[Entry] = []
        gateway.batcher._acknowledge = gateway.rejects.acknowledge = gateway.services.annunciator._acknowledge = acked.append
        for kind, message in (
            ("birth", {**BIRTH, "standing": []}),
            ("state", STATE),
            ("data", {**DATA, "seq": 1, "sent": far}),
            ("data", {**DATA, "seq": 2, "sent": far, "frames": [{"t": far, "v": {"gas-2/co": 1.0}}]}),
            ("alarm", {**ALARM, "seq": 3, "sent": far}),
            ("alarm", {**ALARM, "seq": 4, "sent": MS, "event": {**ALARM["event"], "id": "e3", "t": far}}),
        ):
            gateway.ingest.handle(Incoming(f"muki/v1/test/pump-3/{kind}", json.dumps(message).encode(), False, time.time_ns()))
        await asyncio.wait_for(gateway.ingest.drained(), 10)
        await asyncio.wait_for(gateway.batcher.drained(), 10)
        await asyncio.wait_for(gateway.services.annunciator.drained(), 10)
        assert sorted(entry.seq for entry in acked) == [1, 2, 3, 4]
        (view,) = [view for view in gateway.services.journal.standing() if view.node == "pump-3"]
        assert abs(view.now.since_ns - time.time_ns()) < 60_000_000_000
