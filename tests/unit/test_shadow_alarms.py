"""An alarm that is tried out: it is recorded and can be reviewed, and nobody is alerted. `test_outputs_devices` shows that nothing sounds."""

from pathlib import Path

import httpx
import msgspec

from edge.config import load
from rules.settings import AlarmSettings
from rules.words import describe
from tests.rig.fixed_detector import install
from tests.rig.webapp import CO_HIGH, NODE, O2_LOW, website

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


async def test_how_a_shadow_did_is_counted_by_what_people_said(tmp_path: Path) -> None:
    async with website(tmp_path) as site, httpx.AsyncClient(base_url=f"{site.url}/api/v1", headers={"Origin": site.url}) as client:
        site.event(O2_LOW)
        assert (await client.get("/evidence/shadows")).json() == []
        site.journal.declare(NODE, [SHADOW, O2_LOW])
        events = []
        for _ in range(4):
            site.event(SHADOW, value=41.5)
            events.append(site.journal.get(f"{NODE}.{SHADOW.id}").now.event)
            site.event(SHADOW, active=False, value=3.0)
        key = f"{NODE}.{SHADOW.id}"
        for event, verdict in zip(events, ("false", "true", "test"), strict=False):
            said = {"event": event, "verdict": verdict, "who": "Ana"}
            assert (await client.post(f"/alarms/{key}/remarks", json=said)).status_code == 200
        await client.post(f"/alarms/{key}/remarks", json={"event": events[0], "verdict": "true", "who": "Luis"})  # looked again
        (told,) = (await client.get("/evidence/shadows")).json()
        assert (told["key"], told["came"], told["per_day"]) == (key, 4, 4.0)
        assert (told["true"], told["false"], told["nuisance"], told["test"], told["unreviewed"], told["share_true"]) == (2, 0, 0, 1, 1, 1.0)


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


def test_an_alarm_on_a_model_that_is_not_proven_is_in_shadow_until_the_site_says_otherwise(tmp_path: Path) -> None:
    def shadows(model: str, kind: str, more: str = "") -> list[bool]:
        under = "objects/person" if kind == "detector" else "watch/people"
        text = (
            "site: m\nnode: n\nbroker: {host: localhost}\n"
            "sources: [{name: cam, type: camera, camera: gate-cam, url: cam.avi, fps: 5}]\n"
            f"processing: [{{name: p, type: {kind}, input: gate-cam, model: {model}}}]\n"
            f"alarms: [{{id: a, point: gate-cam/{under}, condition: {{kind: above, limit: 0.5}}, priority: high, title: {{es: A, en: A}}{more}}}]\n"
        )
        (tmp_path / "node.yaml").write_text(text)
        return [alarm.shadow for alarm in load(tmp_path / "node.yaml", {}).alarms if alarm.id == "a"]

    assert shadows("ppe_detector", "detector") == shadows("ppe_detector", "person-watch") == [True]
    assert shadows("ppe_detector", "detector", ", shadow: false") == [False], "the site has compared it with people"
    (use,) = load(tmp_path / "node.yaml", {}).models
    assert (use.name, use.shadow, use.candidate) == ("ppe_detector", True, False)
    assert "gate-cam/objects/person" in use.points
    assert use.purpose["es"].startswith("Encuentra personas, cascos"), "in Spanish first"
    assert all(set(text) == {"es", "en"} for text in (use.why, *use.fails))
    assert use.figures[0].low <= use.figures[0].value <= use.figures[0].high, "the birth tells its card"
    assert shadows("people_vehicles", "detector") == [False]
    assert shadows(install(tmp_path, [[0, 0, 1, 1, 0.9]], ["person"], shadow=True), "detector") == [True], "a model of the site"
