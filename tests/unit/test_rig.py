"""The rig itself: servers start, die and come back on the same port."""

from pathlib import Path

import psycopg

from tests.rig.processes import answers
from tests.rig.servers import Influx, Mosquitto, Postgres


def test_mosquitto_survives_a_kill_on_its_port(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        port = broker.port
        broker.kill()
        assert not broker.running
        broker.start()
        assert broker.port == port
        assert answers(port)


def test_influx_answers(tmp_path: Path) -> None:
    with Influx(tmp_path / "influx") as influx:
        assert influx.url.startswith("http://127.0.0.1:")


def test_postgres_answers(tmp_path: Path) -> None:
    with Postgres(tmp_path / "postgres") as postgres, psycopg.connect(postgres.url.replace("+psycopg", "")) as connection:
        row = connection.execute("select 1").fetchone()
    assert row == (1,)
