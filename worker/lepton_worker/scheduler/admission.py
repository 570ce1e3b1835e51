"""Who is let in, decided at once where the requests arrive, in front of the engine.

Admission knows what it let in and what the engine reports; both are a little old, so every estimate
errs towards letting in: what the steps of prompts add to others is left out, who came before counts
no more than fairness will give it, and a deadline counts as missed only where the estimate is above
TOLERANCE times the time that remains. Early refusal follows Qin et al., "Mooncake", FAST 2025.
"""

from dataclasses import dataclass, field

from lepton_worker.errors import DeadlineExceeded, DeadlineUnattainable, QueueFull
from lepton_worker.request import Caller
from lepton_worker.scheduler.costs import Rates, Report, Work
from lepton_worker.scheduler.entries import check_growth
from lepton_worker.scheduler.overload import OverloadGuard

TOLERANCE = 1.5
SHORTEST, LONGEST, UNKNOWN = 0.1, 30.0, 1.0
"""Bounds of the time after which another try is advised; the advice while nothing is known."""
HEADROOM = 8
"""One place for so many is added to the bound, for those whom others crowd out."""
ANYONE = Caller()


@dataclass(frozen=True)
class Bounds:
    """Most requests that may wait, tokens that texts can grow to (0: no bound), texts at a time."""

    max_waiting: int
    cache_tokens: int
    slots: int


@dataclass(eq=False)
class Permit:
    """One job that was let in; it waits until `begun` and is in hand until `leave`."""

    caller: Caller
    work: Work
    waits: bool = field(default=True, init=False)


@dataclass
class _Queue:
    """What waits of one tenant in one class."""

    count: int = 0
    work: Work = field(default_factory=Work)


class Admission:
    """Lets calls in, and then their jobs, or raises why not. Times are seconds of any one clock.

    A call `enter`s before its input is prepared; each job of it is `admit`ted when its tokens are
    known.
    """

    def __init__(self, bounds: Bounds, guard: OverloadGuard | None = None) -> None:
        self._bounds = bounds
        self._guard = guard or OverloadGuard()
        self._permits: dict[Permit, None] = {}
        self._queues: dict[tuple[int, str], _Queue] = {}
        self._classes: dict[int, int] = {}
        self._waiting = 0
        self._rates: Rates | None = None
        self._left = Work()
        self._shields = False

    @property
    def waiting(self) -> int:
        """Jobs let in and not begun."""
        return self._waiting

    @property
    def in_hand(self) -> int:
        """Jobs let in that have not left."""
        return len(self._permits)

    def observe(self, report: Report, now: float) -> None:
        """Take note of what the engine reports."""
        self._rates = report.rates
        self._left = report.left
        self._shields = report.shields
        self._guard.observe(report.shortest_wait, self._classes, now)

    def enter(self, waiting: int, caller: Caller) -> None:
        """Raise QueueFull if a call cannot be let in while so many others wait.

        Calls for which a slot is free do not count as waiting. Above the bound there are a few
        places for those whom others crowd out: worse classes, or tenants with more than a share.
        """
        if self._guard.refuses(caller.priority):
            raise self._full(
                f"there is more work than can be done, and calls of class {caller.priority} are"
                " the first to be refused"
            )
        running = len(self._permits) - self._waiting
        places = self._bounds.max_waiting + max(0, self._bounds.slots - running)
        if waiting < places:
            return
        spare = max(1, self._bounds.max_waiting // HEADROOM)
        if waiting >= places + spare or not self._crowded_out(caller):
            raise self._full(f"{waiting} requests wait already, and no more may")

    def admit(
        self,
        prefill_tokens: int,
        new_tokens: int,
        deadline: float | None,
        now: float,
        caller: Caller = ANYONE,
        rows: int = 1,
        first_by: float | None = None,
    ) -> Permit:
        """Let a job in: a text of at most `new_tokens` in each of `rows`, or (0) a list of inputs;
        `first_by` is when the text's first token is wanted.

        Raises ContextLengthExceeded, DeadlineExceeded or DeadlineUnattainable.
        """
        if new_tokens:
            check_growth(prefill_tokens, new_tokens, self._bounds.cache_tokens, rows)
        if deadline is not None and deadline <= now:
            raise DeadlineExceeded("the deadline had passed before the request was taken in")
        expected = self._rates.expected_new(new_tokens) if self._rates else new_tokens
        work = Work(prefill_tokens, rows * expected)
        by = deadline, first_by if new_tokens else None
        if self._rates is not None and by != (None, None):
            wait, first = self._wait(work, caller), Work(prefill_tokens, rows)
            _check("the answer", wait + self._alone(work, rows), "the deadline", by[0], now)
            _check("the first token", wait + self._alone(first, rows), "the objective", by[1], now)
        return self._permit(work, caller)

    def _permit(self, work: Work, caller: Caller) -> Permit:
        permit = Permit(caller, work)
        self._permits[permit] = None
        self._classes[caller.priority] = self._classes.get(caller.priority, 0) + 1
        self._waiting += 1
        queue = self._queues.setdefault((caller.priority, caller.tenant), _Queue())
        queue.count += 1
        queue.work += work
        return permit

    def begun(self, permit: Permit) -> None:
        """The engine has taken the job up. Twice is once."""
        if not permit.waits or permit not in self._permits:
            return
        permit.waits = False
        self._waiting -= 1
        key = permit.caller.priority, permit.caller.tenant
        queue = self._queues[key]
        queue.count -= 1
        queue.work -= permit.work
        if not queue.count:
            del self._queues[key]

    def leave(self, permit: Permit) -> None:
        """The job is over, however it ended. Twice is once."""
        self.begun(permit)
        if permit in self._permits:
            del self._permits[permit]
            priority = permit.caller.priority
            self._classes[priority] -= 1
            if not self._classes[priority]:
                del self._classes[priority]

    def estimate(self) -> float:
        """Seconds until a request that came now would be begun after all others; 0: not known."""
        if self._rates is None:
            return 0.0
        work = Work()
        for queue in self._queues.values():
            work += queue.work
        return self._drain(work) + self._next_slot()

    def _free_slots(self) -> int:
        """Slots that no job in hand will need."""
        return max(0, self._bounds.slots - len(self._permits))

    def _crowded_out(self, caller: Caller) -> bool:
        if any(priority > caller.priority for priority, _ in self._queues):
            return True
        tenants = {tenant for _, tenant in self._queues} | {caller.tenant}
        held = sum(
            queue.count for (_, tenant), queue in self._queues.items() if tenant == caller.tenant
        )
        return held * len(tenants) < self._waiting

    def _full(self, message: str) -> QueueFull:
        limit = {"max_queue_depth": str(self._bounds.max_waiting)}
        return QueueFull(message, retry_after=self._retry_after(), metadata=limit)

    def _retry_after(self) -> float:
        """Seconds until half of what waits will have been begun."""
        seconds = self.estimate() / 2 if self._rates else UNKNOWN
        return min(LONGEST, max(SHORTEST, seconds))

    def _wait(self, work: Work, caller: Caller) -> float:
        """Seconds until a request is begun, as fairness will have it.

        Better classes go first with all they have. In the same class, by the time that the
        caller's own work up to this request is done, another tenant has had as much at most; and a
        list waits for each other list of its tenant no longer than it takes itself.
        """
        own = self._queues.get((caller.priority, caller.tenant), _Queue())
        mine = self._drain(own.work)
        if not work.decode:
            mine = min(mine, own.count * self._drain(work))
        wait, until = mine, mine + self._drain(work)
        for (priority, tenant), queue in self._queues.items():
            if priority < caller.priority:
                wait += self._drain(queue.work)
            elif priority == caller.priority and tenant != caller.tenant:
                wait += min(self._drain(queue.work), until)
        if not work.decode or self._gets_a_slot(caller):
            return wait
        return wait + self._next_slot()

    def _gets_a_slot(self, caller: Caller) -> bool:
        """Whether a tenant with more than an equal share of the slots would give one up."""
        tenants = {permit.caller.tenant for permit in self._permits} | {caller.tenant}
        held = sum(permit.caller.tenant == caller.tenant for permit in self._permits)
        return self._shields and (held + 1) * len(tenants) < self._bounds.slots

    def _drain(self, work: Work) -> float:
        """Seconds to do work in full steps; while slots are free only prompts are in the way."""
        rates = self._rates
        assert rates is not None, "nothing was measured"
        seconds = rates.prefill * work.prefill
        if self._free_slots():
            return seconds
        slots = max(1, self._bounds.slots)
        return seconds + (rates.decode + rates.overhead / slots) * work.decode

    def _next_slot(self) -> float:
        """Seconds until the next slot is free: all run equally far, so one ends after its part.

        The prompts that are being read are in the way as a whole.
        """
        if self._free_slots():
            return 0.0
        slots = max(1, self._bounds.slots)
        return self._drain(Work(self._left.prefill, self._left.decode // slots))

    def _alone(self, work: Work, rows: int) -> float:
        """Seconds that a request takes once it is begun, among those that will run beside it; its
        rows take their steps together."""
        rates = self._rates
        assert rates is not None, "nothing was measured"
        beside = max(rows, min(self._bounds.slots, len(self._permits) + rows))
        steps = work.decode // rows
        return rates.seconds_for(work.prefill, 0) + steps * rates.seconds_for(0, beside)


def _check(what: str, estimated: float, bound: str, by: float | None, now: float) -> None:
    """Raise DeadlineUnattainable if it would come too late by far."""
    if by is None or estimated <= TOLERANCE * (by - now):
        return
    remaining = by - now
    raise DeadlineUnattainable(
        f"{what} would take about {estimated:.1f} s, and {bound} leaves {remaining:.1f} s",
        retry_after=min(LONGEST, max(SHORTEST, estimated - remaining)),
        metadata={
            "estimated_seconds": f"{estimated:.1f}",
            "remaining_seconds": f"{remaining:.1f}",
        },
    )
