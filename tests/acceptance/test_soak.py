"""The short form of `tests.campaigns.soak`: two hours of work in as many troubles as fit, and the agent holds what it held before."""

from pathlib import Path

import pytest

from tests.campaigns.soak import TROUBLES, Outcome, Sample, soak
from tests.rig.process_watch import Held


@pytest.mark.long
@pytest.mark.timeout(240)
async def test_every_trouble_once_loses_nothing_and_leaves_no_descriptor(tmp_path: Path) -> None:
    outcome = await soak(tmp_path, hours=len(TROUBLES), speed=1800)  # 2 s for an hour
    assert outcome.missing == 0
    assert outcome.lost == [], outcome.log
    assert outcome.polls > 100
    assert outcome.alarms > 0
    assert outcome.refusals > 0
    first, last = outcome.of_hour(0)[-1], outcome.of_hour(len(TROUBLES) - 1)[-1]
    for kind, count in last.descriptors.items():
        assert count <= first.descriptors.get(kind, 0) + 2, f"{kind}: {first} {last}"  # a journal and a camera may have been opened since
    assert "Traceback" not in outcome.log


def test_growth_is_found() -> None:
    steady = [Sample(hour / 4, Held(80.0, 5, {"socket": 7})) for hour in range(96)]
    assert Outcome(steady, 1, 1, 1, [], 0, "").problems() == []
    grown = [sample._replace(held=sample.held._replace(rss=80 + sample.hour / 2)) for sample in steady]
    assert "RSS" in Outcome(grown, 1, 1, 1, [], 0, "").problems()[0]
    leaking = [sample._replace(held=Held(80.0, 5, {"socket": 7 + (sample.hour > 12)})) for sample in steady]
    assert "8 descriptors of kind socket, at most 7 in the warm-up" in Outcome(leaking, 1, 1, 1, [], 0, "").problems()[0]
    assert (
        "threads"
        in Outcome([*steady[:90], *(sample._replace(held=Held(80.0, 6, {})) for sample in steady[90:])], 1, 1, 1, [], 0, "").problems()[0]
    )
    assert Outcome(steady, 1, 1, 1, [3], 2, "").problems() == [
        "2 numbers are missing at the gateway",
        "1 readings are lost, for example [3]",
    ]
