"""An alarm that is tried out: it is recorded and can be reviewed, and nobody is alerted. `test_outputs_devices` shows that nothing sounds."""

from pathlib import Path

import msgspec

from rules.settings import AlarmSettings
from rules.words import describe
from tests.rig.webapp import CO_HIGH, NODE, website

SHADOW = msgspec.structs.replace(CO_HIGH, shadow=True)


async def test_a_shadow_is_in_the_history_alone(tmp_path: Path) -> None:
    async with website(tmp_path) as site:
        site.journal.declare(NODE, [SHADOW])
        with site.bus.subscribe() as watching:
            key = site.event(SHADOW, value=41.5)
            assert site.journal.standing() == []
            assert site.annunciator.standing() == []
            assert site.published == []
            assert not watching.waiting
        (entry,) = site.journal.history(key=key)
        assert entry.shadow
        assert site.journal.get(key).now.active


def test_the_words_of_a_shadow() -> None:
    settings = AlarmSettings.model_validate(
        {
            "id": "no-hat",
            "point": "gate-cam/objects/no_hardhat",
            "condition": {"kind": "above", "limit": 0},
            "priority": "high",
            "title": {"es": "Sin casco", "en": "No hard hat"},
            "shadow": True,
        }
    )
    assert settings.definition().shadow
    assert describe(settings.definition()) == "above 0  shadow: nobody is alerted"
