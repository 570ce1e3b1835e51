"""The queue of a worker: who gets in, who is next, who has to leave."""

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from lepton_worker.errors import DeadlineExceeded, QueueFull
from lepton_worker.scheduler.pace import Pace

J = TypeVar("J")


@dataclass(frozen=True)
class Limits:
    """Most requests in one batch, and most that wait for one."""

    max_running: int
    max_waiting: int


@dataclass(eq=False)
class Ticket(Generic[J]):
    """One request in hand; `job` is None while its input is still being prepared."""

    admitted_at: float
    deadline: float | None
    job: J | None = None


class Scheduler(Generic[J]):
    """First come, first served, with a bound. Times are seconds of any one clock."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._waiting: dict[Ticket[J], None] = {}
        self._running: dict[Ticket[J], None] = {}
        self._deadlines: list[tuple[float, int, Ticket[J]]] = []
        self._numbers = itertools.count()
        self._pace = Pace()

    @property
    def waiting(self) -> int:
        """Requests admitted and not taken up."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Requests that were taken up and have not left."""
        return len(self._running)

    def __contains__(self, ticket: Ticket[J]) -> bool:
        return ticket in self._waiting or ticket in self._running

    @property
    def in_hand(self) -> list[Ticket[J]]:
        """All requests that have not left, the running ones first."""
        return [*self._running, *self._waiting]

    def is_running(self, ticket: Ticket[J]) -> bool:
        """Whether the request was taken up."""
        return ticket in self._running

    def admit(self, deadline: float | None, now: float) -> Ticket[J]:
        """Give a request its place in the queue; raises DeadlineExceeded or QueueFull."""
        if deadline is not None and deadline <= now:
            raise DeadlineExceeded("the deadline had passed before the request was taken in")
        if len(self._waiting) >= self._limits.max_waiting:
            raise QueueFull(
                f"{len(self._waiting)} requests wait already, and no more may",
                retry_after=self._pace.time_for(len(self._waiting) // 2),
                metadata={"max_queue_depth": str(self._limits.max_waiting)},
            )
        ticket: Ticket[J] = Ticket(admitted_at=now, deadline=deadline)
        self._waiting[ticket] = None
        if deadline is not None:
            heapq.heappush(self._deadlines, (deadline, next(self._numbers), ticket))
        return ticket

    def prepare(self, ticket: Ticket[J], job: J) -> int:
        """Let an admitted request be taken up; returns how many wait in front of it."""
        ticket.job = job
        for position, other in enumerate(self._waiting):
            if other is ticket:
                return position
        return 0

    def next_batch(self) -> list[Ticket[J]]:
        """Join the waiting to the running as far as there is room; returns all that run."""
        room = max(0, self._limits.max_running - len(self._running))
        prepared = (ticket for ticket in self._waiting if ticket.job is not None)
        for ticket in list(itertools.islice(prepared, room)):
            del self._waiting[ticket]
            self._running[ticket] = None
        return list(self._running)

    def expire(self, now: float) -> list[Ticket[J]]:
        """Take out, and return, the requests whose deadline has passed."""
        gone = []
        while self._deadlines and self._deadlines[0][0] <= now:
            ticket = heapq.heappop(self._deadlines)[2]
            if ticket in self:
                self.leave(ticket, now)
                gone.append(ticket)
        return gone

    def leave(self, ticket: Ticket[J], now: float) -> None:
        """Forget a request: it was answered, failed, or its caller has gone. Twice is once."""
        self._waiting.pop(ticket, None)
        if ticket in self._running:
            del self._running[ticket]
            self._pace.departed(now, others_wait=bool(self._waiting))


def share(pending: Sequence[int], limit: int) -> list[int]:
    """How many units each request gets of a step: one each in turn, until `limit` are given."""
    given = [0] * len(pending)
    left = min(limit, sum(pending))
    while left:
        for index, wanted in enumerate(pending):
            if left and given[index] < wanted:
                given[index] += 1
                left -= 1
    return given
