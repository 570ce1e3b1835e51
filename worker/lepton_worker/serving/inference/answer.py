"""What a request came to, before it is a message."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

from lepton_worker.errors import RequestError
from lepton_worker.serving.inference.tensors import Values


@dataclass(frozen=True)
class Spent:
    """Nanoseconds in the queue and in all, since the request was taken in."""

    queue: int = 0
    total: int = 0


@dataclass(frozen=True)
class Answer:
    """The outputs by their names, each with so many rows, and what they cost."""

    rows: int
    outputs: dict[str, Values]
    usage: dict[str, int] = field(default_factory=dict)
    spent: Spent = field(default_factory=Spent)


def at_index(error: RequestError, name: str, index: int) -> RequestError:
    """The same error, saying which row of an input it is about, unless it does already."""
    if error.violations:
        return error
    told = copy.copy(error)
    told.message = f"{name}[{index}]: {error.message}"
    return told


def raise_first(name: str, errors: Sequence[RequestError | None]) -> None:
    """Raise the first of the rows' errors: the protocol has answers to whole requests only."""
    for index, error in enumerate(errors):
        if error is not None:
            raise at_index(error, name, index)
