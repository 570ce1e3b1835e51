"""The log, as text or JSON. Never what a request says, only who asked and how it ended."""

import json
import logging
import sys
import time
import traceback
from types import TracebackType
from typing import Any, TypeAlias

PRIVATE = tuple(
    f"lepton_worker.{room}" for room in ("serving.", "backends.", "tasks.", "engine.core")
)
"""Loggers whose exceptions may quote a request: what those say stays out of the log."""

ErrorInfo: TypeAlias = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record with time (UTC), level, logger, message and what is known of its request."""
        entry = {
            "time": _utc(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request := getattr(record, "request_id", ""):
            entry["request_id"] = request
        entry.update(_facts(record))
        if record.exc_info:
            entry["exception"] = _exception(self, record)
        return json.dumps(entry, ensure_ascii=False)


class TextLines(logging.Formatter):
    """Lines for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, message and, if there is one, request id."""
        request = getattr(record, "request_id", "")
        line = f"{_utc(record.created)} {record.levelname:<7} {record.getMessage()}"
        line += f" [{request}]" if request else ""
        if record.exc_info:
            line += "\n" + _exception(self, record)
        return line


def set_up_logs(level: str, form: str) -> None:
    """Send everything to standard error; libraries only from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("lepton_worker").setLevel(level)


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    """The facts of a call, given as `extra={"facts": …}`."""
    return dict(getattr(record, "facts", {}))


def _exception(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    assert record.exc_info
    if record.name.startswith(PRIVATE):
        return without_texts(record.exc_info)
    return formatter.formatException(record.exc_info)


def without_texts(info: ErrorInfo) -> str:
    """Kinds and places of an exception and of what led to it, the first one first."""
    parts: list[str] = []
    error = info[1]
    while error is not None and len(parts) < 8:
        places = "".join(traceback.format_tb(error.__traceback__))
        parts.append(f"{places}{type(error).__qualname__}: (its text may quote a request)")
        error = error.__cause__ or error.__context__
    return "\n".join(reversed(parts))


def _utc(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"
