"""Other sites get nothing done: headers, hosts, origins, content types."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.datastructures import Headers

from contract.alarms import State
from gateway.api.protection import MAX_BODY, refuse
from gateway.loopback import is_loopback
from tests.rig.webapp import NODE, website

KEY = f"{NODE}.co-high"


@pytest.mark.parametrize("path", ["/", "/api/v1/alarms", "/static/app.js", "/none", "/static/vendor/uplot/uPlot.iife.min.js"])
async def test_every_answer_carries_the_headers(tmp_path: Path, path: str) -> None:
    async with website(tmp_path) as site, httpx.AsyncClient(base_url=site.url, trust_env=False) as client:
        headers = (await client.get(path)).headers
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "DENY")
        assert "cache-control" in headers


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403, "cross_site"),
        ({"Sec-Fetch-Site": "same-site"}, 403, "cross_site"),
        ({"Origin": "http://evil.example"}, 403, "cross_site"),
        ({"Origin": "null"}, 403, "cross_site"),
        ({"Content-Type": "text/plain"}, 415, "not_json"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415, "not_json"),
        ({"Host": "evil.example"}, 421, "wrong_host"),
        ({"Host": "127.0.0.1.evil.example"}, 421, "wrong_host"),
    ],
)
async def test_a_request_of_another_site_changes_nothing(tmp_path: Path, headers: dict[str, str], status: int, reason: str) -> None:
    async with website(tmp_path) as site, httpx.AsyncClient(base_url=site.url, trust_env=False) as client:
        site.event()
        given = {"Content-Type": "application/json", **headers}
        answer = await client.post(f"/api/v1/alarms/{KEY}/acknowledge", content=b'{"who": "Eva"}', headers=given)
        assert (answer.status_code, answer.json()["reason"]) == (status, reason)
        assert site.journal.get(KEY).state is State.UNACKNOWLEDGED


async def test_the_own_page_and_programs_are_served(tmp_path: Path) -> None:
    async with website(tmp_path) as site, httpx.AsyncClient(base_url=site.url, trust_env=False) as client:
        for who, headers in (("page", {"Sec-Fetch-Site": "same-origin"}), ("page", {"Origin": site.url}), ("program", {})):
            site.event()
            answer = await client.post(f"/api/v1/alarms/{KEY}/acknowledge", json={"who": who}, headers=headers)
            assert answer.status_code == 200
            site.event(active=False)


async def test_a_body_is_bounded(tmp_path: Path) -> None:
    async with website(tmp_path) as site, httpx.AsyncClient(base_url=site.url, trust_env=False) as client:
        path, json = f"/api/v1/alarms/{KEY}/acknowledge", {"Content-Type": "application/json"}
        assert (await client.post(path, content=b"x" * (MAX_BODY + 1), headers=json)).status_code == 413

        async def pieces() -> AsyncIterator[bytes]:
            yield b"{}"

        assert (await client.post(path, content=pieces(), headers=json)).status_code == 411


def test_bound_to_the_network_any_host_name_is_right() -> None:
    assert refuse("GET", Headers({"host": "muki.mina.pe"}), loopback=False) is None
    assert refuse("GET", Headers({"host": "muki.mina.pe"}), loopback=True) is not None
    assert refuse("GET", Headers({"host": "[::1]:8080"}), loopback=True) is None


@pytest.mark.parametrize(
    ("host", "local"), [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False)]
)
def test_what_loopback_is(host: str, local: bool) -> None:
    assert is_loopback(host) is local
