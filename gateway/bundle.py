"""The evidence of one alarm as a ZIP that is checked without the gateway: what was measured, seen and done, and its place in the audit."""

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from contract.frames import to_ms
from gateway import audit
from gateway.alarms.view import AlarmView
from gateway.audit import Entry, Sealed
from gateway.evidence import UnknownEvidence
from gateway.services import Services
from gateway.store import Sample, Series

FORMAT = 1
AROUND_NS = 30 * 60 * 1_000_000_000  # of samples, before the alarm and after it
MOST_SAMPLES, MOST_ENTRIES, MOST_PICTURES, MOST_CHAIN = 10_000, 1000, 50, 50_000


def bundle(services: Services, key: str, *, who: str, now_ns: int) -> bytes:
    """That it was made, and by whom, is its own last entry in the chain. Blocks. Raises UnknownAlarm, StoreUnavailable."""
    view = services.journal.get(key)
    samples = services.store.raw(
        Series(view.node, view.point), max(0, view.now.since_ns - AROUND_NS), min(now_ns, view.now.since_ns + AROUND_NS), MOST_SAMPLES
    )
    members = {"samples.csv": _csv(samples), **_pictures(services, key, who, now_ns)}
    audit.note(services.engine, Entry(now_ns, "alarm.bundle", who, key, {}))
    birth = services.nodes.birth(view.node)
    members |= {
        "alarm.json": _json(view.to_json()),
        "history.json": _json([entry.to_json() for entry in services.journal.history(key=key, limit=MOST_ENTRIES)]),
        "node.json": _json({"node": view.node, "software": birth.software if birth else "", "boot": birth.boot if birth else ""}),
    }
    whole, chain = _chain(services, view, [name for name in members if name.startswith("pictures/")])
    members["audit.jsonl"] = b"".join(_json({"before": before, **one._asdict()}) for before, one in chain)
    head = chain[-1][1]
    started = next(iter(audit.entries(services.engine, kind="gateway.start", limit=1)), None)
    manifest = {
        "format": FORMAT,
        "site": services.config.site,
        "key": key,
        "written": to_ms(now_ns),
        "who": who,
        "software": version("muki"),
        "gateway": json.loads(started.what) if started else {},
        "chain": "whole" if whole else "parts",
        "head": {"number": head.number, "hash": head.hash},
        "members": {name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for name, data in sorted(members.items())},
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("manifest.json", _json(manifest))
        for name, data in sorted(members.items()):
            file.writestr(name, data)
    return out.getvalue()


def _json(told: object) -> bytes:
    return json.dumps(told, ensure_ascii=False).encode() + b"\n"


def _csv(samples: list[Sample]) -> bytes:
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow(["time_ns", "value", "quality"])
    rows.writerows([one.time_ns, "" if one.value is None else one.value, one.quality] for one in samples)
    return out.getvalue().encode()


def _pictures(services: Services, key: str, who: str, now_ns: int) -> dict[str, bytes]:
    """Each look at one is in its log, as on the page."""
    found: dict[str, bytes] = {}
    for node, event in services.evidence.of_alarm(key, MOST_PICTURES):
        try:
            found[f"pictures/{node}/{event}.jpg"] = services.evidence.view(node, event, who=who, now_ns=now_ns)
        except UnknownEvidence:  # the file is gone: its entry in the chain says that it was there
            continue
    return found


def _chain(services: Services, view: AlarmView, pictures: list[str]) -> tuple[bool, list[tuple[str, Sealed]]]:
    """Entries with the hash before each, oldest first: all from the alarm's first on; where those are too many, its own and its pictures'."""
    subjects = {view.key, *(name.removeprefix("pictures/").removesuffix(".jpg") for name in pictures)}
    first = _first(services, subjects)
    head = audit.head(services.engine).number
    if head - first < MOST_CHAIN:
        return True, list(_with_before(services, first, None))
    return False, list(_with_before(services, first, subjects))


def _first(services: Services, subjects: set[str]) -> int:
    return min((one.number for subject in subjects for one in audit.entries(services.engine, subject=subject, limit=MOST_CHAIN)), default=1)


def _with_before(services: Services, first: int, subjects: set[str] | None) -> Iterator[tuple[str, Sealed]]:
    before = audit.GENESIS
    for one in audit.every(services.engine, behind=max(0, first - 2)):
        if one.number >= first and (subjects is None or one.subject in subjects):
            yield before, one
        before = one.hash


def described(manifest: dict[str, Any]) -> str:
    """One line."""
    return f"alarm {manifest.get('key')} of site {manifest.get('site')}, made by {manifest.get('who')}"
