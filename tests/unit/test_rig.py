"""The rig itself: servers start, die and come back on the same port."""

from pathlib import Path

from tests.rig.processes import answers
from tests.rig.servers import Influx, Mosquitto


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
