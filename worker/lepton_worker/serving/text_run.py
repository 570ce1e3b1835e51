"""What all calls about whole texts do: take a seat, read the inputs beside the loop, run them."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from google.rpc import status_pb2

from lepton.v1 import common_pb2
from lepton_worker.engine.worker import Worker
from lepton_worker.errors import InternalError, InvalidRequest, RequestError, Violation
from lepton_worker.model import Model
from lepton_worker.request import Encoded, EncodeJob, Task, Timing, Vector
from lepton_worker.serving import convert
from lepton_worker.serving.calls import Context
from lepton_worker.serving.desk import Seat, seated
from lepton_worker.serving.status import status_of
from lepton_worker.tasks.offers import TEXT, refusal, task_of
from lepton_worker.tasks.reading import Reading
from lepton_worker.tasks.windows import mean

log = logging.getLogger(__name__)

T = TypeVar("T")

MOST_ROWS = 32_768
"""Texts, windows and pairs that one call may make the model read."""

MOST_TOKENS = 2_000_000
"""Tokens of a call to a head for tokens: each has numbers, and perhaps a span, of its own."""


@dataclass(frozen=True)
class Outcome:
    """One input's answer: a vector for each of its windows, or what was wrong with it."""

    reading: Reading
    vectors: tuple[Vector, ...] = ()
    error: RequestError | None = None

    @property
    def status(self) -> status_pb2.Status | None:
        """The error as a message."""
        return None if self.error is None else status_of(self.error)

    def mean(self, change: Callable[[Vector], Vector] = lambda vector: vector) -> Vector:
        """The windows' vectors as one, each of them changed first."""
        return mean([change(vector) for vector in self.vectors], self.reading.windows)


@dataclass(frozen=True)
class Ran:
    """The outcomes of a call, in its order, and what it cost."""

    outcomes: list[Outcome]
    usage: common_pb2.Usage
    timing: common_pb2.Timing


@dataclass(frozen=True)
class OpenCall:
    """A call that has its seat; `task` is the one by which the model answers it."""

    worker: Worker
    seat: Seat
    task: Task

    @property
    def model(self) -> Model:
        """The model that will answer."""
        return self.seat.model

    async def run(self, readings: Sequence[Reading], field: str = "inputs") -> Ran:
        """Run the inputs that can be run; the others carry their own error."""
        rows = tuple(
            window.tokens
            for reading in readings
            if reading.error is None
            for window in reading.windows
        )
        count = sum(map(len, rows))
        _bound(len(rows), count if self.task in (Task.TAG, Task.ANSWER) else 0, field)
        encoded = Encoded((), Timing(0, 0, 0, 0))
        if rows:
            encoded = await self.seat.encoded(EncodeJob(self.task, rows))
        self.worker.metrics.prompt_tokens.inc(count)
        return Ran(
            outcomes(readings, encoded.vectors),
            common_pb2.Usage(prompt_tokens=count),
            convert.timing(encoded.timing),
        )


@contextlib.contextmanager
def open_call(
    worker: Worker, name: str, meta: common_pb2.RequestMeta, context: Context
) -> Iterator[OpenCall]:
    """A seat for a call of the service Text, if the model answers it; raises why not."""
    with seated(worker, frozenset(Task), meta, context, name) as seat:
        task = task_of(seat.model, f"{TEXT}/{name}")
        if task is None:
            raise refusal(seat.model, f"{TEXT}/{name}", worker.settings.model_name)
        yield OpenCall(worker, seat, task)


async def beside(work: Callable[..., T], *arguments: object) -> T:
    """Do what takes time, such as tokenizing, beside the event loop."""
    return await asyncio.to_thread(work, *arguments)


def outcomes(readings: Sequence[Reading], vectors: Sequence[Vector | Exception]) -> list[Outcome]:
    """Vectors given back to the inputs that they are of; one that failed fails its whole input."""
    rest = iter(vectors)
    found = []
    for reading in readings:
        if reading.error is not None:
            found.append(Outcome(reading, error=reading.error))
            continue
        own = [next(rest) for _ in reading.windows]
        failed = next((item for item in own if isinstance(item, Exception)), None)
        whole = tuple(item for item in own if not isinstance(item, Exception))
        found.append(Outcome(reading, whole, None if failed is None else _told(failed)))
    return found


def _bound(rows: int, tokens: int, field: str) -> None:
    """Refuse what is too much for one call."""
    for count, most, kind in ((rows, MOST_ROWS, "texts"), (tokens, MOST_TOKENS, "tokens")):
        if count > most:
            text = f"become {count} {kind} for the model to read, more than {most} in a call"
            raise InvalidRequest([Violation(field, text)])


def _told(failure: Exception) -> RequestError:
    if isinstance(failure, RequestError):
        return failure
    log.error("bug while computing one input", exc_info=failure)
    return InternalError("the worker failed on this input; its log says how")
