"""The integration guide does what it says: its device and its shell lines, taken out of the page, against a real Mosquitto and a gateway."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.rig.processes import ROOT, Child, wait_for
from tests.rig.servers import Mosquitto, Postgres
from tests.rig.site import Gateway

GUIDE = (ROOT / "docs" / "integration.md").read_text("utf-8")
SITE, NODE, POINT = "antares", "acme-1", "gas-2/co"  # as the guide names them


def block(language: str) -> str:
    """The only block of a language in the guide."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"the guide has {len(found)} blocks of {language}; this test knows one"
    return str(found[0])


@contextmanager
def site(folder: Path, **settings: object) -> Iterator[tuple[Mosquitto, Gateway]]:
    """A broker and a gateway that is ready."""
    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(folder / "broker"))
        gateway = stack.enter_context(Gateway(folder / "gateway", broker.port, {"type": "duckdb"}, site=SITE, **settings))
        gateway.wait_ready()
        yield broker, gateway


def samples(gateway: Gateway) -> list[dict[str, Any]]:
    """The two hours around the newest reading of the guide's point, as one slot of a chart."""
    newest = next(point for point in gateway.get("/api/v1/points", node=NODE) if point["point"] == POINT)
    hour = 3_600_000
    found = gateway.get("/api/v1/readings", node=NODE, point=POINT, start=newest["time"] - hour, end=newest["time"] + hour, buckets=1)
    return list(found["buckets"])


def test_the_device_of_the_guide_is_stored_and_alarms_with_the_journal_in_postgresql(tmp_path: Path) -> None:
    device = tmp_path / "device.py"
    device.write_text(block("python"), "utf-8")
    with Postgres(tmp_path / "postgres") as postgres, site(tmp_path, database=postgres.url) as (broker, gateway):
        command = [sys.executable, str(device), "127.0.0.1", str(broker.port), SITE, NODE]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        (bucket,) = samples(gateway)
        assert (bucket["samples"], bucket["minimum"], bucket["maximum"]) == (7, 20, 26)
        points = {point["point"]: point for point in gateway.get("/api/v1/points", node=NODE)}
        assert (points["gas-2/o2"]["value"], points["gas-2/o2"]["quality"]) == (None, "bad:wire_break")
        (ledger,) = gateway.get("/api/v1/ledger")
        assert (ledger["committed"], ledger["missing"]) == (3, 0)
        (alarm,) = [alarm for alarm in gateway.get("/api/v1/alarms") if alarm["definition"] == "co-high"]
        assert (alarm["key"], alarm["state"], alarm["title"]["en"]) == (f"{NODE}.co-high", "returned_unacknowledged", "CO high")
        history = gateway.get("/api/v1/alarms/history", key=f"{NODE}.co-high")["entries"]
        assert [(entry["what"], entry["value"], entry["late"]) for entry in reversed(history)] == [
            ("active", 26, False),
            ("normal", 20, False),
        ]
        wait_for(lambda: gateway.get("/api/v1/nodes")[0]["status"] == "offline", describe="the goodbye of the device", log=gateway)


def test_the_shell_lines_of_the_guide(tmp_path: Path) -> None:
    for program in ("mosquitto_pub", "mosquitto_sub"):
        assert shutil.which(program), f"{program} is not installed: apt-get install mosquitto-clients (make test does it)"
    lines = block("sh").splitlines()
    assert lines.pop(0) == "sudo apt-get install mosquitto-clients"
    (names,) = [line for line in lines if line.startswith("B=")]
    (listening,) = [line for line in lines if line.startswith("mosquitto_sub")]
    telling = "\n".join(line for line in lines if line not in {names, listening})
    removing = re.search(r"`(mosquitto_pub [^`]* -n [^`]*)`", GUIDE)
    acknowledged = re.search(r"the other terminal shows `([^`]+)`", GUIDE)
    assert removing is not None
    assert acknowledged is not None
    with site(tmp_path) as (broker, gateway):
        assert "-p 1883" in names
        names = names.replace("-p 1883", f"-p {broker.port}")
        with Child(["bash", "-c", f"{names}\nexec {listening}"], tmp_path / "heard.log") as terminal:
            probe = ["mosquitto_pub", "-p", str(broker.port), "-t", f"muki/v1/{SITE}/_gateway/probe", "-m", "heard"]
            wait_for(lambda: subprocess.run(probe, check=True) and "heard" in terminal.tail(), describe="the subscription", log=terminal)
            subprocess.run(["bash", "-ec", f"{names}\n{telling}"], check=True, timeout=30)
            wait_for(lambda: acknowledged[1] in terminal.tail(1000), describe=acknowledged[1], log=terminal)
            assert "/_gateway/reject" not in terminal.tail(1000)
        (bucket,) = samples(gateway)
        assert (bucket["samples"], bucket["mean"]) == (1, 12.5)
        assert [node["node"] for node in gateway.get("/api/v1/nodes")] == [NODE]
        subprocess.run(["bash", "-ec", f"{names}\n{removing[1]}"], check=True, timeout=30)
        wait_for(lambda: gateway.get("/api/v1/nodes") == [], describe="the node to be retired", log=gateway)
