"""A short form of the campaign `tests.campaigns.acknowledgement_kills`."""

from pathlib import Path

import pytest

from tests.campaigns.acknowledgement_kills import rounds


@pytest.mark.long
def test_a_gateway_that_dies_while_somebody_acknowledges_tells_nothing_untrue(tmp_path: Path) -> None:
    outcomes = list(rounds(tmp_path, 4, seed=20261125))
    assert len(outcomes) == 4
