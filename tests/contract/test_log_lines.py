"""The log for programs: one JSON object a line, whatever a message holds."""

import json
import logging
import sys

from hypothesis import given
from hypothesis import strategies as st

from contract.log_lines import formatter


@given(st.text(), st.sampled_from([logging.INFO, logging.WARNING]))
def test_a_line_is_an_object_whatever_it_says(text: str, level: int) -> None:
    line = formatter("json").format(logging.LogRecord("gateway.session", level, __file__, 1, "said %s", (text,), None))
    assert "\n" not in line
    told = json.loads(line)
    assert told["message"] == f"said {text}"
    assert (told["logger"], told["level"]) == ("gateway.session", logging.getLevelName(level).lower())
    assert told["time"].endswith("+00:00")


def test_a_traceback_is_in_its_object() -> None:
    try:
        int("of all things")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "failed", (), sys.exc_info())
    told = json.loads(formatter("json").format(record))
    assert "of all things" in told["exception"]
    assert formatter("text").format(record).splitlines()[-1] == told["exception"].splitlines()[-1]
