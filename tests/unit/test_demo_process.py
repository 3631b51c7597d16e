"""The demo's processes: what dies is started again, what is configured wrong is not."""

import os
import time
from pathlib import Path

import pytest

from deploy.demo import RESTART_AFTER, WRONG_CONFIGURATION, Process
from tests.rig.processes import wait_for


def test_a_wrong_configuration_is_told_once_and_not_tried_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "node.yaml"
    file.write_text("site: test\nnode: gas-1\n")
    process = Process("gas-1", ["edge", "run", str(file)], tmp_path, dict(os.environ))
    process.start()
    wait_for(lambda: process.exit_status == WRONG_CONFIGURATION, seconds=40, describe="the agent to refuse its file")
    now = time.monotonic()
    for later in (0.0, RESTART_AFTER, 10 * RESTART_AFTER):
        process.watch(now + later)
    assert process.exit_status == WRONG_CONFIGURATION
    said = capsys.readouterr().err
    assert said.count("its configuration is wrong") == 1
    assert str(process.log) in said


def test_a_restart_has_the_arguments_that_were_insisted_on(tmp_path: Path) -> None:
    process = Process("broker", ["gateway", "broker"], tmp_path, dict(os.environ))
    process.insist(["--help"])
    process.start()
    wait_for(lambda: process.exit_status is not None, seconds=40, describe="the help")
    assert process.exit_status == 0
    assert "--data-dir" in process.log.read_text()
