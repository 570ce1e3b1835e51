"""Requests as the engine runs them: what they want of the next step and what they do with it."""

from collections.abc import Sequence
from typing import Protocol

from lepton_worker.backends.base import DecoderSequence
from lepton_worker.engine.outbox import Outbox
from lepton_worker.model import Model
from lepton_worker.request import (
    Encoded,
    EncodeJob,
    Finish,
    FinishReason,
    GenerateJob,
    Timing,
    Tokens,
    Vector,
)
from lepton_worker.tasks.generate import Completion


class Stopwatch:
    """Notes when the parts of one request happened."""

    def __init__(self, admitted_at: float) -> None:
        self._admitted_at = admitted_at
        self._started_at: float | None = None
        self._first_at: float | None = None
        self._batch_size = 0

    def starts(self, now: float) -> bool:
        """The engine has the request in a batch; True when this is the first one."""
        if self._started_at is not None:
            return False
        self._started_at = now
        return True

    def stepped(self, now: float, batch_size: int) -> bool:
        """A step with this request has ended; True when this was the first one."""
        self._batch_size = max(self._batch_size, batch_size)
        if self._first_at is not None:
            return False
        self._first_at = now
        return True

    def timing(self, now: float) -> Timing:
        """All of it, as of now; what has not happened yet counts as happening now."""
        since = self._admitted_at
        started = now if self._started_at is None else self._started_at
        first = now if self._first_at is None else self._first_at
        return Timing(started - since, first - since, now - since, self._batch_size)


class Run(Protocol):
    """One request in the engine."""

    outbox: Outbox
    watch: Stopwatch
    done: bool

    @property
    def pending(self) -> int:
        """Units that could be part of the next step."""

    def drain(self, now: float) -> None:
        """End early with what there is, where the task has a word for that."""


class GenerateRun:
    """A text in the making: one unit a step."""

    pending = 1

    def __init__(self, job: GenerateJob, model: Model, watch: Stopwatch) -> None:
        self.outbox = Outbox()
        self.watch = watch
        self.done = False
        self.sequence = DecoderSequence(job.prompt, job.sampling)
        self.completion = Completion(job, model)

    def accept(self, token: int, now: float) -> None:
        """Take the next token and tell the caller."""
        self.outbox.put(self.completion.add(token))
        if self.completion.finished is not None:
            self._finish(self.completion.finished, now)

    def drain(self, now: float) -> None:
        """End the text here; it is right as far as it goes."""
        self.outbox.put(self.completion.end(FinishReason.DRAINED))
        self._finish(FinishReason.DRAINED, now)

    def _finish(self, reason: FinishReason, now: float) -> None:
        self.done = True
        text = self.completion
        timing = self.watch.timing(now)
        self.outbox.put(Finish(reason, text.prompt_tokens, text.output_tokens, timing))


class EncodeRun:
    """A list of inputs; the longest ones first, so that those of like length share a batch."""

    def __init__(self, job: EncodeJob, watch: Stopwatch) -> None:
        self.outbox = Outbox()
        self.watch = watch
        self.done = False
        self._inputs = job.inputs
        self._order = sorted(range(len(job.inputs)), key=lambda index: len(job.inputs[index]))
        self._vectors: dict[int, Vector] = {}

    @property
    def pending(self) -> int:
        """Inputs without a vector."""
        return len(self._order)

    def take(self, count: int) -> list[tuple[int, Tokens]]:
        """The next inputs, each with its place."""
        taken = [self._order.pop() for _ in range(count)]
        return [(index, self._inputs[index]) for index in taken]

    def accept(self, results: Sequence[tuple[int, Vector]], now: float) -> None:
        """Take vectors; with the last one the caller gets them all."""
        self._vectors.update(results)
        if len(self._vectors) == len(self._inputs):
            self.done = True
            vectors = tuple(self._vectors[index] for index in range(len(self._inputs)))
            self.outbox.put(Encoded(vectors, self.watch.timing(now)))

    def drain(self, now: float) -> None:
        """There is no such thing as half a list; the engine fails it."""
