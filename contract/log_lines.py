"""The log of agent and gateway: lines for people, or one JSON object a line for programs that collect them."""

import json
import logging
import time
from datetime import UTC, datetime

FORMS = ("text", "json")


class JsonLines(logging.Formatter):
    """``time`` (ISO 8601, UTC, milliseconds), ``level``, ``logger``, ``message``, and ``exception`` with its traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def formatter(form: str) -> logging.Formatter:
    """``form`` is one of FORMS. Times are UTC in both."""
    if form == "json":
        return JsonLines()
    text = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    text.converter = time.gmtime
    return text
