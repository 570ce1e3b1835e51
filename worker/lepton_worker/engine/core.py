"""The loop that computes: the only place where the scheduler meets the backend.

Runs in a thread or process of its own, without an event loop. Between two steps it takes what came,
decides, and hands over what the step led to; while there is work it waits for nothing else.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from lepton_worker.backends.base import Backend, EncodeInput, Progress, Span
from lepton_worker.engine.asked import Asked
from lepton_worker.engine.budget import happened, limits_of
from lepton_worker.engine.entries import Entry, entry_of, list_of, run_of, text_of
from lepton_worker.engine.later import Later
from lepton_worker.engine.link import Port
from lepton_worker.engine.messages import (
    LATE,
    Ask,
    Cancel,
    Ended,
    Failed,
    FromEngine,
    NewTokens,
    Report,
    Stop,
    Submit,
    Taken,
    ToEngine,
    Vectors,
)
from lepton_worker.engine.runs import TextRun
from lepton_worker.errors import (
    UNEXPECTED,
    DeadlineExceeded,
    DeadlineUnattainable,
    DeviceLost,
    InternalError,
    RequestError,
)
from lepton_worker.model import Model
from lepton_worker.request import Vector
from lepton_worker.scheduler.costs import Costs
from lepton_worker.scheduler.entries import NEIGHBOUR_FACTOR, Share, TextEntry
from lepton_worker.scheduler.planner import Planner

log = logging.getLogger(__name__)

T = TypeVar("T")
Clock = Callable[[], float]

OUTLOOK_SECONDS = 0.1
"""How often admission is told of rates and queues; between that they change little."""


TOO_LATE = (
    "the answer could not come in time any more, even if it were begun now: the deadline, or the"
    " objective for the first token, is too close"
)
RETRY_SECONDS = 1.0
"""After which another try is advised: what was in the way has moved on by then."""


class Stopped(Exception):
    """The front has told the engine to end."""


class Core:
    """Runs jobs on one backend, step by step."""

    def __init__(
        self,
        backend: Backend,
        model: Model,
        port: Port,
        clock: Clock = time.monotonic,
        neighbour_factor: float = NEIGHBOUR_FACTOR,
    ) -> None:
        self._backend = backend
        self._asked = Asked(backend)
        self._later = Later(backend)
        self._port = port
        self._clock = clock
        self._costs = Costs()
        self._limits = limits_of(model, neighbour_factor)
        self._planner = Planner(self._limits, self._costs)
        self._entries: dict[int, Entry] = {}
        self._out: list[FromEngine] = []
        self._stepped_at: float | None = None
        self._evicted = 0
        self._outlook_at = 0.0
        self._waiting_tokens = 0

    def run(self) -> None:
        """Take, step, tell, until told to stop; raises Closed when the front is gone."""
        try:
            while True:
                self.take(wait=not self._entries and not self._later.due)
                if self._entries:
                    self.step()
                    self._later.stepped()
                self._tell()
                self._later.go_on()
        except Stopped:
            self._backend.close()

    def _tell(self) -> None:
        """Hand over what there is to tell."""
        if self._out:
            out, self._out = self._out, []
            self._port.send(out)

    # -------------------------------------------------------------- messages
    def take(self, wait: bool) -> None:
        """Act on what the front has sent; raises Stopped."""
        for message in self._port.take(wait):
            self._act(message)

    def _act(self, message: ToEngine) -> None:
        if isinstance(message, Submit):
            self._submit(message)
        elif isinstance(message, Cancel):
            self._leave(message.number)
        elif isinstance(message, Ask):
            answer = self._asked.answer(message)
            self._out += [answer] if answer else []
        elif isinstance(message, Stop):
            raise Stopped

    def _submit(self, message: Submit) -> None:
        entry = entry_of(message)
        try:
            self._planner.add(entry)
        except RequestError as error:
            self._out.append(Failed(message.number, error))
        else:
            self._entries[message.number] = entry

    def _leave(self, number: int) -> None:
        """Forget a job. Twice is once."""
        entry = self._entries.pop(number, None)
        if entry is not None:
            self._planner.remove(entry)
            if isinstance(entry, TextEntry):
                self._backend.release(text_of(entry).sequence)

    def _fail(self, entry: Entry, error: RequestError) -> None:
        number = run_of(entry).number
        self._out.append(Failed(number, error))
        self._leave(number)

    # -------------------------------------------------------------- one step
    def step(self) -> None:
        """Decide, compute, settle. Something is always decided while there is work."""
        now = self._clock()
        for late in self._planner.expire(now):
            self._fail(late, DeadlineExceeded(LATE))
        for text in self._planner.give_up(now):
            self._fail(text, DeadlineUnattainable(TOO_LATE, retry_after=RETRY_SECONDS))
        self._seat(now)
        share = self._planner.share(now)
        for text, _ in share.spans:
            self._note_taken(text, now)
        for items, _ in share.inputs:
            self._note_taken(items, now)
        # A step may take long: who is in it is told before.
        self._tell()
        began = self._clock()
        texts = self._computed_texts(share)
        share = happened(share, texts)
        lists = self._computed_lists(share)
        ended = self._clock()
        self._settle_texts(share, texts)
        self._settle_lists(share, lists)
        self._report(share, texts, began, ended)
        profile = self._asked.stepped()
        self._out += [profile] if profile else []
        self._end_if_lost([*texts, *lists])

    def _note_taken(self, entry: Entry, now: float) -> None:
        run = run_of(entry)
        if not run.taken:
            run.taken = True
            cached = run.cached if isinstance(run, TextRun) else 0
            self._out.append(Taken(run.number, now, cached))

    def _seat(self, now: float) -> None:
        seating = self._planner.seat(now)
        for entry in seating.evict:
            self._evicted += 1
            self._backend.evict(text_of(entry).sequence)
        for entry in seating.begin:
            text = text_of(entry)
            begun = _guarded(lambda text=text: self._backend.begin(text.sequence))  # type: ignore[misc]
            if isinstance(begun, RequestError):
                self._fail(entry, begun)
            else:
                entry.computed = begun
                text.cached = max(text.cached, 0 if text.taken else begun)

    def _computed_texts(self, share: Share) -> Sequence[Progress | RequestError]:
        if not share.spans:
            return []
        spans = [Span(text_of(entry).sequence, count) for entry, count in share.spans]
        outcome = _guarded(lambda: self._backend.step(spans))
        return [outcome] * len(spans) if isinstance(outcome, RequestError) else outcome

    def _computed_lists(self, share: Share) -> Sequence[Vector | RequestError]:
        if not share.inputs:
            return []
        inputs = [
            EncodeInput(list_of(entry).inputs[index], list_of(entry).adapter)
            for entry, indices in share.inputs
            for index in indices
        ]
        outcome = _guarded(lambda: self._backend.encode(inputs))
        return [outcome] * len(inputs) if isinstance(outcome, RequestError) else outcome

    def _settle_texts(self, share: Share, outcomes: Sequence[Progress | RequestError]) -> None:
        for (entry, count), outcome in zip(share.spans, outcomes, strict=True):
            if isinstance(outcome, RequestError):
                self._fail(entry, outcome)
                continue
            text = text_of(entry)
            entry.computed += count + len(outcome.further)
            text.prompt_logprobs += outcome.prompt
            text.cached = max(text.cached, outcome.cached)
            entry.length += outcome.searching
            if written := outcome.written:
                entry.length += len(written)
                ids = tuple(item.token for item in written)
                logprobs = tuple(item.logprob for item in written if item.logprob is not None)
                self._out.append(NewTokens(text.number, ids, logprobs))
                self._planner.wrote_further(entry, len(outcome.further))
            reason = text.ended(outcome, entry.computed)
            if reason is not None:
                self._costs.finished(entry.generated)
                prompt = tuple(text.prompt_logprobs)
                self._out.append(Ended(text.number, reason, text.cached, prompt))
                self._leave(text.number)

    def _settle_lists(self, share: Share, outcomes: Sequence[Vector | RequestError]) -> None:
        vectors = iter(outcomes)
        for entry, indices in share.inputs:
            run = list_of(entry)
            run.accept([(index, next(vectors)) for index in indices])
            if run.complete:
                self._out.append(Vectors(run.number, run.answers()))
                self._leave(run.number)

    def _report(
        self,
        share: Share,
        texts: Sequence[Progress | RequestError],
        began: float,
        ended: float,
    ) -> None:
        """Tell how the step went, and now and then what admission has to know."""
        planner = self._planner
        done = [outcome for outcome in texts if isinstance(outcome, Progress)]
        accepted = sum(len(outcome.further) for outcome in done)
        planner.stepped(share, ended - began, accepted)
        idle = 0.0 if self._stepped_at is None else max(0.0, began - self._stepped_at)
        self._stepped_at = ended if self._entries else None
        outlook = None
        if ended >= self._outlook_at or not self._entries:
            self._outlook_at = ended + OUTLOOK_SECONDS
            outlook = planner.report(ended)
            self._waiting_tokens = planner.waiting_tokens
        self._out.append(
            Report(
                seconds=ended - began,
                idle=idle,
                batch_size=len(share.spans) + sum(len(indices) for _, indices in share.inputs),
                prefill_tokens=share.prefill,
                decode_tokens=share.decode,
                waiting=planner.waiting,
                running=planner.running,
                waiting_tokens=self._waiting_tokens,
                cache_used=planner.cache_used,
                cache_tokens=self._limits.cache_tokens,
                evicted=self._evicted,
                drafted_tokens=sum(outcome.drafted for outcome in done),
                accepted_tokens=accepted,
                outlook=outlook,
            )
        )

    def _end_if_lost(self, outcomes: Sequence[object]) -> None:
        """A lost device fails everything in hand, and then the engine."""
        lost = next((outcome for outcome in outcomes if isinstance(outcome, DeviceLost)), None)
        if lost is not None:
            for entry in list(self._entries.values()):
                self._fail(entry, lost)
            self._tell()
            raise RuntimeError("the device is lost")


def _guarded(work: Callable[[], T]) -> T | RequestError:
    """What the backend says. Never raises: a bug is an answer too."""
    try:
        return work()
    except RequestError as error:
        return error
    except Exception:
        log.exception("the backend failed on a batch")
        return InternalError(UNEXPECTED)
