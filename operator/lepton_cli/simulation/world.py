"""Gateway and workers of one model, as far as scaling can tell: a queue, slots, cold starts."""

from collections import deque
from dataclasses import dataclass, field
from heapq import heappop, heappush

from lepton_cli.simulation.trace import Request


@dataclass(frozen=True)
class World:
    """What does not depend on the policy; seconds, and tokens per second of one slot."""

    slots: int = 8
    """Requests that a worker computes at once."""
    cold_start: float = 30.0
    pace: float = 50.0
    metric_age: float = 1.0
    """Seconds between two readings of the queue depth."""

    def service(self, request: Request) -> float:
        """Seconds in a slot."""
        return request.work / self.pace


@dataclass(eq=False)
class Worker:
    """A pod from its creation to its end."""

    created: float
    ready: bool = False
    leaving: bool = False
    running: int = 0


@dataclass
class Fleet:
    """Workers, the queue before them, and what became of each request.

    The gateway keeps one queue, first come first served, and gives its head to the ready worker
    with the fewest requests as soon as a slot is free. A worker that shall go ends at once when it
    is idle or loads, else with its last request.
    """

    world: World
    workers: list[Worker] = field(default_factory=list)
    queue: deque[int] = field(default_factory=deque)
    events: list[tuple[float, int, Worker]] = field(default_factory=list)
    begun: dict[int, float] = field(default_factory=dict)
    ended: dict[int, float] = field(default_factory=dict)
    replica_seconds: float = 0.0
    held: int = 0
    """Requests in slots."""
    _made: int = 0

    def depth(self) -> int:
        """Requests accepted and not yet answered."""
        return len(self.queue) + self.held

    def scale(self, now: float, wanted: int) -> None:
        """Create or end workers, so that as many as wanted stay; those go first that load."""
        staying = [worker for worker in self.workers if not worker.leaving]
        for _ in range(wanted - len(staying)):
            self._made += 1
            worker = Worker(now)
            self.workers.append(worker)
            heappush(self.events, (now + self.world.cold_start, -self._made, worker))
        order = sorted(staying, key=lambda worker: (worker.ready, worker.running, -worker.created))
        for worker in order[: max(0, len(staying) - wanted)]:
            worker.leaving = True
            if not worker.running:
                self._end(now, worker)

    def warm(self, count: int) -> None:
        """Workers that are there from the begin."""
        self.workers.extend(Worker(0.0, ready=True) for _ in range(count))

    def pending(self) -> float:
        """When the next worker gets ready or the next request ends; infinity when none does."""
        return self.events[0][0] if self.events else float("inf")

    def happen(self, requests: tuple[Request, ...]) -> None:
        """The next of these."""
        now, number, worker = heappop(self.events)
        if number < 0:
            worker.ready = True
        else:
            self.ended[number] = now
            worker.running -= 1
            self.held -= 1
            if worker.leaving and not worker.running:
                self._end(now, worker)
        self.serve(now, requests)

    def serve(self, now: float, requests: tuple[Request, ...]) -> None:
        """Give the head of the queue to free slots."""
        slots = self.world.slots
        while self.queue:
            best = None
            for worker in self.workers:
                free = worker.ready and not worker.leaving and worker.running < slots
                if free and (best is None or worker.running < best.running):
                    best = worker
            if best is None:
                return
            number = self.queue.popleft()
            best.running += 1
            self.held += 1
            self.begun[number] = now
            heappush(self.events, (now + self.world.service(requests[number]), number, best))

    def close(self, now: float) -> None:
        """End all."""
        for worker in list(self.workers):
            self._end(now, worker)

    def _end(self, now: float, worker: Worker) -> None:
        self.replica_seconds += now - worker.created
        self.workers.remove(worker)
        worker.ready = False
        worker.leaving = True
