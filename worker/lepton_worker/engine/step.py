"""One step: who gets how much of it, and the work itself, done in the backend's thread."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from lepton_worker.backends.base import Backend
from lepton_worker.engine.runs import EncodeRun, GenerateRun, Run
from lepton_worker.errors import InternalError, RequestError
from lepton_worker.request import Tokens, Vector
from lepton_worker.scheduler.scheduler import Ticket, share

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class TextPart:
    """One text that gets its next token."""

    ticket: Ticket[Run]
    run: GenerateRun

    def accept(self, outcome: "int | Sequence[Vector]", now: float) -> None:
        """Hand the token on."""
        assert isinstance(outcome, int)
        self.run.accept(outcome, now)


@dataclass(frozen=True)
class InputsPart:
    """Some inputs of one request, each with its place there."""

    ticket: Ticket[Run]
    run: EncodeRun
    inputs: tuple[tuple[int, Tokens], ...]

    def accept(self, outcome: "int | Sequence[Vector]", now: float) -> None:
        """Hand the vectors on."""
        assert not isinstance(outcome, int)
        places = [place for place, _ in self.inputs]
        self.run.accept(list(zip(places, outcome, strict=True)), now)


Part: TypeAlias = TextPart | InputsPart
Outcome: TypeAlias = int | Sequence[Vector] | RequestError
"""The next token, the vectors, or the error of one part."""


def plan(batch: Sequence[Ticket[Run]], limit: int) -> list[Part]:
    """Divide a step of `limit` units among the requests of a batch."""
    shares = share([ticket.job.pending if ticket.job else 0 for ticket in batch], limit)
    parts: list[Part] = []
    for ticket, count in zip(batch, shares, strict=True):
        if isinstance(ticket.job, GenerateRun):
            parts.append(TextPart(ticket, ticket.job))
        elif isinstance(ticket.job, EncodeRun):
            parts.append(InputsPart(ticket, ticket.job, tuple(ticket.job.take(count))))
    return parts


def compute(backend: Backend, parts: Sequence[Part]) -> list[Outcome]:
    """What the backend says to each part. Never raises: a bug is an answer too."""
    tokens = iter(_decoded(backend, [part for part in parts if isinstance(part, TextPart)]))
    vectors = iter(_encoded(backend, [part for part in parts if isinstance(part, InputsPart)]))
    return [next(tokens if isinstance(part, TextPart) else vectors) for part in parts]


def _decoded(backend: Backend, parts: Sequence[TextPart]) -> Sequence[Outcome]:
    if not parts:
        return []
    tokens = _guarded(lambda: backend.decode([part.run.sequence for part in parts]))
    return [tokens] * len(parts) if isinstance(tokens, RequestError) else tokens


def _encoded(backend: Backend, parts: Sequence[InputsPart]) -> Sequence[Outcome]:
    if not parts:
        return []
    inputs = [tokens for part in parts for _, tokens in part.inputs]
    vectors = _guarded(lambda: backend.encode(inputs))
    return [vectors] * len(parts) if isinstance(vectors, RequestError) else _cut(vectors, parts)


def _cut(vectors: Sequence[Vector], parts: Sequence[InputsPart]) -> list[Sequence[Vector]]:
    pieces: list[Sequence[Vector]] = []
    start = 0
    for part in parts:
        pieces.append(vectors[start : start + len(part.inputs)])
        start += len(part.inputs)
    return pieces


def _guarded(work: Callable[[], T]) -> T | RequestError:
    try:
        return work()
    except RequestError as error:
        return error
    except Exception:
        log.exception("the backend failed on a batch")
        return InternalError("the worker failed on this request; its log says how")
