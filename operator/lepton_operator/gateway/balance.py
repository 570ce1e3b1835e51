"""Which worker a call goes to.

Without affinity: the better of two workers drawn at random (Mitzenmacher, "The Power of Two
Choices in Randomized Load Balancing", IEEE TPDS 12(10), 2001). The least loaded of all would get
the calls of every gateway at once, until the next report.

With affinity: the first worker in the key's own order (rendezvous hashing, Thaler and Ravishankar,
IEEE/ACM ToN 6(1), 1998) that is not above its bound (Mirrokni, Thorup and Zadimoghaddam,
"Consistent Hashing with Bounded Loads", arXiv 1608.01350). A worker that comes or goes moves only
its own keys.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

PREFIX_BOUND = 1.25
"""Times the mean work up to which a shared beginning keeps its worker."""
SESSION_BOUND = 2.0
"""The same for a session, whose whole text would be computed anew elsewhere."""


@dataclass(frozen=True)
class Worker:
    """A worker as one gateway sees it; all counts are calls."""

    address: str
    capacity: int
    """Most calls in flight, by whomever they were sent; the rest waits where it can still move."""
    outstanding: int = 0
    """Sent by this gateway and not ended."""
    reported: int = 0
    """In hand of the worker when it reported last, by whomever they were sent."""
    reported_own: int = 0
    """Those among `reported` that this gateway had sent."""

    @property
    def work(self) -> int:
        """Calls in flight, each counted once: our own as of now, those of others as reported."""
        return self.outstanding + max(0, self.reported - self.reported_own)

    @property
    def room(self) -> int:
        """Calls that it may still be sent."""
        return max(0, self.capacity - self.work)

    @property
    def load(self) -> float:
        """Work as a share of the capacity, so that large and small workers compare."""
        return self.work / self.capacity if self.capacity > 0 else math.inf


def least_of_two(workers: Iterable[Worker], draw: Callable[[int], int]) -> Worker | None:
    """The less loaded of two workers with room; None when none has any.

    `draw(n)` gives a random integer from 0 to n - 1. The first one drawn wins a tie.
    """
    free = [worker for worker in workers if worker.room]
    if not free:
        return None
    first = draw(len(free))
    if len(free) == 1:
        return free[first]
    # Drawn from one fewer and moved past the first, so that the two differ.
    second = draw(len(free) - 1)
    second += second >= first
    return min(free[first], free[second], key=lambda worker: worker.load)


def by_affinity(workers: Sequence[Worker], key: str, bound: float) -> Worker | None:
    """The first worker with room in the order of `key` whose work stays within the bound.

    The bound is `bound` (at least 1) times the mean load of all workers, this call included, as a
    share of each worker's capacity. When room is left only above it, the first with room takes
    the call: better a long way in a batch than a wait in the gateway.
    """
    if bound < 1:
        raise ValueError(f"bound is {bound}: no worker can be below the mean; give at least 1")
    free = [worker for worker in _order(workers, key) if worker.room]
    capacity = sum(worker.capacity for worker in workers)
    mean = (sum(worker.work for worker in workers) + 1) / capacity if capacity else 0
    within = (
        worker for worker in free if worker.work + 1 <= math.ceil(bound * mean * worker.capacity)
    )
    return next(within, free[0] if free else None)


def _order(workers: Iterable[Worker], key: str) -> list[Worker]:
    def score(worker: Worker) -> bytes:
        return hashlib.blake2b(f"{worker.address}\0{key}".encode(), digest_size=8).digest()

    return sorted(workers, key=score)
