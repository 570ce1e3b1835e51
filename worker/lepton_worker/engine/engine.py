"""The front's side of the engine: who is in hand, what is sent there, what comes back.

All state lives on the event loop; nothing here waits for a computation.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from lepton_worker.engine.in_hand import InHand
from lepton_worker.engine.link import Link
from lepton_worker.engine.losses import for_call, lost, lost_while_loading, settle
from lepton_worker.engine.messages import (
    LATE,
    Answer,
    Ask,
    Cancel,
    Ended,
    Failed,
    FromEngine,
    NewTokens,
    NotLoaded,
    Phase,
    Ready,
    Report,
    Source,
    Taken,
    Vectors,
)
from lepton_worker.engine.streams import Stream, Ticket, cost
from lepton_worker.errors import (
    DeadlineExceeded,
    DeadlineUnattainable,
    Draining,
    InternalError,
    LeptonError,
)
from lepton_worker.metrics import Metrics
from lepton_worker.model import Model
from lepton_worker.request import NO_OBJECTIVES, Caller, Delta, GenerateJob, Job, Objectives
from lepton_worker.scheduler.admission import Admission, Bounds

log = logging.getLogger(__name__)

Clock = Callable[[], float]

CUT = "the worker ended before it could answer"
END_SECONDS = 5.0
"""How long the step that is running may take at the end."""

TRIES = 2
"""How often a job is given to an engine, where the first one ended before it answered."""


class Engine:
    """Runs jobs on one engine; every method but `load`, `ask` and `idle` returns at once."""

    def __init__(
        self, link: Link, max_waiting: int, metrics: Metrics, clock: Clock = time.monotonic
    ) -> None:
        self._link = link
        self._max_waiting = max_waiting
        self._metrics = metrics
        self._clock = clock
        self._model: Model | None = None
        self._admission = Admission(Bounds(max_waiting, 0, 1))
        self._hand = InHand()
        self._tickets, self._streams = self._hand.tickets, self._hand.streams
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[object]] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._record: Callable[[str, float], None] = lambda name, seconds: None
        self._ready: asyncio.Future[Model] | None = None
        self.lost: asyncio.Future[str] | None = None
        self.report = Report()
        self.pid = 0
        self._listens = False

    # -------------------------------------------------------------- life
    async def load(
        self, record: Callable[[str, float], None], source: Awaitable[Source] | None = None
    ) -> Model:
        """Start the engine and wait for its model; raises LoadError.

        The engine is told of the model's folder as soon as `source` has it. A second time after
        the engine was lost: what is in hand goes to the new one, with what the first one found.
        """
        loop = asyncio.get_running_loop()
        self._record = record
        self._ready = loop.create_future()
        self.lost = loop.create_future()
        self._link.open(self.receive, self._gone)
        if source is not None:
            self._link.send((await source).after(self._model))
        model = await self._ready
        if self._model is None:
            self._admission = Admission(Bounds(self._max_waiting, model.cache_tokens, model.slots))
        self._model = model
        self._listens = True
        for stream in list(self._streams.values()):
            self._send(stream)
        return model

    async def close(self) -> None:
        """End the engine; one that is still loading does not listen and is not waited for."""
        await self._link.close(END_SECONDS if self._model else 0.0)

    @property
    def model(self) -> Model:
        """The model; only after `load`."""
        assert self._model is not None, "the model is not loaded"
        return self._model

    # -------------------------------------------------------------- what callers do
    @property
    def waiting(self) -> int:
        """Calls admitted of which nothing was taken up."""
        return len(self._tickets) - self.running

    @property
    def running(self) -> int:
        """Calls of which the engine has taken up something."""
        return self._hand.running

    @property
    def oldest_wait(self) -> float:
        """Seconds that the oldest of the waiting calls has waited; 0 when none waits."""
        return self._hand.oldest_wait(self._clock())

    def adapters_in_hand(self, running: bool) -> tuple[str, ...]:
        """Adapters of the jobs that run, or of those that wait, by name."""
        return self._hand.adapters(running)

    @property
    def estimated_wait(self) -> float:
        """Seconds that a call which came now would wait."""
        return self._admission.estimate()

    def admit(
        self, caller: Caller, deadline: float | None, objectives: Objectives = NO_OBJECTIVES
    ) -> Ticket:
        """A place in the queue, before any work is done; raises QueueFull or DeadlineExceeded.

        Whoever holds it has to give it back with `leave`.
        """
        now = self._clock()
        if deadline is not None and deadline <= now:
            raise DeadlineExceeded("the deadline had passed before the request was taken in")
        self._admission.enter(self.waiting, caller)
        ticket = Ticket(now, deadline, caller, objectives)
        self._tickets[ticket] = None
        self._idle.clear()
        return ticket

    def start(self, ticket: Ticket, job: Job) -> Stream:
        """Let an admitted call run a job.

        Raises DeadlineExceeded or Draining if its place was lost while its input was prepared,
        DeadlineUnattainable if it could not end in time, InvalidRequest if it could never fit.
        """
        now = self._clock()
        if ticket.deadline is not None and ticket.deadline <= now:
            raise DeadlineExceeded(LATE)
        if ticket not in self._tickets:
            raise Draining(CUT)
        prefill, new, rows = cost(job)
        due, first_by = ticket.deadline, ticket.objectives.first_by(ticket.admitted_at)
        try:
            permit = self._admission.admit(prefill, new, due, now, ticket.caller, rows, first_by)
        except DeadlineUnattainable as error:
            raise for_call(ticket, error) from None
        position = self._hand.in_front(ticket)
        stream = Stream(next(self._numbers), job, ticket, position, permit, self._abandon)
        stream.sent_at = now
        ticket.streams.append(stream)
        self._streams[stream.number] = stream
        self._send(stream)
        return stream

    def _send(self, stream: Stream) -> None:
        if not self._listens:
            return  # it is among those that the next engine is given, once that is ready
        self._link.send(stream.order())

    def _abandon(self, stream: Stream) -> None:
        if stream.number in self._streams:
            self._forget(stream)
            self._link.send(Cancel(stream.number))
        self._count(stream)

    def _forget(self, stream: Stream) -> None:
        del self._streams[stream.number]
        self._admission.leave(stream.permit)
        stream.ended_at = self._clock()
        stream.settled.set()

    def _count(self, stream: Stream) -> None:
        """A text is counted once its caller is done: only who reads it knows that it is a call."""
        if isinstance(stream.job, GenerateJob) and not stream.counted:
            stream.counted = True
            first, last = stream.first_at, stream.last_at
            seconds = 0.0 if first is None or last is None else last - first
            self._metrics.text_ended(stream.ending, stream.tokens, seconds)

    def leave(self, ticket: Ticket) -> None:
        """The caller is done with its request, however it ended. Twice is once."""
        for stream in ticket.streams:
            stream.ending = stream.ending or "abort"
            self._abandon(stream)
        self._tickets.pop(ticket, None)
        if not self._tickets:
            self._idle.set()

    async def ask(self, method: str, *arguments: object) -> object:
        """Call a method of the engine between two steps; raises what it raised."""
        number = next(self._numbers)
        answer = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            self._link.send(Ask(number, method, arguments))
            return await answer
        finally:
            self._asked.pop(number, None)

    async def without_adapter(self, name: str) -> None:
        """Wait until nothing in hand uses the adapter."""
        while users := [item for item in self._streams.values() if item.job.adapter == name]:
            await users[0].settled.wait()

    async def idle(self) -> None:
        """Wait until nothing is in hand."""
        await self._idle.wait()

    def cut(self) -> None:
        """End everything in hand: texts with what there is of them, the rest as Draining."""
        now = self._clock()
        self._metrics.cut(len(self._tickets))
        for stream in list(self._streams.values()):
            if not stream.drain(now):
                stream.fail(Draining(CUT))
            self._abandon(stream)
        self._tickets.clear()
        self._idle.set()

    # -------------------------------------------------------------- what comes back
    def receive(self, messages: Sequence[FromEngine]) -> None:
        """Act on what the engine has sent."""
        now = self._clock()
        for message in messages:
            self._act(message, now)

    def _act(self, message: FromEngine, now: float) -> None:
        if isinstance(message, Report):
            self.report = message
            if message.outlook is not None:
                self._admission.observe(message.outlook, now)
            self._metrics.stepped(message)
        elif isinstance(message, Phase):
            self._record(message.name, message.seconds)
        elif isinstance(message, Ready):
            self.pid = message.pid
            self._settle_load(message.model)
        elif isinstance(message, NotLoaded):
            self._settle_load(message.error)
        elif isinstance(message, Answer):
            self._answered(message)
        else:
            stream = self._streams.get(message.number)
            if stream is not None:  # otherwise its caller has gone
                self._to_stream(stream, message, now)

    def _to_stream(
        self, stream: Stream, message: Taken | NewTokens | Ended | Vectors | Failed, now: float
    ) -> None:
        if isinstance(message, Taken):
            if stream.taken_at is None:
                stream.taken_at = message.at
                stream.cached_tokens = message.cached_tokens
                if isinstance(stream.job, GenerateJob):
                    self._metrics.looked_up(len(stream.job.prompt), message.cached_tokens)
                self._admission.begun(stream.permit)
                self._metrics.queue_duration.observe(message.at - stream.ticket.admitted_at)
            return
        stream.batch_size = max(stream.batch_size, self.report.batch_size)
        if isinstance(message, NewTokens):
            self._metrics.generated_tokens.inc(len(message.ids))
            before = stream.last_at
            if stream.add(Delta("", message.ids, message.logprobs), now):
                self._metrics.first_token.observe(now - stream.ticket.admitted_at)
            elif before is not None:
                self._metrics.inter_token.observe((now - before) / len(message.ids))
            return
        if isinstance(message, Ended):
            stream.finish(message, now)
        elif isinstance(message, Vectors):
            stream.fill(message, now)
        else:
            stream.fail(for_call(stream.ticket, message.error))
        self._forget(stream)

    def _answered(self, answer: Answer) -> None:
        future = self._asked.get(answer.number)
        if future is not None and not future.done():
            settle(future, answer.value, answer.error)

    def _settle_load(self, outcome: Model | LeptonError) -> None:
        if self._ready is not None and not self._ready.done():
            error = outcome if isinstance(outcome, LeptonError) else None
            settle(self._ready, outcome, error)

    def _gone(self, how: str) -> None:
        """The engine has ended. What had no answer yet is kept for the next one, once."""
        log.error("the engine is lost: %s", how)
        self._listens = False
        for stream in list(self._streams.values()):
            again = stream.tries < TRIES and not stream.tokens
            stream.tries += 1
            if not again:
                stream.fail(lost(stream))
                self._forget(stream)
        for future in self._asked.values():
            if not future.done():
                future.set_exception(InternalError("the engine ended; try again"))
        self._settle_load(lost_while_loading(how))
        if self.lost is not None and not self.lost.done():
            self.lost.set_result(how)
