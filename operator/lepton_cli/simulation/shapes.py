"""Six shapes of load, made from seeds: arrivals are Poisson at a rate that the shape gives."""

import math
from collections.abc import Callable
from random import Random

from lepton_cli.simulation.trace import Request, Trace

RATE = 8.0
"""Requests per second of the steady shape."""
WORK = 200.0
"""Tokens of a request, on average."""
SECONDS = 3600.0

Rate = Callable[[float], float]


def shape(name: str, seed: int, seconds: float = SECONDS) -> Trace:
    """The shape of that name. Raises ValueError when there is none."""
    if name not in SHAPES:
        raise ValueError(f"shape {name!r}; give one of {', '.join(SHAPES)}")
    rng = Random(f"{name}-{seed}")
    rate, most = SHAPES[name](rng, seconds)
    length = _heavy if name == "heavy" else _even
    at, found = rng.expovariate(most), []
    while at < seconds:
        if rng.random() * most < rate(at):
            found.append(Request(round(at, 4), round(length(rng), 1), 10.0))
        at += rng.expovariate(most)
    return Trace(name, tuple(found), seconds)


def _even(rng: Random) -> float:
    return WORK * rng.uniform(0.5, 1.5)


def _heavy(rng: Random) -> float:
    """Pareto with the same mean: one in a hundred is ten times as long, at most fifty times."""
    return min(50 * WORK, WORK / 3 * rng.paretovariate(1.5))


def _steady(rng: Random, seconds: float) -> tuple[Rate, float]:
    return lambda at: RATE, RATE


def _step(rng: Random, seconds: float) -> tuple[Rate, float]:
    begin = seconds * rng.uniform(0.3, 0.5)
    return lambda at: RATE if at >= begin else RATE / 4, RATE


def _burst(rng: Random, seconds: float) -> tuple[Rate, float]:
    starts = [rng.uniform(0, seconds) for _ in range(max(1, round(seconds / 600)))]
    high = 1.5 * RATE
    return lambda at: high if any(0 <= at - s < 90 for s in starts) else RATE / 8, high


def _diurnal(rng: Random, seconds: float) -> tuple[Rate, float]:
    phase = rng.uniform(0, 2 * math.pi)
    return lambda at: RATE * (0.55 + 0.45 * math.sin(2 * math.pi * at / seconds + phase)), RATE


def _on_off(rng: Random, seconds: float) -> tuple[Rate, float]:
    cycle, begin = seconds / 3, rng.uniform(0, seconds / 3)
    return lambda at: RATE / 2 if (at + begin) % cycle < 0.4 * cycle else 0.0, RATE / 2


SHAPES: dict[str, Callable[[Random, float], tuple[Rate, float]]] = {
    "steady": _steady,
    "step": _step,
    "burst": _burst,
    "diurnal": _diurnal,
    "on-off": _on_off,
    "heavy": _steady,
}
