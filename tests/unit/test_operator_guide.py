"""The operator's guide shows every page, in its language and both colour schemes, and what it promises about keys is what the pages say."""

from pathlib import Path

import pytest

from gateway.web.language import texts
from gateway.web.page import OTHERS, PAGES

DOCS = Path(__file__).parents[2] / "docs"
GUIDES = {"es": DOCS / "guia-del-operador.md", "en": DOCS / "operator-guide.md"}


@pytest.mark.parametrize("language", GUIDES)
def test_every_page_is_shown_in_both_schemes(language: str) -> None:
    guide = GUIDES[language].read_text("utf-8")
    for name in (*PAGES, *OTHERS):
        for scheme in ("light", "dark"):
            picture = f"images/{name}-{language}-{scheme}.jpg"
            assert f"]({picture})" in guide
            assert (DOCS / picture).read_bytes().startswith(b"\xff\xd8\xff"), picture


@pytest.mark.parametrize("language", GUIDES)
def test_buttons_are_called_as_on_the_page(language: str) -> None:
    guide, known = " ".join(GUIDES[language].read_text("utf-8").split()), texts(language)
    for key in ("alarms.acknowledge", "alarms.shelve", "alarms.remove", "gas.fire", "gas.open", "review.question", "sound.silence"):
        assert known[key].strip("¿?").split(" (")[0] in guide or known[key] in guide, key
