"""Checks a bundle of evidence: needs nothing but the file, and says in plain words what holds and what does not."""

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

from gateway.audit import seal
from gateway.bundle import FORMAT, described

MOST_BYTES = 512 << 20  # unpacked
SAME_MS = 0.005  # times of the history are milliseconds as floating point numbers
_COLUMNS = ("at_ns", "kind", "who", "subject", "what")


class Checked(NamedTuple):
    """What holds, and what does not: empty for a bundle that is as it was made."""

    holds: list[str]
    broken: list[str]


def check(path: Path) -> Checked:
    """Never raises for what is in the file. Raises OSError where it cannot be read."""
    path.open("rb").close()
    try:
        with zipfile.ZipFile(path) as file:
            if sum(info.file_size for info in file.infolist()) > MOST_BYTES:
                return Checked([], [f"more than {MOST_BYTES >> 20} MB unpacked: no bundle of ours"])
            names = file.namelist()
            if len(set(names)) != len(names):
                return Checked([], ["two members have one name"])
            members = {name: file.read(name) for name in names}
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, OSError) as error:
        return Checked([], [f"no whole ZIP: {error}"])
    try:
        return _check(members)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        return Checked([], [f"a member is not what a bundle has there: {type(error).__name__}: {error}"])


def _check(members: dict[str, bytes]) -> Checked:
    if "manifest.json" not in members:
        return Checked([], ["manifest.json is missing"])
    manifest = json.loads(members["manifest.json"])
    if manifest["format"] != FORMAT:
        return Checked([], [f"format {manifest['format']}: this program reads {FORMAT}"])
    told = Checked([described(manifest)], [])
    _members(manifest, members, told)
    if told.broken:
        return told
    chain = [json.loads(line) for line in members["audit.jsonl"].splitlines()]
    _chain(manifest, chain, told)
    _history(manifest["key"], json.loads(members["history.json"]), chain, told)
    _pictures(members, chain, told)
    return told


def _members(manifest: dict[str, Any], members: dict[str, bytes], told: Checked) -> None:
    listed = manifest["members"]
    told.broken.extend(f"{name} is missing" for name in sorted(listed.keys() - members.keys()))
    told.broken.extend(f"{name} was added" for name in sorted(members.keys() - listed.keys() - {"manifest.json"}))
    for name in sorted(listed.keys() & members.keys()):
        if hashlib.sha256(members[name]).hexdigest() != listed[name]["sha256"]:
            told.broken.append(f"{name} was changed")
    if not told.broken:
        told.holds.append(f"{len(listed)} members are those of the manifest")


def _chain(manifest: dict[str, Any], chain: list[dict[str, Any]], told: Checked) -> None:
    whole = manifest["chain"] == "whole"
    before = None
    for one in chain:
        number = one["number"]
        if one["hash"] != seal(one["before"], number, tuple(one[name] for name in _COLUMNS)):
            told.broken.append(f"audit entry {number} is not what was sealed")
        if whole and before is not None and (number != before["number"] + 1 or one["before"] != before["hash"]):
            told.broken.append(f"audit entry {number} does not follow {before['number']}: something between them was taken out")
        before = one
    head = manifest["head"]
    if before is None or (whole and (before["number"], before["hash"]) != (head["number"], head["hash"])):
        told.broken.append("the chain does not end at the head of the manifest")
    if not told.broken:
        words = "without a gap" if whole else "each for itself: too many lay between them"
        told.holds.append(f"{len(chain)} audit entries are sealed, {words}; head {head['number']} {head['hash']}")
        told.holds.append("compare this head with one kept elsewhere: a signed handover, or what `muki gateway audit verify` printed")


def _history(key: str, history: list[dict[str, Any]], chain: list[dict[str, Any]], told: Checked) -> None:
    mine = [(one["kind"], json.loads(one["what"])) for one in chain if one["subject"] == key]
    sealed = {("alarm.active" if kind == "alarm.inferred" else kind, what["at_ns"], kind) for kind, what in mine if "at_ns" in what}
    lacking = []
    for entry in history:
        found = [one for one in sealed if one[0] == f"alarm.{entry['what']}" and abs(one[1] / 1e6 - entry["at"]) < SAME_MS]
        sealed.difference_update(found)
        if not found:
            lacking.append(entry)
    for entry in lacking[:10]:
        told.broken.append(f"history: {entry['what']} at {entry['at']:.0f} ms is in no audit entry")
    missing = sum(kind != "alarm.inferred" for _, _, kind in sealed)  # one that was inferred is completed by its own event
    if missing > 0 and len(history) < 1000:
        told.broken.append(f"history: {missing} things that the audit knows are not in it")
    if not lacking and missing <= 0:
        told.holds.append(f"{len(history)} entries of the history are in the chain")


def _pictures(members: dict[str, bytes], chain: list[dict[str, Any]], told: Checked) -> None:
    kept = {one["subject"]: json.loads(one["what"])["sha256"] for one in chain if one["kind"] == "evidence.kept"}
    pictures = sorted(name for name in members if name.startswith("pictures/"))
    for name in pictures:
        subject = name.removeprefix("pictures/").removesuffix(".jpg")
        if subject not in kept:
            told.broken.append(f"{name}: the chain does not know it")
        elif kept[subject] != hashlib.sha256(members[name]).hexdigest():
            told.broken.append(f"{name} is not the picture that was received")
    if pictures and not any("picture" in text for text in told.broken):
        told.holds.append(f"{len(pictures)} pictures are those that were received")
