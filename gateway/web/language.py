"""The languages of the pages: the texts, and which language a request wants."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

LANGUAGES = ("es", "en")
LOCALES = Path(__file__).parent / "locales"


@cache
def texts(language: str) -> Mapping[str, str]:
    """Every text of the pages by key, a file a page. Raises KeyError for a language that is none, ValueError for a key in two files."""
    if language not in LANGUAGES:
        raise KeyError(language)
    known: dict[str, str] = {}
    for path in sorted((LOCALES / language).glob("*.json")):
        more: dict[str, str] = json.loads(path.read_text("utf-8"))
        if twice := known.keys() & more.keys():
            raise ValueError(f"{path}: {min(twice)} is also in another file of {language}")
        known |= more
    return known


def choose(asked: str | None, remembered: str | None, accepted: str, default: str) -> str:
    """The language asked for in the URL, else the remembered one, else the browser's favourite of ours, else the site's."""
    for language in (asked, remembered):
        if language in LANGUAGES:
            return str(language)
    return _favourite(accepted) or default


def _favourite(accepted: str) -> str | None:
    """The best of Accept-Language (RFC 9110, 12.5.4) that we speak."""
    best: tuple[float, str] | None = None
    for part in accepted.split(","):
        tag, _, parameters = part.strip().partition(";")
        language = tag.strip().lower().partition("-")[0]
        if language not in LANGUAGES:
            continue
        weight = _weight(parameters)
        if weight > 0 and (best is None or weight > best[0]):
            best = (weight, language)
    return best[1] if best else None


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
