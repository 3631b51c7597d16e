"""The gateway's configuration: what is wrong is told with file, line and key."""

from pathlib import Path

import pytest

from contract.documents import DocumentError
from gateway.opening import check, store_settings

GOOD = """
site: mina-norte
data_dir: data
"""


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "gateway.yaml"
    file.write_text(text.lstrip())
    return file


def test_two_lines_are_enough(tmp_path: Path) -> None:
    config = check(write(tmp_path, GOOD))
    assert config.data_dir == tmp_path / "data"
    assert config.database_url == f"sqlite:///{tmp_path / 'data' / 'journal.db'}"
    assert (config.store.type, config.language, config.time_zone) == ("duckdb", "es", "America/Lima")
    assert (config.commit_every, config.silence_after, config.late_after) == (0.25, 15.0, 30.0)
    assert (config.http.host, config.http.port) == ("127.0.0.1", 8080)
    assert store_settings(config)["path"] == tmp_path / "data" / "history.duckdb"


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2\n")
    config = check(write(tmp_path, GOOD + "broker: {username: gateway, password_file: secret}\nstore: {type: duckdb, path: old.duckdb}\n"))
    assert config.broker.password() == "hunter2"
    assert store_settings(config)["path"] == tmp_path / "data" / "old.duckdb"


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("stor: {}", "gateway.yaml:3: stor: unknown key; did you mean 'store'?"),
        ("broker:\n  prot: 1", "gateway.yaml:4: broker.prot: unknown key; did you mean 'port'?"),
        ("broker:\n  password_file: nowhere", "gateway.yaml:4: broker.password_file: {}/nowhere: there is no such file"),
        ("http: {port: 99999}", "gateway.yaml:3: http.port: Input should be less than or equal to 65535 (got 99999)"),
        ("language: qu", "gateway.yaml:3: language: Input should be 'es' or 'en' (got 'qu')"),
        ("time_zone: Lima", "gateway.yaml:3: time_zone: 'Lima' is no IANA time zone; write one like America/Lima or America/Santiago"),
        ("database: journal", "gateway.yaml:3: database: write sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME"),
        ("silence_after: 0", "gateway.yaml:3: silence_after: Input should be greater than 0 (got 0)"),
        ("store:\n  type: duck", "gateway.yaml:4: store.type: store 'duck': did you mean 'duckdb'?"),
        ("store:\n  type: duckdb\n  paths: x", "gateway.yaml:5: store.paths: unknown key; did you mean 'path'?"),
    ],
)
def test_problems_have_a_place(more: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(DocumentError) as error:
        check(write(tmp_path, GOOD + more + "\n"))
    (line,) = error.value.problems
    assert line.startswith(f"{tmp_path}/{problem.format(tmp_path)}")


def test_a_site_is_required(tmp_path: Path) -> None:
    with pytest.raises(DocumentError) as error:
        check(write(tmp_path, "data_dir: data\n"))
    assert error.value.problems == [f"{tmp_path}/gateway.yaml:1: site: missing; it is required"]
