"""Requests of a trace, and their file: JSON Lines.

The first line may be an object with `seconds`, how long the trace lasts. Each other line is a
request: `{"at": 12.5, "work": 300, "deadline": 30}`: seconds since the begin, tokens, and seconds
that the caller waits until its request begins (may be missing).
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass


class TraceError(ValueError):
    """A trace that cannot be used; the message names line, field and remedy."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `at` and `deadline` in seconds, `work` in tokens."""

    at: float
    work: float
    deadline: float | None = None


@dataclass(frozen=True)
class Trace:
    """Requests in the order of their arrival, over so many seconds."""

    name: str
    requests: tuple[Request, ...]
    seconds: float


def read(name: str, lines: Iterable[str]) -> Trace:
    """The trace in a file. Raises TraceError."""
    found: list[Request] = []
    seconds = 0.0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise TraceError(
                f"{name}:{number}: no JSON ({error}); give one object a line"
            ) from error
        if not isinstance(entry, dict):
            raise TraceError(f"{name}:{number}: give one object a line")
        place = f"{name}:{number}"
        if "seconds" in entry and "at" not in entry:
            seconds = _number(place, entry, "seconds")
            continue
        deadline = _number(place, entry, "deadline") if "deadline" in entry else None
        found.append(Request(_number(place, entry, "at"), _number(place, entry, "work"), deadline))
    if not found:
        raise TraceError(f'{name}: no requests; give lines such as {{"at": 0.5, "work": 300}}')
    found.sort(key=lambda request: request.at)
    return Trace(name, tuple(found), max(seconds, found[-1].at))


def write(trace: Trace) -> str:
    """The trace as a file's text."""
    lines = [json.dumps({"seconds": trace.seconds})]
    for request in trace.requests:
        entry = {"at": request.at, "work": request.work}
        if request.deadline is not None:
            entry["deadline"] = request.deadline
        lines.append(json.dumps(entry))
    return "\n".join(lines) + "\n"


def _number(place: str, entry: dict[str, object], field: str) -> float:
    value = entry.get(field)
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not math.isfinite(value) or value < 0:  # type: ignore[arg-type,operator]
        raise TraceError(f"{place}: {field} is {value!r}; give a number from 0")
    return float(value)  # type: ignore[arg-type]
