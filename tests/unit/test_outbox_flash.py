"""What the outbox costs a memory card stays below its limit; the benchmark's short form, on a block device of its own."""

import subprocess
from pathlib import Path

import pytest

from benchmarks.outbox_flash import LIMIT, load, measure, outbox, row_for_each_message
from tests.rig.loop_disk import loop_disk


def test_four_bytes_reach_the_device_at_most_for_each_byte_of_payload(tmp_path: Path) -> None:
    try:
        with loop_disk(tmp_path / "try", 16 << 20):
            pass
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"NOT TESTED: flash wear; no loop device can be mounted here: {error}")
    ours = measure(outbox, load(300, 1))["device B ÷ payload B"]
    assert 1.0 < ours <= LIMIT
    assert measure(row_for_each_message, load(30, 1))["device B ÷ payload B"] > 2 * ours, "the device's counter tells them apart"
