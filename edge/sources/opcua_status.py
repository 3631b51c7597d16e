"""OPC UA status codes as qualities of ours. Pure: the name of a code is passed in.

Codes: OPC UA Part 4, 7.39 (the severity: the two highest bits) and Part 8, 6.3 (what they mean for process values).
"""

import re

from contract.values import GOOD, Level, Quality, bad, uncertain

SEVERITY = 0xC000_0000  # 00 good, 01 uncertain, 10 bad; 11 is reserved and counts as bad
CODE = 0xFFFF_0000  # the rest are flags, for example that a queue has overflowed
OVERFLOW = 0x0000_0480  # a data value's code (0x400) whose queue has overflowed (0x80)

HOUSE_TERMS: dict[str, Quality] = {
    # What the rest of the house already has a word for keeps it, so that one alarm rule fits every source.
    "BadSensorFailure": bad("sensor_fault"),
    "BadNoCommunication": bad("no_response"),
    "BadDeviceFailure": bad("device_failure"),
    "BadNotConnected": bad("no_connection"),
    "BadConfigurationError": bad("misconfigured"),
    "BadOutOfRange": bad("out_of_range"),
    "UncertainEngineeringUnitsExceeded": uncertain("out_of_range"),
    "UncertainSensorCalibration": uncertain("uncalibrated"),
    "UncertainLastUsableValue": uncertain("stale"),
    "UncertainNoCommunicationLastUsable": uncertain("stale"),
    # Good to the server, but no measurement: a person has written the value.
    "GoodLocalOverride": uncertain("local_override"),
    "GoodClamped": uncertain("clamped"),
    "GoodEdited": uncertain("edited"),
}
_PREFIX = {Level.BAD: "Bad", Level.UNCERTAIN: "Uncertain"}
_LONGEST = 32  # characters of a reason on the wire


def quality_of(code: int, name: str) -> Quality:
    """The quality of a status code (32 bits) with this name: ``BadWaitingForInitialData`` is ``bad:waiting_for_initial_data``.

    A plain Bad or Uncertain, or one whose name is not known here, is ``unspecified``.
    """
    known = HOUSE_TERMS.get(name)
    if known is not None:
        return known
    severity = code & SEVERITY
    if severity == 0:
        return GOOD
    level = Level.UNCERTAIN if severity == 0x4000_0000 else Level.BAD
    return Quality(level, _snake(name.removeprefix(_PREFIX[level])) or "unspecified")


def overflowed(code: int) -> bool:
    """Whether the server says that values before this one were lost in its queue."""
    return code & OVERFLOW == OVERFLOW


def _snake(name: str) -> str:
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z]+|[a-z]+|\d+", name)
    text = ""
    for word in words:
        longer = f"{text}_{word.lower()}" if text else word.lower()
        if len(longer) > _LONGEST:
            break
        text = longer
    return text if text[:1].isalpha() else ""
