"""`muki edge run --once` on what stays on the device: that a picture or a waveform came, where no processor makes a reading of it."""

import asyncio
from pathlib import Path

import numpy as np

from contract.values import GOOD
from edge.config import load
from edge.once import read_once, table
from simulators.field.camera_scene import render_clip

NODE = """site: mine
node: yard-1
broker: {host: 127.0.0.1}
sources:
  - {name: gate, type: camera, camera: gate, url: clip.avi, fps: 5}
  - {name: pump, type: waveform, file: pump.npy, rate_hz: 1000, points: {"0": pump-1/vibration/de}, snapshot: 0.1, every: 0.2}
"""


def test_a_picture_and_a_waveform_without_a_processor_are_told(tmp_path: Path) -> None:
    render_clip(tmp_path / "clip.avi", seconds=2)
    np.save(tmp_path / "pump.npy", np.random.default_rng(1).standard_normal(1000).astype(np.float32))
    (tmp_path / "node.yaml").write_text(NODE)
    rows = {row.point: row for row in asyncio.run(read_once(load(tmp_path / "node.yaml")))}
    assert rows["gate"].quality == GOOD
    assert rows["gate"].note.startswith("picture, ")
    assert rows["pump-1/vibration/de"].note == "waveform, 100 samples at 1000 Hz in g"
    assert rows["gate"].ms is not None
    assert "picture" in table(list(rows.values()))
