"""Words looked for in the history of alarms: without regard to case and accents, in either language. Pure."""

import unicodedata
from collections.abc import Iterable

MOST_WORDS = 10


def folded(text: str) -> str:
    """As it is compared: lower case, without accents (so that `galeria` finds `Galería`)."""
    return "".join(letter for letter in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(letter))


def words(text: str) -> tuple[str, ...]:
    """What is looked for. Raises ValueError for nothing, and for more than ten words."""
    found = tuple(folded(text).split())
    if not 1 <= len(found) <= MOST_WORDS:
        raise ValueError(f"text {text!r}: write 1 to {MOST_WORDS} words")
    return found


def hold(wanted: Iterable[str], texts: Iterable[str]) -> bool:
    """Whether each word stands somewhere in the texts, which are folded."""
    told = "\n".join(texts)
    return all(word in told for word in wanted)
