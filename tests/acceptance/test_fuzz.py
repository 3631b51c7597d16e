"""A short form of the campaign `tests.campaigns.fuzz`."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rig.processes import ROOT

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="NOT FUZZED by coverage: atheris has no wheel for this Python and machine"
)


@pytest.mark.long
def test_half_a_minute_of_bytes_that_nobody_would_send(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.campaigns.fuzz", "--minutes", "0.5", "--corpus", str(tmp_path / "corpus")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert "mqtt, messages, structured, topics: nothing failed" in done.stdout
    assert len(list((tmp_path / "corpus" / "mqtt").iterdir())) > 10, "it found its way"
