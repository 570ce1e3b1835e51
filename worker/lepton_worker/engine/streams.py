"""One job as its caller sees it: where it stands, and what has come of it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from lepton_worker.engine.messages import Ended, Submit, Vectors
from lepton_worker.engine.outbox import Outbox
from lepton_worker.errors import RequestError
from lepton_worker.request import (
    NO_OBJECTIVES,
    Caller,
    Delta,
    Encoded,
    EncodeJob,
    Event,
    Finish,
    FinishReason,
    GenerateJob,
    Job,
    Objectives,
    Timing,
)
from lepton_worker.scheduler.admission import Permit


@dataclass(eq=False)
class Ticket:
    """One call's place, however many jobs it has. Times are monotonic seconds."""

    admitted_at: float
    deadline: float | None
    caller: Caller
    objectives: Objectives = NO_OBJECTIVES
    streams: "list[Stream]" = field(default_factory=list)

    @property
    def runs(self) -> bool:
        """Whether the engine has taken up anything of it."""
        return any(stream.taken_at is not None for stream in self.streams)


@dataclass(eq=False)
class Stream:
    """One job on its way; `position` is how many calls waited in front of it.

    Times are monotonic seconds. `ending` is why it is over: the reason that the engine gives, or
    the one that its caller finds in the text, `abort` when the caller has gone, or `error`.
    `counted` says that the metrics know of it.
    """

    number: int
    job: Job
    ticket: Ticket
    position: int
    permit: Permit
    abandon: "Callable[[Stream], None]"
    outbox: Outbox = field(default_factory=Outbox)
    taken_at: float | None = None
    first_at: float | None = None
    last_at: float | None = None
    ended_at: float | None = None
    sent_at: float = 0.0
    ending: str = ""
    tokens: int = 0
    cached_tokens: int = 0
    batch_size: int = 1
    tries: int = 1
    counted: bool = False
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    def order(self) -> Submit:
        """What the engine is told."""
        ticket = self.ticket
        return Submit(
            self.number,
            self.job,
            ticket.caller,
            ticket.admitted_at,
            ticket.deadline,
            ticket.objectives,
        )

    async def take(self) -> list[Event]:
        """What has come, waiting for the first of it; raises the RequestError that ended it.

        Of a text: any number of Delta (tokens; their text is the caller's to make), then Finish. Of
        a list: one Encoded.
        """
        return await self.outbox.take()

    def cancel(self) -> None:
        """The caller wants no more of it. Twice is once."""
        self.ending = self.ending or FinishReason.STOP.value
        self.abandon(self)

    def timing(self, now: float) -> Timing:
        """Where the time went, as of now; what has not happened yet counts as happening now."""
        since = self.ticket.admitted_at
        taken = now if self.taken_at is None else self.taken_at
        first = now if self.first_at is None else self.first_at
        return Timing(taken - since, first - since, now - since, self.batch_size)

    def add(self, delta: Delta, now: float) -> bool:
        """Further tokens; True when they are the first."""
        first = self.first_at is None
        self.first_at = now if first else self.first_at
        self.last_at = now
        self.tokens += len(delta.ids)
        self.outbox.put(delta)
        return first

    def finish(self, ended: Ended, now: float) -> None:
        """The text is complete, or as complete as it will be."""
        assert isinstance(self.job, GenerateJob)
        self.ending = self.ending or ended.reason.value
        self.outbox.put(
            Finish(
                reason=ended.reason,
                prompt_tokens=len(self.job.prompt),
                output_tokens=self.tokens,
                timing=self.timing(now),
                cached_tokens=ended.cached_tokens,
                prompt_logprobs=ended.prompt_logprobs,
            )
        )

    def fill(self, vectors: Vectors, now: float) -> None:
        """The list is complete."""
        self.first_at = now
        self.ending = "done"
        self.outbox.put(Encoded(vectors.vectors, self.timing(now)))

    def fail(self, error: RequestError) -> None:
        """It ends without a whole answer."""
        self.ending = self.ending or "error"
        self.outbox.fail(error)

    def drain(self, now: float) -> bool:
        """End a text early with what there is of it; False when there is nothing to end so."""
        if not isinstance(self.job, GenerateJob) or self.taken_at is None:
            return False
        self.finish(Ended(self.number, FinishReason.DRAINED), now)
        return True


def cost(job: Job) -> tuple[int, int, int]:
    """Tokens that a job reads, the most that it writes, and in how many rows side by side."""
    if isinstance(job, EncodeJob):
        return sum(map(len, job.inputs)), 0, 1
    return len(job.prompt), job.sampling.max_new_tokens, job.sampling.rows
