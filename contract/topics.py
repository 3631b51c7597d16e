"""The topic tree of WIRE version 1: built and parsed in one place."""

import re
from typing import NamedTuple

from contract.values import IDENTIFIER, check_identifier

ROOT = "muki"
VERSION = "v1"
GATEWAY = "_gateway"

NODE_WRITES = frozenset({"birth", "state", "data", "alarm", "evidence", "result"})
GATEWAY_WRITES = frozenset({"ack", "cmd"})
KINDS = NODE_WRITES | GATEWAY_WRITES
_EVENT = re.compile(r"[0-9A-Za-z-]{1,64}")  # the id of an alarm event


class Topic(NamedTuple):
    """A parsed node topic; ``rest`` is what follows the kind (the event of ``evidence/{event}``)."""

    version: str
    site: str
    node: str
    kind: str
    rest: str = ""


def node_topic(site: str, node: str, kind: str, rest: str = "") -> str:
    """``muki/v1/{site}/{node}/{kind}[/{rest}]``. Raises ValueError for a site, node, kind or rest that may not stand there."""
    check_identifier(site, "site")
    check_identifier(node, "node")
    if kind not in KINDS:
        raise ValueError(f"topic kind {kind!r}: write one of {', '.join(sorted(KINDS))}")
    if rest:
        _check_rest(kind, rest)
    base = f"{ROOT}/{VERSION}/{site}/{node}/{kind}"
    return f"{base}/{rest}" if rest else base


def gateway_alarm_topic(site: str, key: str) -> str:
    """Where the gateway keeps the current state of one alarm, retained; ``key`` from `contract.alarms.alarm_key`.

    Raises ValueError for a site or a key that may not stand there.
    """
    check_identifier(site, "site")
    if not key or any(character in "/+#\0" for character in key):
        raise ValueError(f"alarm key {key!r}: write NODE.DEFINITION, one topic level without '/', '+' and '#'")
    return f"{ROOT}/{VERSION}/{site}/{GATEWAY}/alarms/{key}"


def reject_topic(site: str) -> str:
    """Where the gateway says what it refused, from whom, where in the payload and why."""
    check_identifier(site, "site")
    return f"{ROOT}/{VERSION}/{site}/{GATEWAY}/reject"


def from_nodes_filter(site: str) -> str:
    """What a gateway subscribes to: every node of the site, in every contract version, so that a foreign version is refused aloud.

    The gateway's own topics match it too: those of node ``_gateway``, and ``ack`` and ``cmd`` (GATEWAY_WRITES). Do not answer them.
    """
    check_identifier(site, "site")
    return f"{ROOT}/+/{site}/+/#"


def parse(topic: str) -> Topic:
    """The parts of a node topic of any version. Raises ValueError that says what is wrong with it."""
    parts = topic.split("/", 5)
    if len(parts) < 5 or parts[0] != ROOT:
        raise ValueError(f"topic {topic!r}: expected {ROOT}/{VERSION}/SITE/NODE/KIND")
    _, version, site, node, kind = parts[:5]
    for text, what in ((site, "site"), (node, "node")):
        if not IDENTIFIER.fullmatch(text):
            raise ValueError(f"topic {topic!r}: {what} {text!r} is not 1 to 32 of a-z, 0-9 and '-'")
    if version == VERSION and kind not in KINDS:
        raise ValueError(f"topic {topic!r}: {kind!r} is not one of {', '.join(sorted(KINDS))}")
    rest = parts[5] if len(parts) > 5 else ""
    if version == VERSION and (len(parts) > 5 or kind == "evidence"):
        try:
            _check_rest(kind, rest)
        except ValueError as error:
            raise ValueError(f"topic {topic!r}: {error}") from None
    return Topic(version, site, node, kind, rest)


def _check_rest(kind: str, rest: str) -> None:
    if kind != "evidence":
        raise ValueError(f"nothing may follow {kind!r} (got {rest!r})")
    if not _EVENT.fullmatch(rest):
        raise ValueError(f"{rest!r} after 'evidence': write the id of an alarm event, 1 to 64 of 0-9, A-Z, a-z and '-'")
