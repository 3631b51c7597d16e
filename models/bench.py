"""What one inference costs on this machine: latency at one thread, and the memory of a process that does nothing else."""

import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from models.cards import ModelError, Tensor
from models.runtime import Model, load

RUNS = 500
STEPS = 16  # 256 pixels of a network that takes multiples of 16


class Bench(NamedTuple):
    """Milliseconds for one run of one row, and the peak resident memory in MB of a process with NumPy, ONNX Runtime and the model."""

    p50_ms: float
    p95_ms: float
    peak_memory_mb: float
    machine: str


def measure(name_or_path: str | Path) -> Bench:
    """Measures in a process of its own, so that nothing else is counted. Raises ModelError where the model cannot be loaded."""
    load(name_or_path)  # the error, if any, is raised here and not in the other process
    command = [sys.executable, "-c", "import sys; from models.bench import _report; _report(sys.argv[1])", str(name_or_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise ModelError(f"{name_or_path}: the measuring process failed: {done.stderr.strip()[-300:]}")
    p50, p95, memory = (float(text) for text in done.stdout.split())
    return Bench(p50, p95, memory, f"{platform.machine()}, Python {platform.python_version()}, one thread")


def latencies_ms(model: Model, runs: int = RUNS) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Wall-clock milliseconds of each of ``runs`` runs of one row."""
    inputs = {tensor.name: np.zeros(_measured(tensor), tensor.dtype) for tensor in model.card.inputs}
    taken = np.empty(runs)
    for index in range(runs):
        start = time.perf_counter()
        model.run(inputs)
        taken[index] = (time.perf_counter() - start) * 1e3
    return taken


def _measured(tensor: Tensor) -> list[int]:
    """One row; a picture of free size at STEPS of the steps that its sides may have."""
    sizes = zip(tensor.shape, tensor.smallest(), strict=True)
    return [least if isinstance(size, int) or least == 1 else STEPS * least for size, least in sizes]


def _report(name_or_path: str) -> None:
    taken = latencies_ms(load(name_or_path))
    # VmHWM starts anew with the program; ru_maxrss would carry over the peak of the process that started this one.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024
    sys.stdout.write(f"{np.percentile(taken, 50):.4f} {np.percentile(taken, 95):.4f} {peak:.1f}\n")
