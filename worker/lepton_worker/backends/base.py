"""The protocol between the engine and whatever runs a model."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lepton_worker.errors import RequestError
from lepton_worker.model import Model, Pooling
from lepton_worker.request import Sampling, Task, Tokens, Vector


@dataclass(frozen=True)
class LoadOrder:
    """What to load and how.

    `device` and `dtype` may be `auto`; `threads` is for the CPU. `memory` is the most that the
    process may use, in bytes. `folder` has been checked; backends that load nothing ignore it.
    """

    folder: Path
    task: Task
    device: str = "auto"
    dtype: str = "auto"
    max_length: int | None = None
    threads: int = 1
    memory: int | None = None
    pooling: Pooling = field(default_factory=Pooling)


@dataclass(frozen=True, eq=False)
class DecoderSequence:
    """One text in the making; the backend keeps its state until it is released."""

    prompt: Tokens
    sampling: Sampling


class Backend(Protocol):
    """Runs one model.

    Every method is called from the engine's thread alone: `load` first, `close` last.
    """

    def load(self, order: LoadOrder) -> Model:
        """Load the model; raises LoadError."""

    def warm_up(self) -> None:
        """Answer once, so that the first caller does not pay for it; raises LoadError."""

    def encode(self, inputs: Sequence[Tokens]) -> list[Vector]:
        """One vector for each input; raises for all of them together."""

    def decode(self, batch: Sequence[DecoderSequence]) -> list[int | RequestError]:
        """The next token of each sequence, or the error of that sequence alone.

        A sequence that was not seen before starts with its prompt.
        """

    def release(self, sequence: DecoderSequence) -> None:
        """Forget a sequence; one that is not known is no error."""

    def close(self) -> None:
        """Give everything back."""
