"""`muki query` against a gateway that runs: what a person types and reads."""

import asyncio
import time
from pathlib import Path

import pyarrow.parquet as pa_parquet
import pytest
from click.testing import CliRunner, Result

from gateway.accounts.roles import Role
from gateway.query_cli import BARS, main, sparkline, table
from tests.rig.webapp import NODE, WebSite, website


def test_a_line_of_blocks() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == BARS
    assert sparkline([5, None, 5]) == f"{BARS[0]} {BARS[0]}"
    assert sparkline([None]) == ""
    assert table(("a", "b", "c"), [("xx", "y", "1"), ("x", "yy", "100")]) == "a   b     c\nxx  y     1\nx   yy  100"


async def said(site: WebSite, *words: str) -> Result:
    return await asyncio.to_thread(lambda: CliRunner().invoke(main, ["--url", site.url, *words]))


async def test_points_readings_and_a_file(tmp_path: Path) -> None:
    async with website(tmp_path) as site:
        for ago in range(600, 0, -1):
            site.read({"gas-2/co": float(ago % 60), "gas-2/o2": 20.9}, ago=ago)
        points = await said(site, "points", "CO")
        assert points.exit_code == 0
        assert "gas-2/co" in points.output
        assert "ppm" in points.output
        assert "gas-2/o2" not in points.output
        history = await said(site, "readings", NODE, "gas-2/co", "--last", "15m", "--rows", "3")
        assert history.exit_code == 0, history.output
        assert BARS[-1] in history.output
        assert "in ppm" in history.output
        assert history.output.splitlines()[2].split() == ["time", "minimum", "mean", "maximum", "readings"]
        assert sum(int(line.split()[-1]) for line in history.output.splitlines()[3:]) == 600
        file = tmp_path / "out.parquet"
        assert (await said(site, "export", str(file), "--point", f"{NODE}/gas-2/co", "--last", "1h")).exit_code == 0
        assert pa_parquet.read_table(file).num_rows == 600
        assert not file.with_name("out.parquet.part").exists()


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["points", "nothing-like-it"], 1, "no point has 'nothing-like-it' in its name"),
        (["readings", NODE, "gas-9/x"], 1, "unknown_point"),
        (["readings", NODE, "gas-2/co", "--last", "soon"], 2, "for example 8h"),
        (["export", "out.xlsx"], 1, "ends in .csv, .parquet or .arrow"),
        (["export", "/nowhere/out.csv"], 1, "/nowhere/out.csv"),
    ],
)
async def test_what_is_wrong_is_said(words: list[str], status: int, text: str, tmp_path: Path) -> None:
    async with website(tmp_path) as site:
        answer = await said(site, *words)
        assert (answer.exit_code, text in answer.output) == (status, True), answer.output


async def test_a_site_that_asks_for_a_login_takes_a_token(tmp_path: Path) -> None:
    async with website(tmp_path, access="all") as site:
        assert "give --token-file" in (await said(site, "points")).output
        token = tmp_path / "token"
        token.write_text(site.services.passes.issue("shell", Role.VIEWER, now_ns=time.time_ns()) + "\n")
        assert (await said(site, "--token-file", str(token), "points")).exit_code == 0
    answer = await said(site, "points")
    assert "is the gateway running" in answer.output
