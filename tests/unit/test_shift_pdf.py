"""The shift on paper: every accent, every section, page numbers, and the hash of what was signed; read back by another library."""

import hashlib
import io
import json
import time
from pathlib import Path
from typing import Any

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from contract.alarms import Trigger
from gateway.handover import Note, handovers, sign, write_note
from gateway.shift_pdf import as_pdf
from gateway.shift_report import report
from tests.rig.webapp import CO_HIGH, NODE, O2_LOW, WebSite, website

ACCENTS = "Ñandú, pingüino: ¿revisó el compresor a 4 °C? ¡Sí! áéíóú ÁÉÍÓÚ · «m³» ≤ 25"
FIGURES: dict[str, Any] = {
    **dict.fromkeys(("alarms", "mean_rate", "peak_rate", "flood_share", "unacknowledged"), 0),
    **dict.fromkeys(("bad_actor_share", "acknowledge_median", "acknowledge_p90", "priorities")),
    **{name: [] for name in ("chattering", "stale", "bad_actors")},
}


def told(*notes: str) -> dict[str, Any]:
    """A shift in which only notes were written."""
    lists: dict[str, list[object]] = {name: [] for name in ("standing", "aside", "blind", "done")}
    written = [{"at": 5.0, "who": "Ana", "text": note} for note in notes]
    head = {"number": 7, "hash": "ab" * 32}
    return {
        "site": "antares",
        "start": 0.0,
        "end": 9.0,
        "written": 8.0,
        "notes": written,
        "audit": head,
        "malfunctions": 0,
        "whole": True,
    } | {
        **lists,
        "figures": FIGURES,
    }


def pages(made: bytes) -> list[str]:
    return [page.extract_text() for page in PdfReader(io.BytesIO(made)).pages]


def now_of(site: WebSite) -> dict[str, Any]:
    now = time.time_ns()
    shifts = site.services.shifts
    return report(site.services, shifts.began(now), shifts.ends(now), now)


async def test_the_signed_handover_says_what_the_page_says(tmp_path: Path) -> None:
    async with website(tmp_path) as site, httpx.AsyncClient(base_url=f"{site.url}/api/v1", trust_env=False) as client:
        site.event(CO_HIGH, value=41.5)
        site.event(O2_LOW, value=19.0)
        now = time.time_ns()
        site.journal.act(f"{NODE}.co-high", Trigger.ACKNOWLEDGE, who="Íñigo Güell", note="ventilador 2 en marcha", now_ns=now)
        site.journal.act(f"{NODE}.o2-low", Trigger.SHELVE, who="Ana", note="calibración", now_ns=now, until_ns=now + 10**12)
        write_note(site.services.engine, Note(now, "Ana", ACCENTS))
        kept = sign(site.services.engine, now_of(site), start_ns=1, end_ns=2, outgoing="Ana", incoming="Íñigo Güell", now_ns=now)
        answer = await client.get(f"/shift/signed/{kept.number}.pdf")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/pdf")
        assert answer.headers["content-disposition"] == f'attachment; filename="mina-sur-handover-{kept.number}.pdf"'
        found = pages(answer.content)
        whole = " ".join(" ".join(found).split())
        for part in (
            ACCENTS,
            "Entrega de turno · mina-sur",
            "CO alto en la galería norte",
            "por Íñigo Güell",
            "ventilador 2 en marcha",
            "Apartada",
            "calibración",
            "Ana entregó a Íñigo Güell",
            "byte por byte el que se firmó",
            f"Página 1 de {len(found)}",
        ):
            assert part in whole, part
        assert all(kept.sha256 in page for page in found)
        was = (await client.get(f"/shift/signed/{kept.number}")).json()["report"]
        assert hashlib.sha256(json.dumps(was, ensure_ascii=False, sort_keys=True).encode()).hexdigest() == kept.sha256, (
            "as the page of the docs says"
        )
        english = " ".join(" ".join(pages((await client.get(f"/shift/signed/{kept.number}.pdf", params={"lang": "en"})).content)).split())
        assert "CO high in the north drift" in english
        assert "Page 1 of" in english
        assert (await client.get("/shift/signed/99.pdf")).json()["reason"] == "unknown_handover"
        assert (await client.get("/shift/signed/1.pdf", params={"lang": "fr"})).status_code == 422
        running = " ".join(pages((await client.get("/shift.pdf")).content))
        assert "Sin firmar" in running
        assert "SHA-256" not in running


def test_a_report_that_is_not_the_signed_one_says_so(tmp_path: Path) -> None:
    site = WebSite(tmp_path, 8080)
    try:
        kept = sign(site.services.engine, told("uno"), start_ns=1, end_ns=2, outgoing="Ana", incoming="Luis", now_ns=5)
        (again,) = handovers(site.services.engine)
    finally:
        site.close()
    changed = again._replace(report=kept.report.replace("uno", "dos"))
    said = " ".join(pages(as_pdf(json.loads(changed.report), language="es", time_zone="UTC", signed=changed)))
    assert "el informe no es el que se firmó" in said
    assert "byte por byte" not in said


def test_many_pages_are_numbered_and_nothing_is_lost() -> None:
    made = as_pdf(told(*(f"nota-{number} " + "palabra " * 60 for number in range(120))), language="es", time_zone="America/Lima")
    found = pages(made)
    assert len(found) > 5
    assert [f"Página {number} de {len(found)}" in page for number, page in enumerate(found, 1)] == [True] * len(found)
    whole = " ".join(found)
    assert [number for number in range(120) if f"nota-{number} " not in whole] == []
    assert made == as_pdf(told(*(f"nota-{number} " + "palabra " * 60 for number in range(120))), language="es", time_zone="America/Lima")


def test_a_sign_that_the_font_has_not_is_its_number() -> None:
    whole = " ".join(pages(as_pdf(told("⚠ 危 <b>no</b> &amp; <para>"), language="en", time_zone="UTC")))
    for part in ("[U+26A0]", "[U+5371]", "<b>no</b> &amp; <para>"):
        assert part in whole, "markup is text"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=300) | st.just("x" * 4000), max_size=4))
def test_whatever_was_written_is_printed(notes: list[str]) -> None:
    assert as_pdf(told(*notes), language="es", time_zone="UTC").startswith(b"%PDF-")
