"""Writes an artifact and its card together, with what one inference costs on this machine."""

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

from models.bench import measure
from models.cards import ARTIFACTS, Card, Cost, Training, card_path, write_card

_UNMEASURED = Cost(latency_ms_p50=1e-6, latency_ms_p95=1e-6, peak_memory_mb=1e-6, machine="not yet measured")


def publish(name: str, content: bytes, card_for: Callable[[str, Cost], Card], artifacts: Path = ARTIFACTS) -> Card:
    """Writes ``NAME.onnx``, measures it, and writes ``NAME.json``. ``card_for`` gets the SHA-256 and the cost. Returns the card."""
    path = artifacts / f"{name}.onnx"
    path.write_bytes(content)
    card = card_for(hashlib.sha256(content).hexdigest(), _UNMEASURED)
    write_card(card, card_path(path))  # the measurement loads the model, and no model is loaded without its card
    found = measure(path)
    cost = Cost(latency_ms_p50=found.p50_ms, latency_ms_p95=found.p95_ms, peak_memory_mb=found.peak_memory_mb, machine=found.machine)
    card = card.model_copy(update={"cost": cost})
    write_card(card, card_path(path))
    return card


def training(name: str, seed: int) -> Training:
    """How the artifact is made again: its module, and the commit that is checked out."""
    return Training(command=f"python -m models.train.{name}", commit=commit(), seed=seed)


def commit() -> str:
    """The commit of the checkout that trains."""
    root = Path(__file__).parents[2]
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()
