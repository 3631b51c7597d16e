"""The page speaks Spanish and English, completely, and nothing but its locale files holds text."""

import re
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from contract.alarms import ConditionKind, Priority, SignalClass, State, Transition, Trigger
from contract.values import Level
from gateway.accounts.roles import Role
from gateway.nodes import Status
from gateway.web import language
from gateway.web.language import LANGUAGES, choose, texts
from gateway.web.page import OTHERS, PAGES
from tests.rig.webapp import website

WEB = Path(language.__file__).parent
SOURCES = [*sorted((WEB / "static").glob("*.js")), *sorted((WEB / "templates").glob("*.html")), WEB.parent / "shift_pdf.py"]
WHOLE = re.compile(r"""\bt\(\s*"([a-z0-9_.]+)"\s*[,)]""")
BEGUN = re.compile(r"""\bt\(\s*"([a-z0-9_.]+\.)"\s*\+""")
# What a key that is put together can end in.
ENDINGS: dict[str, set[str]] = {
    "nav.": {*PAGES, *OTHERS},
    "shift.": {
        *("standing", "aside", "blind", "notes", "done"),
        *("alarms", "mean_rate", "peak_rate", "flood_share", "chattering", "stale", "bad_actor_share"),
        *("acknowledge_median", "acknowledge_p90", "unacknowledged"),
    },
    "gas.": {"gas", "now", "stel", "twa", "projected", "state"},
    "gas.state.": {"over", "blind", "incomplete", "within"},
    "gas.air.": {"over", "blind", "unknown", "within"},
    "gas.certainty.": {"high", "medium", "low"},
    "gas.why.": {"no_value", "bad", "old", "wrong_unit", "no_point"},
    "gas.part.": {"people", "diesel", "wood", "heat", "other", "leakage"},
    "gas.verdict.": {"clear", "no_data", "bad", "outside", "gap", "too_soon", "wrong_unit"},
    "gas.reason.": {"missing", "outside"},
    "link.worth.": {"open", "acknowledged", "came_again", "nothing", "expired", "not_allowed"},
    "review.": {"true", "false", "nuisance", "test", "unreviewed", "per_day"},
    "priority.": set(Priority),
    "class.": set(SignalClass),
    "state.": set(State),
    "limit.": set(ConditionKind),
    "status.": set(Status),
    "event.": {*Transition, *Trigger} - {"activate", "clear"},
    "quality.": {Level.UNCERTAIN, Level.BAD},
    "connection.": {"connecting", "live", "lost"},
    "unit.": {"seconds", "minutes", "hours", "days"},
    "alarms.": {"acknowledge", "reset", "shelve", "unshelve", "remove", "restore"},
    "dialog.": {"acknowledge", "acknowledge_page", "reset", "shelve", "unshelve", "remove", "restore"},
    "sound.": {"on", "off", "blocked"},
    "language.": set(LANGUAGES),
    "chart.range.": {"1m", "15m", "1h", "8h", "7d", "30d", "1y"},
    "asset.": {"spectrum", "envelope"},
    "plan.": {"what", "name", "x", "y", "radius", "remove"},
    "quality.reason.": set(),  # other reasons are shown as they are
    "reason.": {"other"},
    "role.": set(Role),
}


def used() -> set[str]:
    keys: set[str] = set()
    for source in SOURCES:
        content = source.read_text("utf-8")
        keys |= set(WHOLE.findall(content))
        for begun in BEGUN.findall(content):
            keys |= {begun + str(ending) for ending in ENDINGS[begun]}
    return keys


def test_both_languages_have_the_same_keys_and_places() -> None:
    spanish, english = texts("es"), texts("en")
    assert spanish.keys() == english.keys()
    for key, text in spanish.items():
        assert text.strip()
        assert english[key].strip()
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", english[key])), key


def test_every_key_that_is_used_exists() -> None:
    assert len(used()) > 60
    assert used() - texts("es").keys() == set()


def test_every_key_that_exists_is_used() -> None:
    open_ended = tuple(prefix for prefix in ("quality.reason.", "reason.") if ENDINGS[prefix] <= {"other"})
    unused = {key for key in texts("es").keys() - used() if not key.startswith(open_ended)}
    assert unused == set()


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in {"script", "style"}
        self.found += [value or "" for name, value in attrs if name in {"aria-label", "placeholder", "title", "alt"}]

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in {"script", "style"}

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.found.append(data)


@pytest.mark.parametrize("name", ["frame", "act_dialog", *PAGES, *OTHERS])
def test_no_text_stands_in_the_templates(name: str) -> None:
    parser = _Text()
    template = (WEB / "templates" / f"{name}.html").read_text("utf-8")
    parser.feed(re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "", template))
    words = {word for text in parser.found for word in re.findall(r"[^\W\d_]{2,}", text)}
    assert words <= {"Muki"}


@pytest.mark.parametrize(
    ("asked", "remembered", "accepted", "chosen"),
    [
        (None, None, "", "es"),
        ("en", "es", "es", "en"),
        (None, "en", "es", "en"),
        (None, None, "de, en-US;q=0.8, es;q=0.5", "en"),
        (None, None, "es-PE,es;q=0.9,en;q=0.8", "es"),
        (None, None, "en;q=0, fr", "es"),
        ("fr", "xx", "en;q=much", "es"),
    ],
)
def test_the_language_is_the_one_asked_for(asked: str | None, remembered: str | None, accepted: str, chosen: str) -> None:
    assert choose(asked, remembered, accepted, "es") == chosen


async def test_the_page_comes_in_both_and_remembers(tmp_path: Path) -> None:
    async with website(tmp_path) as site, httpx.AsyncClient(base_url=site.url, trust_env=False) as client:
        spanish = await client.get("/")
        assert '<html lang="es">' in spanish.text
        assert texts("es")["page.footer"] in spanish.text
        english = await client.get("/", params={"lang": "en"})
        assert '<html lang="en">' in english.text
        assert texts("en")["page.footer"] in english.text
        assert '<html lang="en">' in (await client.get("/")).text


@pytest.mark.parametrize("path", PAGES.values())
async def test_the_page_names_nothing_outside(path: str, tmp_path: Path) -> None:
    async with website(tmp_path) as site, httpx.AsyncClient(base_url=site.url, trust_env=False) as client:
        page = (await client.get(path)).text
        assert re.findall(r"""(?:src|href)="(?!/|#)([^"]*)""", page) == []
        assert re.findall(r"<script(?![^>]*(?:src=|application/json))", page) == []
        assert " style=" not in page
