"""A child process that a test starts, kills and starts again."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

MUKI = [sys.executable, "-m", "muki"]
ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """A TCP port of the loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(
    what: Callable[[], object], *, seconds: float = 15.0, every: float = 0.05, describe: str = "", log: "Child | None" = None
) -> object:
    """What the callable returns once that is true; OSError counts as not yet.

    Raises AssertionError when the time is over or the process ``log`` has died, with the end of its log.
    """
    deadline = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < deadline:
        try:
            last = what()
        except OSError as error:
            last = error
        else:
            if last:
                return last
        if log is not None and not log.running:
            break
        time.sleep(every)
    said = f"\n{log.tail()}" if log is not None else ""
    raise AssertionError(f"waited {seconds} s for {describe or what}: {last!r}{said}")


def answers(port: int) -> bool:
    """Whether something accepts connections on the port."""
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


class Child:
    """One process: its output goes to a file, and leaving the block ends it, SIGTERM first."""

    def __init__(self, command: Sequence[str], log: Path, *, environment: Mapping[str, str] | None = None) -> None:
        self.command = list(command)
        self.log = log
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it (again). The log is appended to."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                cwd=ROOT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL to the whole process group: nothing gets to say goodbye."""
        self._signal(signal.SIGKILL)
        self._wait(5)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self, *, with_signal: signal.Signals = signal.SIGTERM, seconds: float = 10.0) -> int:
        """Asks it to end and returns its exit status; SIGKILL when it does not within the time."""
        self._signal(with_signal)
        try:
            return self._wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.command[:4]} did not end {seconds} s after {with_signal.name}:\n{self.tail()}") from None

    def tail(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def _wait(self, seconds: float) -> int:
        return self._process.wait(seconds) if self._process is not None else 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.running:
            self.resume()
            self._signal(signal.SIGTERM)
            try:
                self._wait(5)
            except subprocess.TimeoutExpired:
                self.kill()
