"""Figures over time in one line of text."""

from collections.abc import Sequence
from itertools import pairwise

LEVELS = "▁▂▃▄▅▆▇█"
UNKNOWN = "·"


def sparkline(values: Sequence[float | None], width: int, top: float | None = None) -> str:
    """Draw a history in at most `width` signs, from 0 to `top` (or its maximum).

    None, a value that nobody knew, is a dot: it must not look like 0.
    """
    ceiling = top if top is not None else (_largest(values) or 0.0)
    shown = squeezed(values, width)
    return "".join(UNKNOWN if value is None else _bar(value, ceiling) for value in shown)


def _bar(value: float, ceiling: float) -> str:
    if ceiling <= 0 or value <= 0:
        return LEVELS[0]
    step = round(min(1.0, value / ceiling) * (len(LEVELS) - 1))
    return LEVELS[max(1, step)]


def squeezed(values: Sequence[float | None], width: int) -> list[float | None]:
    """Fit a whole history into `width` values: each is the largest of its stretch of time."""
    if len(values) <= width:
        return list(values)
    edges = [round(index * len(values) / width) for index in range(width + 1)]
    return [_largest(values[low:high]) for low, high in pairwise(edges)]


def _largest(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
