"""Words found in the history of alarms, whatever their case and accents; and a search that stays bounded."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from contract.alarms import AlarmDefinition, AlarmEvent, Condition, ConditionKind, Priority, Transition, Trigger
from gateway.alarms.history import MOST_LOOKED_AT
from gateway.alarms.journal import Journal
from gateway.alarms.search import folded, words
from gateway.alarms.tables import EVENT
from gateway.database import open_database

S = 1_000_000_000
TITLES = ("Oxígeno bajo", "CO alto en la galería", "Faja parada")
NOTES = ("", "avisé a mecánica", "GALERÍA ventilada")


@pytest.mark.parametrize(
    ("text", "found"), [("Galería", ("galeria",)), ("  ÑANDÚ  2 ", ("nandu", "2")), ("CO2e", ("co2e",)), ("ﬁltro", ("filtro",))]
)
def test_words_are_compared_without_case_and_accents(text: str, found: tuple[str, ...]) -> None:
    assert words(text) == found


@pytest.mark.parametrize("text", [" ", "a " * 11])
def test_nothing_and_too_much_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="1 to 10 words"):
        words(text)


@settings(max_examples=25, deadline=None)
@given(
    said=st.lists(st.tuples(st.sampled_from(range(3)), st.sampled_from(NOTES)), min_size=1, max_size=12),
    wanted=st.sampled_from(["galeria", "GALERIA ventilada", "mecanica", "co", "nada", "avise mecanica"]),
    limit=st.integers(1, 5),
)
def test_page_by_page_it_finds_what_a_look_at_every_entry_finds(said: list[tuple[int, str]], wanted: str, limit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = open_database(f"sqlite:///{Path(folder) / 'journal.db'}")
        journal = Journal(engine)
        condition = Condition(ConditionKind.ABOVE, 1.0)
        journal.declare(
            "n", [AlarmDefinition(f"d-{n}", "a/b", condition, Priority.LOW, title={"es": title}) for n, title in enumerate(TITLES)]
        )
        for at, (n, note) in enumerate(said, 1):
            transition = Transition.NORMAL if at % 2 == 0 else Transition.ACTIVE
            journal.record(AlarmEvent(f"e{at}", f"d-{n}", "n", "a/b", at * S, transition), received_ns=at * S, late=False)
            if note:
                journal.act(f"n.d-{n}", Trigger.REMOVE, who="Ana", note=note, now_ns=at * S)
                journal.act(f"n.d-{n}", Trigger.RESTORE, who="Ana", note="", now_ns=at * S)
        whole = journal.history(limit=1000)
        naive = [
            e
            for e in whole
            if all(
                w in folded(" ".join((*e.title.values(), e.point, e.node, e.definition, e.who or "", e.note)))
                for w in folded(wanted).split()
            )
        ]
        found, before = [], None
        while True:
            page = journal.search(words(wanted), before=before, limit=limit)
            assert len(page.entries) <= limit
            found += page.entries
            if page.next is None:
                break
            before = page.next
        assert found == naive
        engine.dispose()


def test_one_request_looks_at_so_many_entries_and_its_cursor_leads_on(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'journal.db'}")
    journal = Journal(engine)
    count = 2 * MOST_LOOKED_AT + 1
    rows = [
        {
            **{"key": "n.often", "id": f"e{at:06}", "node": "n", "definition": "rare" if at == 0 else "often", "point": "a/b"},
            **{"at_ns": at * S, "received_ns": at * S, "transition": "active", "quality": "good", "evidence": "[]"},
            **{"late": False, "inferred": False, "after": "{}"},
        }
        for at in range(count)
    ]
    with engine.begin() as connection:
        connection.execute(insert(EVENT), rows)
    looks, before = 0, None
    while not (page := journal.search(("rare",), before=before, limit=5)).entries:
        assert page.next is not None
        looks, before = looks + 1, page.next
    assert [entry.event for entry in page.entries] == ["e000000"]
    assert looks == 2
    engine.dispose()
