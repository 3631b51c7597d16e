"""What a shift hands over: what stands, what is set aside, what was done, what nobody is watching, and the figures of its alarms."""

import csv
import io
import time
from collections.abc import Iterator
from typing import Any

from contract.alarms import State
from contract.frames import to_ms
from gateway import audit
from gateway.alarms.journal import SYSTEM
from gateway.alarms.kpi import Raised, figures
from gateway.alarms.raised import raised
from gateway.handover import notes
from gateway.nodes import Status
from gateway.services import Services

MOST_DONE = 1000
_ASIDE = frozenset({State.SHELVED, State.SUPPRESSED, State.OUT_OF_SERVICE})


def report(services: Services, start_ns: int, end_ns: int, now_ns: int) -> dict[str, Any]:
    """Ready for JSON; times in Unix ms. What stands and who is silent is as it is now, whichever shift is asked for. Blocks."""
    until_ns = min(end_ns, now_ns)
    views = services.journal.standing()
    came = raised(services.engine, start_ns, until_ns)
    holding = [
        Raised(view.key, view.definition.priority, view.now.since_ns, None, view.now.acknowledged_ns) for view in views if view.now.active
    ]
    told = figures(came.alarms, holding, start_ns, max(start_ns + 1, until_ns))
    return {
        "site": services.config.site,
        "start": to_ms(start_ns),
        "end": to_ms(end_ns),
        "written": to_ms(now_ns),
        "standing": [view.to_json() for view in views if view.state not in _ASIDE],
        "aside": [view.to_json() for view in views if view.state in _ASIDE],
        "done": list(_done(services, start_ns, until_ns)),
        "notes": [{"at": to_ms(note.at_ns), "who": note.who, "text": note.text} for note in notes(services.engine, start_ns, end_ns)],
        "blind": list(_blind(services, now_ns)),
        "audit": audit.head(services.engine)._asdict(),
        "malfunctions": came.malfunctions,
        "whole": came.whole,
        "figures": {
            **told._asdict(),
            "floods": [{"start": to_ms(one.start_ns), "end": to_ms(one.end_ns), "alarms": one.alarms} for one in told.floods],
            "chattering": [one._asdict() for one in told.chattering],
            "bad_actors": [one._asdict() for one in told.bad_actors],
            "priorities": {str(priority): share for priority, share in told.priorities.items()} if told.priorities is not None else None,
        },
    }


def _done(services: Services, start_ns: int, end_ns: int) -> Iterator[dict[str, Any]]:
    """What people did, newest first."""
    before: str | None = None
    count = 0
    while True:
        page = services.journal.history(before=before, limit=1000)
        for entry in page:
            if entry.at_ns < start_ns:
                return
            if entry.who is not None and entry.who != SYSTEM and entry.at_ns < end_ns:
                yield entry.to_json()
                count += 1
                if count >= MOST_DONE:
                    return
        if len(page) < 1000:
            return
        before = page[-1].cursor


def _blind(services: Services, now_ns: int) -> Iterator[dict[str, Any]]:
    """What nobody is watching now."""
    missing: dict[str, int] = {}
    for line in services.ledger.report():
        missing[line.node] = missing.get(line.node, 0) + line.missing
    for view in services.nodes.views(now_ns):
        gone = view.status in {Status.SILENT, Status.OFFLINE}
        if gone or view.absent or missing.get(view.node):
            yield {
                "node": view.node,
                "status": str(view.status),
                "since": to_ms(view.last_seen_ns) if gone else None,
                "points": view.points if gone else len(view.absent),
                "absent": list(view.absent),
                "missing": missing.get(view.node, 0),
            }


def as_csv(told: dict[str, Any]) -> str:
    """The report as rows: section, time, who or what, text. A cell that a spreadsheet would take for a formula begins with an apostrophe."""
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow(["section", "time", "key", "text", "who"])

    def row(*cells: object) -> None:
        rows.writerow([f"'{cell}" if str(cell).startswith(("=", "+", "-", "@")) else cell for cell in cells])

    def moment(ms: float) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms / 1000))

    for section in ("standing", "aside"):
        for alarm in told[section]:
            row(
                section,
                moment(alarm["since"]),
                alarm["key"],
                alarm["title"].get("es") or alarm["definition"],
                alarm["acknowledged_by"] or "",
            )
    for entry in told["done"]:
        row("done", moment(entry["at"]), entry["key"], f"{entry['what']}: {entry['note']}", entry["who"])
    for note in told["notes"]:
        row("note", moment(note["at"]), "", note["text"], note["who"])
    for one in told["blind"]:
        row("blind", moment(one["since"]) if one["since"] else "", one["node"], f"{one['status']}: {' '.join(one['absent'])}", "")
    for name, value in told["figures"].items():
        if isinstance(value, int | float) or value is None:
            row("figure", "", name, "" if value is None else value, "")
    return out.getvalue()
