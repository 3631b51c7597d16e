"""The report of a shift on paper: what stands, what was done, who signed, with the hash of what they signed on every page."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache, partial
from io import BytesIO
from typing import Any, NamedTuple
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Table, TableStyle

from gateway.handover import Handover
from gateway.web.language import texts

_FONT, _BOLD = "Vera", "VeraBd"  # Bitstream Vera, which ReportLab brings: free, and all of Latin-1
_MARGIN = 48.0  # points
_SOFT = HexColor("#4d5961")
_TEXT = ParagraphStyle("text", fontName=_FONT, fontSize=9, leading=12, spaceBefore=4)
_SMALL = ParagraphStyle("small", parent=_TEXT, fontSize=7.5, leading=10, textColor=_SOFT, spaceBefore=0)
_TITLE = ParagraphStyle("title", parent=_TEXT, fontName=_BOLD, fontSize=15, leading=19)
_SECTION = ParagraphStyle("section", parent=_TEXT, fontName=_BOLD, fontSize=11, leading=14, spaceBefore=12, keepWithNext=1)
_SHARES = frozenset({"flood_share", "bad_actor_share"})
_SECONDS = frozenset({"acknowledge_median", "acknowledge_p90"})
_LENGTHS = frozenset({"chattering", "stale"})
_FIGURES = (
    ("alarms", ""),
    ("mean_rate", "≤ 1"),
    ("peak_rate", "≤ 10"),
    ("flood_share", "< 1 %"),
    ("chattering", "0"),
    ("stale", "< 5"),
    ("bad_actor_share", ""),
    ("acknowledge_median", ""),
    ("acknowledge_p90", ""),
    ("unacknowledged", "0"),
)


class _Words(NamedTuple):
    """Texts and times of one language and one site."""

    language: str
    known: Mapping[str, str]
    zone: ZoneInfo

    def t(self, key: str, **values: object) -> str:
        return self.known[key].format(**values)

    def moment(self, ms: float) -> str:
        return datetime.fromtimestamp(ms / 1000, self.zone).strftime("%d/%m/%Y %H:%M:%S")

    def title(self, alarm: Mapping[str, Any]) -> str:
        told = alarm["title"]
        return str(told.get(self.language) or told.get("es") or told.get("en") or alarm["definition"])

    def seconds(self, value: float | None) -> str:
        if value is None:
            return "–"
        if value < 60:
            return self.t("unit.seconds", n=round(value))
        if value < 3600:
            return self.t("unit.minutes", n=round(value / 60))
        return self.t("unit.hours", n=f"{value / 3600:.1f}")


def as_pdf(told: Mapping[str, Any], *, language: str, time_zone: str, signed: Handover | None = None) -> bytes:
    """The report (`shift_report.report`) as A4. ``signed``: the handover that it is the report of. The same report gives the same bytes.

    A sign that the font has not is written as its number, `[U+26A0]`: nothing is left out.
    """
    words = _Words(language, texts(language), ZoneInfo(time_zone))
    foot = f"SHA-256 {signed.sha256}" if signed is not None else words.t("shift.pdf.unsigned")
    out = BytesIO()
    title = words.t("shift.title") + f" · {told['site']}"
    document = SimpleDocTemplate(
        out,
        pagesize=A4,
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=_MARGIN,
        bottomMargin=_MARGIN + 22,
        title=title,
        author="Muki",
        lang=language,
        invariant=1,
    )
    document.build(list(_flow(told, words, signed, title)), canvasmaker=partial(_Numbered, words=words, foot=foot))
    return out.getvalue()


def _flow(told: Mapping[str, Any], words: _Words, signed: Handover | None, title: str) -> Iterator[Flowable]:
    yield _paragraph(title, _TITLE)
    span = words.t("shift.range", start=words.moment(told["start"]), end=words.moment(told["end"]))
    running = told["end"] > told["written"]
    state = words.t("shift.running") if running else words.t("shift.ended")
    yield _paragraph(f"{span} · {state} · {words.zone.key}")
    yield _paragraph(words.t("shift.pdf.written", time=words.moment(told["written"])), _SMALL)
    yield from _signatures(words, signed)
    for name, lines in (
        ("standing", [_standing(one, words) for one in told["standing"]]),
        ("aside", [_aside(one, words) for one in told["aside"]]),
        ("blind", [_blind(one, words) for one in told["blind"]]),
        ("notes", [(note["text"], [words.moment(note["at"]), note["who"]]) for note in told["notes"]]),
        ("done", [_done(one, words) for one in told["done"]]),
    ):
        yield _paragraph(words.t("shift." + name), _SECTION)
        yield from _listed(lines, words)
    yield _paragraph(words.t("shift.figures"), _SECTION)
    yield _figures(told, words)
    yield _paragraph(words.t("shift.sources"), _SMALL)
    if not told["whole"]:
        yield _paragraph(words.t("shift.partial"))
    yield _paragraph(words.t("shift.worst"), _SECTION)
    worst = told["figures"]["bad_actors"]
    yield from _listed([(one["key"], [words.t("shift.times", count=one["alarms"]), _percent(one["share"], words)]) for one in worst], words)
    yield _paragraph(words.t("shift.pdf.audit", number=told["audit"]["number"], hash=told["audit"]["hash"]), _SMALL)


def _signatures(words: _Words, signed: Handover | None) -> Iterator[Flowable]:
    if signed is None:
        yield _paragraph(words.t("shift.pdf.unsigned"))
        return
    line = words.t("shift.signed_line", time=words.moment(signed.at_ns / 1e6), outgoing=signed.outgoing, incoming=signed.incoming)
    yield _paragraph(words.t("shift.pdf.number", number=signed.number) + f" · {line}")
    yield _paragraph(f"SHA-256 {signed.sha256}", _SMALL)
    yield _paragraph(words.t("shift.pdf.untouched") if signed.untouched else words.t("shift.tampered"))


def _standing(alarm: Mapping[str, Any], words: _Words) -> tuple[str, list[str]]:
    parts = [words.t("priority." + alarm["priority"]), words.t("state." + alarm["state"]), f"{alarm['node']}/{alarm['point']}"]
    parts.append(words.t("shift.since", time=words.moment(alarm["since"])))
    if alarm["acknowledged_by"]:
        parts.append(words.t("shift.by", who=alarm["acknowledged_by"]))
    return words.title(alarm), [*parts, alarm["note"]]


def _aside(alarm: Mapping[str, Any], words: _Words) -> tuple[str, list[str]]:
    parts = [words.t("state." + alarm["state"]), f"{alarm['node']}/{alarm['point']}"]
    if alarm["shelved_until"]:
        parts.append(words.t("shift.until", time=words.moment(alarm["shelved_until"])))
    if alarm["shelved_by"]:
        parts.append(words.t("shift.by", who=alarm["shelved_by"]))
    return words.title(alarm), [*parts, alarm["note"]]


def _blind(one: Mapping[str, Any], words: _Words) -> tuple[str, list[str]]:
    parts = [words.t("status." + one["status"])]
    if one["since"] is not None:
        parts += [words.t("shift.since", time=words.moment(one["since"])), words.t("shift.silent", points=one["points"])]
    if one["absent"]:
        parts.append(words.t("shift.absent", names=", ".join(one["absent"])))
    if one["missing"]:
        parts.append(words.t("shift.gaps", count=one["missing"]))
    return one["node"], parts


def _done(entry: Mapping[str, Any], words: _Words) -> tuple[str, list[str]]:
    return words.t("event." + entry["what"]) + f": {words.title(entry)}", [words.moment(entry["at"]), entry["who"], entry["note"]]


def _listed(lines: list[tuple[str, list[str]]], words: _Words) -> Iterator[Flowable]:
    if not lines:
        yield _paragraph(words.t("shift.none"))
    for first, rest in lines:
        yield _paragraph(first)
        if text := " · ".join(part for part in rest if part):
            yield _paragraph(text, _SMALL)


def _figures(told: Mapping[str, Any], words: _Words) -> Table:
    values = told["figures"]
    rows = [[words.t("shift.figure"), words.t("shift.value"), words.t("shift.target")]]
    rows += [[words.t("shift." + name), _figure(name, values[name], words), target] for name, target in _FIGURES]
    shares = values["priorities"]
    told_shares = "–" if shares is None else " · ".join(_percent(share, words) for share in shares.values())
    rows.append([words.t("shift.priorities"), told_shares, "5 · 15 · 80 %"])
    rows.append([words.t("shift.malfunctions"), f"{told['malfunctions']}", ""])
    style: list[Any] = [
        ("FONT", (0, 0), (-1, -1), _FONT, 8),
        ("FONT", (0, 0), (-1, 0), _BOLD, 8),
        ("LINEBELOW", (0, 0), (-1, -1), 0.4, HexColor("#c2c8cc")),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
    ]
    return Table(rows, style=TableStyle(style), hAlign="LEFT", colWidths=[240, 160, 90], repeatRows=1)


def _figure(name: str, value: Any, words: _Words) -> str:
    if name in _SECONDS:
        return words.seconds(value)
    if name in _SHARES:
        return _percent(value, words)
    return f"{len(value)}" if name in _LENGTHS else f"{round(value, 2):g}"


def _percent(share: float | None, words: _Words) -> str:
    return "–" if share is None else words.t("shift.percent", value=f"{round(100 * share, 1):g}")


def _paragraph(text: str, style: ParagraphStyle = _TEXT) -> Paragraph:
    return Paragraph("<br/>".join(escape(_written(line)) for line in text.expandtabs(4).splitlines()), style)


def _written(text: str) -> str:
    known = _fonts()
    return "".join(sign if ord(sign) in known else f"[U+{ord(sign):04X}]" for sign in text)


@cache
def _fonts() -> frozenset[int]:
    """Makes both known to ReportLab; the signs that the text's font has."""
    text, bold = (TTFont(name, f"{name}.ttf") for name in (_FONT, _BOLD))
    for font in (text, bold):
        pdfmetrics.registerFont(font)
    return frozenset(text.face.charToGlyph)


class _Numbered(Canvas):
    """Knows how many pages there are once it is saved; only then the foot of each is written."""

    def __init__(self, *arguments: Any, words: _Words, foot: str, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._words = words
        self._foot = foot
        self._pages: list[dict[str, Any]] = []

    def showPage(self) -> None:  # noqa: N802 - ReportLab's name
        self._pages.append(dict(self.__dict__))
        self._startPage()  # type: ignore[attr-defined]  # not in the stubs

    def save(self) -> None:
        for number, page in enumerate(self._pages, 1):
            self.__dict__.update(page)
            self.setFont(_FONT, 7)
            self.setFillColor(_SOFT)
            self.drawString(_MARGIN, _MARGIN - 2, self._foot)
            self.drawString(_MARGIN, _MARGIN - 13, self._words.t("shift.pdf.advisory"))
            self.drawRightString(A4[0] - _MARGIN, _MARGIN - 2, self._words.t("shift.pdf.page", page=number, pages=len(self._pages)))
            super().showPage()
        super().save()
