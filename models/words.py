"""What cards say, in the languages of the page: a card is written in English, and ``spanish.json`` has each sentence of those that ship."""

import json
from functools import cache
from pathlib import Path

SPANISH = Path(__file__).parent / "spanish.json"


def in_languages(sentence: str) -> dict[str, str]:
    """By language; English alone for a sentence of a site's own card."""
    spanish = _spanish().get(sentence)
    return {"en": sentence} if spanish is None else {"es": spanish, "en": sentence}


@cache
def _spanish() -> dict[str, str]:
    told: dict[str, str] = json.loads(SPANISH.read_text("utf-8"))
    return told
