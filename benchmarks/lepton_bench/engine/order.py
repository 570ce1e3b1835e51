"""Who is measured when, and on which cores."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


def alternating(contestants: Sequence[T], rounds: int) -> list[list[T]]:
    """A-B, B-A, A-B …: drift of the machine falls on all alike."""
    return [
        list(contestants) if number % 2 == 0 else list(reversed(contestants))
        for number in range(rounds)
    ]


@dataclass(frozen=True)
class Cores:
    """Cores of the servers and of this process; the same when there is only one."""

    server: tuple[int, ...]
    client: tuple[int, ...]


def split(cores: Sequence[int], threads: int | None) -> Cores:
    """Give servers `threads` cores (all but one by default) and the caller the rest."""
    available = sorted(cores)
    if len(available) == 1:
        return Cores(tuple(available), tuple(available))
    count = min(threads or len(available) - 1, len(available) - 1)
    return Cores(tuple(available[:count]), tuple(available[count:]))
