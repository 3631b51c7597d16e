"""`muki demo`: a simulated mine, four agents, a broker and a gateway on this machine, each a process of its own, as in the field."""

import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

import click

SITE = Path(__file__).parent / "demo_site"
NODES = ("gas-1", "pump-1", "conveyor-1", "camera-1")
START_WITHIN = 60.0  # seconds for one process to be ready; a Pi with a cold disk takes a while
RESTART_AFTER = 2.0
WRONG_CONFIGURATION = 2  # exit status: the same file would be refused again


class Process:
    """One of the demo's processes: its log in a file, restarted when it dies by itself."""

    def __init__(self, name: str, arguments: list[str], folder: Path, environment: dict[str, str]) -> None:
        self.name = name
        self._command = [sys.executable, "-m", "muki", *arguments]
        self.log = folder / "log" / f"{name}.log"
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._died: float | None = None

    def start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            # A session of its own: Ctrl-C reaches the demo alone, which then stops the others in order.
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - the demo has one thread
            )
        self._died = None

    @property
    def exit_status(self) -> int | None:
        return self._process.poll() if self._process else None

    def watch(self, now: float) -> None:
        """Starts it again, a little after it has died."""
        if self._process is None or self._process.poll() is None:
            return
        if self._died is None:
            self._died = now
            then = "its configuration is wrong" if self.exit_status == WRONG_CONFIGURATION else "starting it again"
            click.echo(f"muki: {self.name} ended with status {self.exit_status}; {then}. Its log: {self.log}", err=True)
        elif self.exit_status != WRONG_CONFIGURATION and now - self._died >= RESTART_AFTER:
            self.start()

    def insist(self, arguments: list[str]) -> None:
        """Adds arguments to every later start."""
        self._command += arguments

    def ask_to_stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = 4.0) -> None:
        """Until it has ended; killed, and said so, when it takes longer."""
        if self._process is None:
            return
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            click.echo(f"muki: {self.name} did not stop within {seconds:.0f} s and was killed", err=True)
            self._process.kill()
            self._process.wait()

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(f"    {line}" for line in lines[-12:])


class Demo:
    """Starts the processes in the order of the data's way, and stops them from its beginning."""

    def __init__(self, folder: Path, host: str, port: int) -> None:
        self.folder = folder
        self.host = host
        self.port = port
        self.broker_port = _free_port("127.0.0.1")
        self.processes: list[Process] = []

    def run(self, seconds: float | None) -> None:
        """Until a signal arrives, or ``seconds`` have passed since everything was ready."""
        try:
            self._start()
            click.echo(f"\nMuki demo: http://{self.host}:{self.port}\n")
            click.echo(f"Four simulated nodes; the first alarms come within a minute. History is kept in {self.folder}")
            click.echo("Advisory monitoring: not a safety function. Ctrl-C stops everything.")
            end = None if seconds is None else time.monotonic() + seconds
            while end is None or time.monotonic() < end:
                time.sleep(0.5)
                for process in self.processes:
                    process.watch(time.monotonic())
        except KeyboardInterrupt:
            click.echo("\nmuki: stopping")
        finally:
            self._stop()

    def _start(self) -> None:
        environment = {
            **os.environ,
            "MUKI_DEMO_DIR": str(self.folder),
            "MUKI_DEMO_BROKER_PORT": str(self.broker_port),
            "MUKI_DEMO_HTTP_HOST": self.host,
            "MUKI_DEMO_HTTP_PORT": str(self.port),
        }
        broker = ["gateway", "broker", "--host", "127.0.0.1", "--port", str(self.broker_port), "--data-dir", str(self.folder / "broker")]
        self._launch("broker", broker, environment, lambda: _accepts(self.broker_port))
        mine = self.folder / "mine"
        endpoints = mine / "endpoints.json"
        endpoints.unlink(missing_ok=True)
        mine_process = self._launch("mine", ["simulate", "run", "first-shift", "--dir", str(mine)], environment, endpoints.exists)
        gateway = self.folder / "gateway"
        gateway.mkdir(parents=True, exist_ok=True)
        for name in ("gateway.yaml", "plan.svg"):
            shutil.copy(SITE / name, gateway / name)
        ready = f"http://{self.host}:{self.port}/ready"
        self._launch("gateway", ["gateway", "run", str(gateway / "gateway.yaml")], environment, lambda: _answers(ready))
        for name, address in json.loads(endpoints.read_text()).items():
            if port := urllib.parse.urlsplit(address if "://" in address else f"//{address}").port:
                mine_process.insist(["--port", f"{name}={port}"])  # the nodes know this one, also after a restart
            environment[f"MUKI_SIM_{name.upper().replace('-', '_')}"] = address
        for node in NODES:
            self._launch(node, ["edge", "run", str(SITE / f"{node}.yaml")], environment, None)

    def _launch(self, name: str, arguments: list[str], environment: dict[str, str], ready: Callable[[], bool] | None) -> Process:
        process = Process(name, arguments, self.folder, environment)
        self.processes.append(process)
        process.start()
        deadline = time.monotonic() + START_WITHIN
        while ready is not None and not ready():
            if process.exit_status is not None or time.monotonic() > deadline:
                why = "ended" if process.exit_status is not None else f"was not ready after {START_WITHIN:.0f} s"
                raise click.ClickException(f"{name} {why}. The end of {process.log}:\n{process.last_words()}")
            time.sleep(0.1)
        return process

    def _stop(self) -> None:
        # Nodes first, so that they say goodbye to a broker that still listens; the broker last.
        for stage in (NODES, ("mine", "gateway"), ("broker",)):
            leaving = [process for process in self.processes if process.name in stage]
            for process in leaving:
                process.ask_to_stop()
            for process in leaving:
                process.wait()


@click.command()
@click.option(
    "--dir", "folder", type=click.Path(path_type=Path, file_okay=False), default=Path(".demo"), help="Where history and logs are kept."
)
@click.option("--host", default="127.0.0.1", help="Address of the page. Anyone who reaches it can acknowledge: keep to loopback.")
@click.option("--port", type=click.IntRange(1, 65535), default=8080, help="Port of the page; the next free one is taken when it is busy.")
@click.option("--seconds", type=float, default=None, help="Stop by itself after this time.")
def main(folder: Path, host: str, port: int, seconds: float | None) -> None:
    """A simulated mine, its agents and a gateway on this machine. Ctrl-C stops everything; the history is kept."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise click.ClickException(f"a demo is running on {folder} already: stop it first, or give another --dir") from None
        # Both, explicitly: a shell that starts a job in the background without job control has it ignore SIGINT.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        Demo(folder, host, _free_port(host, port)).run(seconds)


def _end_with_parent() -> None:
    """In the child: SIGTERM when the demo dies, however it dies, so that no orphan keeps the store open."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _free_port(host: str, first: int = 0) -> int:
    """``first`` or the next free port after it; any free one for 0."""
    for port in range(first, first + 50) if first else [0]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise click.ClickException(f"no free port on {host} from {first} to {first + 49}: give another --port")


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own gateway
            return int(answer.status) == 200
    except (OSError, urllib.error.URLError):
        return False
