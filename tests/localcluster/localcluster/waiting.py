"""Waiting for something with a deadline, the only place where this package sleeps."""

import time
from collections.abc import Callable
from typing import TypeVar

from localcluster.errors import DeadlinePassed

T = TypeVar("T")

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.5


def until(
    probe: Callable[[], T | None],
    what: str,
    timeout: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> T:
    """Call the probe, in growing intervals, until it returns something true; return that."""
    start = clock()
    interval = FIRST_PAUSE
    while True:
        if found := probe():
            return found
        passed = clock() - start
        if passed >= timeout:
            raise DeadlinePassed(f"{what}: not within {timeout:g} s")
        pause(min(interval, timeout - passed))
        interval = min(interval * 1.5, LONGEST_PAUSE)
