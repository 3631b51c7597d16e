"""Evidence at the gateway: only pictures of known events are kept, each view and verdict is noted, and the term ends them."""

import asyncio
import time
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from sqlalchemy import select

from gateway.alarms.tables import EVENT
from gateway.evidence import EVIDENCE_LOG, LARGEST, Picture, check_jpeg
from tests.rig.webapp import NODE, WebSite, website

JPEG = bytes(cv2.imencode(".jpg", np.random.default_rng(3).integers(0, 255, (90, 160, 3), np.uint8))[1])
DAY = 86_400_000_000_000


def known_event(site: WebSite) -> str:
    site.event()
    with site.services.engine.connect() as connection:
        return str(connection.execute(select(EVENT.c.id)).scalars().first())


def log_of(site: WebSite) -> list[tuple[str, str]]:
    with site.services.engine.connect() as connection:
        return [(row.act, row.who) for row in connection.execute(select(EVIDENCE_LOG).order_by(EVIDENCE_LOG.c.id))]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "begin"),
        (b"<svg onload=alert(1)>", "begin"),
        (JPEG[:-20], "cut off"),
        (JPEG + bytes(5 << 20), "bytes"),
        (b"\xff\xd8\xff\xd9", "segments"),
        (b"\xff\xd8\xff\xe0\x00\x00\xff\xd9", "segments"),
        (b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03" + bytes(9) + b"\xff\xd9", "65535"),
    ],
)
def test_what_is_no_picture_is_refused_with_the_reason(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_jpeg(data)


def test_every_cut_of_a_picture_is_judged_without_harm() -> None:
    check_jpeg(JPEG)
    assert len(JPEG) < LARGEST
    for end in range(0, len(JPEG) - 2, 7):
        with pytest.raises(ValueError, match=r"begin|end|segments|pixels"):
            check_jpeg(JPEG[:end] if end % 2 else JPEG[end + 1 :])


async def test_a_picture_is_kept_seen_judged_and_deleted(tmp_path: Path) -> None:
    async with website(tmp_path) as site, httpx.AsyncClient(base_url=f"{site.url}/api/v1", trust_env=False) as client:
        event, now_ns = known_event(site), time.time_ns()
        evidence = site.services.evidence
        task = asyncio.create_task(evidence.run())
        evidence.offer(Picture(NODE, "not-known", now_ns, JPEG))
        evidence.offer(Picture(NODE, event, now_ns, b"GIF89a"))
        evidence.offer(Picture(NODE, event, now_ns, JPEG))
        evidence.offer(Picture(NODE, event, now_ns, JPEG))
        async with asyncio.timeout(20):
            while len(site.kept) < 2:  # noqa: ASYNC110 - a list has no event
                await asyncio.sleep(0.01)
        task.cancel()
        assert site.kept == [(NODE, event)] * 2, "a picture whose acknowledgement was lost is acknowledged again"
        assert [name for name, _ in site.refused] == [event]
        assert [path.name for path in (tmp_path / "evidence").rglob("*.*")] == [f"{event}.jpg"]

        [one] = (await client.get("/evidence")).json()
        assert (one["node"], one["event"], one["size"], one["verdict"]) == (NODE, event, len(JPEG), None)
        seen = await client.get(f"/evidence/{NODE}/{event}")
        assert (seen.content, seen.headers["content-type"], seen.headers["cache-control"]) == (JPEG, "image/jpeg", "no-store")
        path = f"/evidence/{NODE}/{event}/verdict"
        assert (await client.post(path, json={"verdict": "perhaps", "who": "Ana"})).status_code == 422
        assert (await client.post(path, json={"verdict": "false"})).json()["reason"] == "who_required"
        assert (await client.post(path, json={"verdict": "false", "who": "Ana", "note": "sombra"})).status_code == 200
        assert (await client.get("/evidence")).json() == []
        [figures] = (await client.get("/evidence/figures")).json()
        assert (figures["false"], figures["false_per_day"], figures["days"]) == (1, 1.0, 1.0)
        assert evidence.expire(now_ns + 29 * DAY) == 0
        assert evidence.expire(now_ns + 31 * DAY) == 1
        gone = await client.get(f"/evidence/{NODE}/{event}")
        assert (gone.status_code, gone.json()["reason"]) == (404, "unknown_evidence")
        assert log_of(site) == [("viewed", "nobody logged in"), ("false", "Ana"), ("deleted", "gateway")]
        assert list((tmp_path / "evidence").rglob("*.jpg")) == []


async def test_names_that_lead_elsewhere_find_nothing(tmp_path: Path) -> None:
    async with website(tmp_path) as site, httpx.AsyncClient(base_url=f"{site.url}/api/v1", trust_env=False) as client:
        for path in ("..%2F..%2Fjournal/x", f"{NODE}/..%2F..%2Fjournal.db", f"{NODE}/a.b", f"{NODE}/none"):
            assert (await client.get(f"/evidence/{path}")).status_code in {404, 422}
        assert log_of(site) == []


async def test_a_changed_file_is_not_shown(tmp_path: Path) -> None:
    async with website(tmp_path) as site, httpx.AsyncClient(base_url=f"{site.url}/api/v1", trust_env=False) as client:
        event = known_event(site)
        assert site.services.evidence.keep(Picture(NODE, event, time.time_ns(), JPEG)) == "kept"
        (tmp_path / "evidence" / NODE / f"{event}.jpg").write_bytes(JPEG + b"\0")
        assert (await client.get(f"/evidence/{NODE}/{event}")).status_code == 404
