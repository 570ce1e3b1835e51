"""Calls that wait for a worker: who is next, who has no place, and for how long.

Stronger priorities go first; within one, tenants take turns, and the calls of one tenant go in the
order in which they came. A full queue takes a newcomer only in the place of somebody who has less
right to it, so that one tenant's burst leaves the others their share of places.
"""

import heapq
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

RAMP_SECONDS = 5.0
"""How long a new worker takes to get all that it can hold: its caches are cold, and its queue
would be full before its first report."""
REMEMBERED = 1024
"""Tenants without a waiting call whose last turn is remembered."""


@dataclass(frozen=True)
class Call:
    """A call that waits; `deadline` in seconds on a monotonic clock, infinite when it has none."""

    id: str
    tenant: str = ""
    priority: int = 0
    """Lower ones go first."""
    deadline: float = math.inf


class Hold:
    """The bounded queue of one model."""

    def __init__(self, limit: int) -> None:
        if limit < 0:
            raise ValueError(f"scaling.hold.maxRequests is {limit}: give 0 or more")
        self._limit = limit
        self._calls: dict[str, Call] = {}
        # Dictionaries keep the order of arrival, and forget a call from the middle at no cost.
        self._lines: dict[int, dict[str, dict[str, Call]]] = {}
        self._turns: dict[str, int] = {}
        self._numbers = itertools.count(1)

    def __len__(self) -> int:
        """Calls that wait."""
        return len(self._calls)

    def enter(self, call: Call) -> Call | None:
        """Let a call wait; the one that has to be refused for it, itself perhaps, or None.

        Raises ValueError when a call with its id waits already.
        """
        if call.id in self._calls:
            raise ValueError(f"call {call.id} waits already: give each call an id of its own")
        refused = None
        if len(self._calls) >= self._limit:
            refused = self._least_entitled(call)
            if refused is call:
                return call
            self.leave(refused.id)
        self._calls[call.id] = call
        self._lines.setdefault(call.priority, {}).setdefault(call.tenant, {})[call.id] = call
        return refused

    def _least_entitled(self, newcomer: Call) -> Call:
        """Of the weakest priority the tenant with most places gives up its newest one.

        The newcomer counts with what its tenant has; equal claims leave things as they are.
        """
        weakest = max(self._lines, default=newcomer.priority)
        if newcomer.priority > weakest or not self._calls:
            return newcomer
        lines = self._lines[weakest]
        tenant = max(lines, key=lambda name: len(lines[name]))
        if newcomer.priority == weakest:
            own = len(lines.get(newcomer.tenant, ()))
            if len(lines[tenant]) <= own + 1:
                return newcomer
        return next(reversed(lines[tenant].values()))

    def leave(self, call_id: str) -> Call | None:
        """Forget a call that was cancelled or sent on; None when it does not wait."""
        call = self._calls.pop(call_id, None)
        if call is None:
            return None
        lines = self._lines[call.priority]
        del lines[call.tenant][call_id]
        if not lines[call.tenant]:
            del lines[call.tenant]
        if not lines:
            del self._lines[call.priority]
        return call

    def take(self, count: int) -> list[Call]:
        """Remove the next `count` calls, or all that there are, and count their tenants' turns."""
        taken = list(itertools.islice(self.order(), max(0, count)))
        for call in taken:
            self.leave(call.id)
            # Put back at the end, so that those whose turn is longest ago are forgotten first.
            self._turns.pop(call.tenant, None)
            self._turns[call.tenant] = next(self._numbers)
        while len(self._turns) > REMEMBERED + len(self._calls):
            del self._turns[next(iter(self._turns))]
        return taken

    def order(self) -> Iterator[Call]:
        """All calls as they would be taken if nobody came or left; valid until the next change."""
        turns = dict(self._turns)
        numbers = itertools.count(max(turns.values(), default=0) + 1)
        for priority in sorted(self._lines):
            lines = {name: iter(line.values()) for name, line in self._lines[priority].items()}
            # Of two tenants without a turn the one that came first is first.
            heap = [(turns.get(name, 0), rank, name) for rank, name in enumerate(lines)]
            heapq.heapify(heap)
            while heap:
                _, rank, name = heapq.heappop(heap)
                call = next(lines[name], None)
                if call is not None:
                    yield call
                    turns[name] = next(numbers)
                    heapq.heappush(heap, (turns[name], rank, name))

    def expired(self, now: float) -> list[Call]:
        """Remove the calls whose deadline has come."""
        late = [call for call in self._calls.values() if call.deadline <= now]
        for call in late:
            self.leave(call.id)
        return late


def wait(ahead: int, starts_in: float, per_second: float) -> float:
    """Seconds until a call is sent on that has `ahead` others before it.

    `starts_in` is the rest of the cold start in seconds, 0 when workers serve; `per_second` is
    how many calls end in a second. Infinite when none does.
    """
    start = max(0.0, starts_in)
    if ahead <= 0:
        return start
    return start + ahead / per_second if per_second > 0 else math.inf


def opening(capacity: int, ready_for: float) -> int:
    """Calls that a worker may have in hand `ready_for` seconds after it became ready: at least
    one, and all of `capacity` after `RAMP_SECONDS`."""
    if ready_for >= RAMP_SECONDS:
        return capacity
    return min(capacity, max(1, math.ceil(capacity * ready_for / RAMP_SECONDS)))
