"""The plan of the site: pictures that may be shown, markers that make sense, what is saved and by whom."""

import os
from pathlib import Path

import httpx
import pytest

from contract.documents import DocumentError
from gateway import audit
from gateway.config import load
from gateway.plan.settings import LARGEST, Marker, media_type
from tests.rig.webapp import website

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 50
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M0 0h9"/></svg>'
MARKER = {"kind": "asset", "ref": "gas-north/gas-2", "title": "", "x": 0.25, "y": 0.5, "radius": 0.0}


@pytest.mark.parametrize(
    ("data", "kind"), [(PNG, "image/png"), (b"\xff\xd8\xff\xe0..", "image/jpeg"), (SVG, "image/svg+xml"), (b"\n<svg/>", "image/svg+xml")]
)
def test_pictures_are_known_by_what_they_are(data: bytes, kind: str) -> None:
    assert media_type(data) == kind


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a",
        b"<html><svg/></html>",
        PNG + b"0" * LARGEST,
        SVG.replace(b"<path", b"<script>alert(1)</script><path"),
        SVG.replace(b"<path", b"<path onload='alert(1)'"),
        SVG.replace(b"<path", b"<a href='https://example.org'/><path"),
        SVG.replace(b"<path", b'<image href="file:///etc/passwd"/><path'),
        b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "b">]><svg>&a;</svg>',
    ],
)
def test_what_may_not_be_shown_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        media_type(data)


def test_links_within_an_svg_are_taken() -> None:
    assert media_type(SVG.replace(b"<path", b'<use href="#a"/><path')) == "image/svg+xml"


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "zone"},
        {"kind": "zone", "title": "x", "radius": 0},
        {"ref": "gas"},
        {"kind": "place", "ref": "A b"},
        {"x": 1.1},
        {"y": float("nan")},
    ],
)
def test_markers_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Marker.model_validate({**MARKER, **wrong})


def test_a_wrong_picture_of_a_configuration_is_named(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("site: a\ndata_dir: d\nplan:\n  picture: plan.svg\n")
    with pytest.raises(DocumentError, match=r"gateway.yaml:4: plan.picture: .*plan.svg: No such file"):
        load(file)
    (tmp_path / "plan.svg").write_bytes(SVG.replace(b"<path", b"<script/><path"))
    with pytest.raises(DocumentError, match=r"'<script': scripts, entities"):
        load(file)
    (tmp_path / "plan.svg").write_bytes(SVG)
    assert load(file).plan.picture == tmp_path / "plan.svg"


async def test_a_plan_is_drawn_placed_and_stays(tmp_path: Path) -> None:
    async with website(tmp_path) as site, httpx.AsyncClient(base_url=site.url, headers={"Origin": site.url}) as client:
        assert (await client.get("/api/v1/plan")).json() == {"markers": [], "picture": "", "saved": 0, "who": ""}
        assert (await client.get("/api/v1/plan/picture")).json()["reason"] == "no_picture"
        assert (await client.put("/api/v1/plan", json={"markers": [MARKER]})).json()["reason"] == "who_required"
        assert (await client.put("/api/v1/plan", json={"markers": [MARKER], "who": "Inés"})).json()["markers"] == [MARKER]
        sent = await client.put("/api/v1/plan/picture?who=Eva", content=SVG, headers={"Content-Type": "image/svg+xml"})
        assert (sent.json()["markers"], sent.json()["who"]) == ([MARKER], "Eva")
        seen = await client.get("/api/v1/plan/picture")
        assert (seen.content, seen.headers["content-type"]) == (SVG, "image/svg+xml")
        assert seen.headers["content-security-policy"] == "default-src 'none'; style-src 'unsafe-inline'; sandbox"
        kept = audit.entries(site.services.engine, kind="site.plan", limit=5)
        assert [one.who for one in kept] == ["Eva", "Inés"]
        (file,) = (tmp_path / "plan").iterdir()
        os.truncate(file, 3)
        assert "changed" in (await client.get("/api/v1/plan/picture")).json()["detail"]


@pytest.mark.parametrize(
    ("content", "kind", "status", "reason"),
    [
        (b"GIF89a", "image/png", 422, "bad_picture"),
        (SVG, "text/html", 415, "no_picture"),
        (SVG, "application/json", 415, "no_picture"),
        (b"0" * (LARGEST + 1), "image/png", 413, "too_large"),
    ],
)
async def test_a_body_that_is_no_picture_is_refused(tmp_path: Path, content: bytes, kind: str, status: int, reason: str) -> None:
    async with website(tmp_path) as site, httpx.AsyncClient(base_url=site.url, headers={"Origin": site.url}) as client:
        answer = await client.put("/api/v1/plan/picture?who=Eva", content=content, headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["reason"]) == (status, reason)


async def test_a_picture_is_no_way_around_the_limit_of_other_bodies(tmp_path: Path) -> None:
    async with website(tmp_path) as site, httpx.AsyncClient(base_url=site.url, headers={"Origin": site.url}) as client:
        answer = await client.put("/api/v1/plan", content=b"0" * 70_000, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
        assert (await client.put("/api/v1/plan", content=SVG, headers={"Content-Type": "image/svg+xml"})).status_code == 415
        other = await client.put(
            "/api/v1/plan/picture?who=Eva", content=PNG, headers={"Content-Type": "image/png", "Origin": "http://evil"}
        )
        assert other.json()["reason"] == "cross_site"
