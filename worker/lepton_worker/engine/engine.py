"""The loop: the only place where the scheduler meets the backend.

All state lives on the event loop; the backend works in one thread of its own, one step at a time.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from lepton_worker.backends.base import Backend
from lepton_worker.engine.runs import EncodeRun, GenerateRun, Run, Stopwatch
from lepton_worker.engine.step import Outcome, Part, TextPart, compute, plan
from lepton_worker.errors import DeadlineExceeded, DeviceLost, Draining, RequestError
from lepton_worker.metrics import Metrics
from lepton_worker.model import Model
from lepton_worker.request import EncodeJob, Job
from lepton_worker.scheduler.scheduler import Limits, Scheduler, Ticket

Clock = Callable[[], float]

LATE = "the deadline passed before the answer was there"
CUT = "the worker ended before it could answer"


@dataclass(frozen=True)
class Loaded:
    """A backend with its model, and the one thread that may call it."""

    backend: Backend
    model: Model
    thread: Executor


class Engine:
    """Runs requests on one backend; every method but `run` and `idle` returns at once."""

    def __init__(
        self, loaded: Loaded, limits: Limits, metrics: Metrics, clock: Clock = time.monotonic
    ) -> None:
        self.model = loaded.model
        self._backend = loaded.backend
        self._thread = loaded.thread
        self._limits = limits
        self._scheduler: Scheduler[Run] = Scheduler(limits)
        self._metrics = metrics
        self._clock = clock
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def waiting(self) -> int:
        """Requests admitted and not taken up."""
        return self._scheduler.waiting

    @property
    def running(self) -> int:
        """Requests in the engine."""
        return self._scheduler.running

    def admit(self, deadline: float | None) -> Ticket[Run]:
        """A place in the queue, before any work is done; raises QueueFull or DeadlineExceeded.

        Whoever holds it has to give it back with `leave`.
        """
        ticket = self._scheduler.admit(deadline, self._clock())
        self._idle.clear()
        return ticket

    def start(self, ticket: Ticket[Run], job: Job) -> tuple[Run, int]:
        """Let an admitted request run; returns it and how many wait in front of it.

        Raises DeadlineExceeded or Draining if its place was lost while its input was prepared.
        """
        if ticket not in self._scheduler:
            late = ticket.deadline is not None and ticket.deadline <= self._clock()
            raise DeadlineExceeded(LATE) if late else Draining(CUT)
        watch = Stopwatch(ticket.admitted_at)
        run: Run
        if isinstance(job, EncodeJob):
            run = EncodeRun(job, watch)
        else:
            run = GenerateRun(job, self.model, watch)
        position = self._scheduler.prepare(ticket, run)
        self._wake.set()
        return run, position

    def leave(self, ticket: Ticket[Run]) -> None:
        """The caller is done with its request, however it ended. Twice is once."""
        if ticket in self._scheduler:
            self._remove(ticket)
            self._wake.set()

    def _remove(self, ticket: Ticket[Run]) -> None:
        self._scheduler.leave(ticket, self._clock())
        self._forget(ticket)

    def _forget(self, ticket: Ticket[Run]) -> None:
        if isinstance(ticket.job, GenerateRun):
            # Behind the step that may be running: the thread does one thing after the other.
            self._thread.submit(self._backend.release, ticket.job.sequence)
        if not self._scheduler.in_hand:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until nothing is in hand."""
        await self._idle.wait()

    def cut(self) -> None:
        """End everything in hand: texts with what there is of them, the rest as Draining."""
        now = self._clock()
        for ticket in self._scheduler.in_hand:
            if ticket.job is not None:
                self._cut_short(ticket.job, self._scheduler.is_running(ticket), now)
            self._remove(ticket)

    def _cut_short(self, run: Run, begun: bool, now: float) -> None:
        if begun:
            run.drain(now)
        if not run.done:
            run.outbox.fail(Draining(CUT))

    async def run(self) -> None:
        """Step while there is work, sleep otherwise."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while batch := self._next_batch():
                await self._step(batch)

    def _next_batch(self) -> list[Ticket[Run]]:
        now = self._clock()
        for ticket in self._scheduler.expire(now):
            if ticket.job is not None:
                ticket.job.outbox.fail(DeadlineExceeded(LATE))
            self._forget(ticket)
        batch = self._scheduler.next_batch()
        for ticket in batch:
            if ticket.job is not None and ticket.job.watch.starts(now):
                self._metrics.queue_duration.observe(now - ticket.admitted_at)
        return batch

    async def _step(self, batch: list[Ticket[Run]]) -> None:
        """One step of all that run. Who left meanwhile gets nothing."""
        parts = plan(batch, self._limits.max_running)
        loop = asyncio.get_running_loop()
        outcomes = await loop.run_in_executor(self._thread, compute, self._backend, parts)
        self._metrics.batch_size.observe(len(batch))
        now = self._clock()
        for part, outcome in zip(parts, outcomes, strict=True):
            if part.ticket in self._scheduler:
                self._note(part, len(batch), now)
                self._settle(part, outcome, now)
        if any(isinstance(outcome, DeviceLost) for outcome in outcomes):
            self.cut()
            raise RuntimeError("the device is lost")

    def _note(self, part: Part, batch_size: int, now: float) -> None:
        first = part.run.watch.stepped(now, batch_size)
        if isinstance(part, TextPart):
            self._metrics.generated_tokens.inc()
            if first:
                self._metrics.first_token.observe(now - part.ticket.admitted_at)

    def _settle(self, part: Part, outcome: Outcome, now: float) -> None:
        if isinstance(outcome, RequestError):
            part.run.outbox.fail(outcome)
            self._remove(part.ticket)
            return
        part.accept(outcome, now)
        if part.run.done:
            self._remove(part.ticket)
