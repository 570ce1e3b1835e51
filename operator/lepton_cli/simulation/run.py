"""One trace through one fleet under one policy: what it cost and how long requests waited."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from lepton_cli.simulation.trace import Trace
from lepton_cli.simulation.world import Fleet, World
from lepton_operator.scaling.values import Bounds, Depth, Inputs, Policy

S = TypeVar("S")
PHASE = 0.5
"""Seconds between a reading of the queue depth and a look at it."""


@dataclass(frozen=True)
class Sample:
    """One second: workers asked for, workers ready, requests in hand."""

    at: float
    replicas: int
    ready: int
    depth: int


@dataclass(frozen=True)
class Result:
    """Seconds; `waits` and `starts` in the order of the requests: arrival to begin, and begin."""

    replica_seconds: float
    waits: tuple[float, ...]
    starts: tuple[float, ...]
    late: int
    """Requests that began after their deadline."""
    flaps: int
    """Changes of direction of the number asked for."""
    wakes: int
    seconds: float
    line: tuple[Sample, ...]

    @property
    def mean_wait(self) -> float:
        """Mean over all requests."""
        return sum(self.waits) / len(self.waits)

    def wait(self, share: float) -> float:
        """Smallest wait that at least `share` of the requests do not exceed (nearest rank)."""
        ordered = sorted(self.waits)
        return ordered[max(0, -(-round(share * 1e6) * len(ordered) // 10**6) - 1)]

    @property
    def wait_cost(self) -> float:
        """Mean wait times replica-seconds for each request."""
        return self.mean_wait * self.replica_seconds / len(self.waits)


class _Run:
    def __init__(
        self, trace: Trace, world: World, bounds: Bounds, initial: int, phase: float
    ) -> None:
        self.trace, self.world, self.bounds, self.phase = trace, world, bounds, phase
        self.fleet = Fleet(world)
        self.fleet.warm(initial)
        self.replicas = initial
        self.read = 0
        self.line: list[Sample] = []
        self.changes: list[int] = []
        self.wakes = 0

    def inputs(self, at: float, depth: int, age: float) -> Inputs:
        staying = [worker for worker in self.fleet.workers if not worker.leaving]
        return Inputs(
            at=at,
            depth=Depth(depth, age),
            bounds=self.bounds,
            replicas=self.replicas,
            existing=len(staying),
            ready=sum(worker.ready for worker in staying),
        )

    def set(self, at: float, replicas: int) -> None:
        if replicas == self.replicas:
            return
        self.changes.append(1 if replicas > self.replicas else -1)
        self.wakes += self.replicas == 0
        self.replicas = replicas
        self.fleet.scale(at, replicas)
        self.fleet.serve(at, self.trace.requests)

    def sample(self, at: float) -> None:
        self.read = self.fleet.depth()
        seen = self.inputs(at, self.read, 0.0)
        self.line.append(Sample(at, self.replicas, seen.ready, self.read))

    def go(self, policy: Policy[S]) -> float:
        requests, state = self.trace.requests, policy.first()
        arrival, reading, look, now = 0, 0.0, self.phase, 0.0
        while arrival < len(requests) or self.fleet.depth() or now < self.trace.seconds:
            coming = requests[arrival].at if arrival < len(requests) else float("inf")
            now = min(coming, reading, look, self.fleet.pending())
            if now == self.fleet.pending():
                self.fleet.happen(requests)
            elif now == coming:
                self.fleet.queue.append(arrival)
                arrival += 1
                self.fleet.serve(now, requests)
                if self.replicas == 0:
                    seen = self.inputs(now, self.fleet.depth(), 0.0)
                    if woken := policy.wake(seen, state):
                        self.set(now, woken[0].replicas)
                        state = woken[1]
            elif now == reading:
                self.sample(now)
                reading += self.world.metric_age
            else:
                seen = self.inputs(now, self.read, now - self.line[-1].at)
                decision, state = policy.decide(seen, state)
                self.set(now, decision.replicas)
                look += policy.period
        return now


def simulate(
    trace: Trace,
    world: World,
    bounds: Bounds,
    policy: Policy[S],
    *,
    initial: int = 1,
    phase: float = PHASE,
) -> Result:
    """Serve all requests of a trace; `initial` workers are warm, the first look is at `phase`.

    Raises ValueError for a trace without requests.
    """
    if not trace.requests:
        raise ValueError(f"{trace.name}: no requests")
    course = _Run(trace, world, bounds, initial, phase)
    end = course.go(policy)
    fleet = course.fleet
    fleet.close(end)
    starts = tuple(fleet.begun[number] for number in range(len(trace.requests)))
    waits = tuple(max(0.0, b - r.at) for b, r in zip(starts, trace.requests, strict=True))
    late = sum(
        request.deadline is not None and wait > request.deadline
        for request, wait in zip(trace.requests, waits, strict=True)
    )
    return Result(
        fleet.replica_seconds,
        waits,
        starts,
        late,
        turns(course.changes),
        course.wakes,
        end,
        tuple(course.line),
    )


def turns(changes: Sequence[int]) -> int:
    """How often the direction changed."""
    return sum(one != next_ for one, next_ in pairwise(changes))
