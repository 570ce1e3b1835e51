"""What is asked of a worker and what it answers, as values."""

import enum
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Vector: TypeAlias = npt.NDArray[np.float32]
"""What an encoder makes of one input: pooled states, or one logit per label."""


class Task(enum.StrEnum):
    """What a model is asked to do."""

    GENERATE = "generate"
    CLASSIFY = "classify"
    EMBED = "embed"


@dataclass(frozen=True)
class Tokens:
    """One input in the model's own numbers; `types` only for models that take segment numbers."""

    ids: tuple[int, ...]
    types: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen and when to stop, with every default resolved.

    `temperature` 0 is greedy; `top_k` 0 keeps all; `seed` None draws a fresh one.
    """

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False


@dataclass(frozen=True)
class GenerateJob:
    """A prompt to be continued."""

    prompt: Tokens
    sampling: Sampling


@dataclass(frozen=True)
class EncodeJob:
    """Inputs of which each becomes one vector."""

    task: Task
    inputs: tuple[Tokens, ...]


Job: TypeAlias = GenerateJob | EncodeJob


class FinishReason(enum.Enum):
    """Why a text ended."""

    STOP = "stop"
    LENGTH = "length"
    DRAINED = "drained"


@dataclass(frozen=True)
class Timing:
    """Where the time of a request went, in seconds since its acceptance."""

    queue: float
    first: float
    total: float
    batch_size: int


@dataclass(frozen=True)
class Delta:
    """New tokens, and the text that has become certain with them."""

    text: str
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Finish:
    """The end of a generated text."""

    reason: FinishReason
    prompt_tokens: int
    output_tokens: int
    timing: Timing


@dataclass(frozen=True)
class Encoded:
    """The vectors of an EncodeJob, in the order of its inputs."""

    vectors: tuple[Vector, ...]
    timing: Timing = field(default=Timing(0, 0, 0, 0))


Event: TypeAlias = Delta | Finish | Encoded
