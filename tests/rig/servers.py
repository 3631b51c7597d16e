"""A real Mosquitto and a real InfluxDB, each on a free loopback port with a folder of its own."""

import os
import pwd
import shutil
import subprocess
import urllib.request
from pathlib import Path

from tests.rig.processes import Child, answers, free_port, wait_for


def _program(name: str, package: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    assert found, f"{name} is not installed: apt-get install {package} (make test does it)"
    return found


class Mosquitto(Child):
    """A Mosquitto without persistence, as a field engineer would leave it: defaults, loopback, anonymous."""

    def __init__(self, folder: Path, *, port: int | None = None, extra: str = "") -> None:
        self.port = port or free_port()
        folder.mkdir(parents=True, exist_ok=True)
        configuration = folder / "mosquitto.conf"
        configuration.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n{extra}\n")
        super().__init__([_program("mosquitto", "mosquitto"), "-c", str(configuration)], folder / "mosquitto.log")

    def start(self) -> None:
        super().start()
        wait_for(lambda: answers(self.port), describe=f"mosquitto on {self.port}", log=self)


class Influx(Child):
    """InfluxDB 1.x as Debian packages it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        folder.mkdir(parents=True, exist_ok=True)
        configuration = folder / "influxdb.conf"
        configuration.write_text(
            f"""
reporting-disabled = true
bind-address = "127.0.0.1:{free_port()}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:{self.port}"
  log-enabled = false
"""
        )
        super().__init__([_program("influxd", "influxdb"), "-config", str(configuration)], folder / "influxd.log")

    def start(self) -> None:
        super().start()
        wait_for(self._pings, seconds=30, describe=f"influxd on {self.port}", log=self)

    def _pings(self) -> bool:
        with urllib.request.urlopen(f"{self.url}/ping", timeout=2) as answer:  # noqa: S310 - a loopback address of our own
            return int(answer.status) == 204


class Postgres(Child):
    """PostgreSQL as Debian packages it. It refuses to run as root, so root starts it as the package's own user."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"postgresql+psycopg://muki@127.0.0.1:{self.port}/postgres"
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        assert programs, "postgresql is not installed: apt-get install postgresql (make test does it)"
        folder.mkdir(parents=True, exist_ok=True)
        data = folder / "data"
        become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
        if become:
            user = pwd.getpwnam("postgres")
            os.chown(folder, user.pw_uid, user.pw_gid)
            for parent in list(folder.parents)[:3]:  # pytest keeps its folders to their owner
                parent.chmod(parent.stat().st_mode | 0o011)
        if not data.exists():
            command = [*become, str(programs[-1] / "initdb"), "-D", str(data), "-U", "muki", "-A", "trust", "-E", "UTF8", "--no-sync"]
            subprocess.run(command, check=True, capture_output=True, cwd=folder)
        options = ["-p", str(self.port), "-h", "127.0.0.1", "-k", ""]
        super().__init__([*become, str(programs[-1] / "postgres"), "-D", str(data), *options], folder.parent / "postgres.log")

    def start(self) -> None:
        super().start()
        wait_for(lambda: answers(self.port), seconds=30, describe=f"postgres on {self.port}", log=self)
