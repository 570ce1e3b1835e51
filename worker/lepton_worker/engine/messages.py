"""What the front and the engine tell each other; plain values, so that they can cross a process."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from lepton_worker.errors import LeptonError, LoadError, RequestError
from lepton_worker.model import Model, Verdicts
from lepton_worker.request import (
    NO_OBJECTIVES,
    Caller,
    FinishReason,
    Job,
    Objectives,
    TokenLogprob,
    Vector,
)
from lepton_worker.scheduler.costs import Report as Outlook

LATE = "the deadline passed before the answer was there"
"""Said by whichever side notices."""


# ------------------------------------------------------------------ to the engine
@dataclass(frozen=True)
class Submit:
    """Run a job; everything about it comes back under its number. Times are monotonic seconds."""

    number: int
    job: Job
    caller: Caller
    admitted_at: float
    deadline: float | None
    objectives: Objectives = NO_OBJECTIVES


@dataclass(frozen=True)
class Cancel:
    """Forget a job; one that has ended is no error."""

    number: int


@dataclass(frozen=True)
class Ask:
    """Call a method of the engine between two steps; answered by Answer under the same number."""

    number: int
    method: str
    arguments: tuple[object, ...] = ()


@dataclass(frozen=True)
class Stop:
    """Give everything back and end."""


@dataclass(frozen=True)
class Source:
    """Where the model's files are, and those of its assistant: the first message to an engine that
    loads any. `verdicts` are those of the engine before, if there was one."""

    folder: Path
    assistant: Path | None = None
    verdicts: Verdicts = field(default_factory=Verdicts)

    def after(self, model: Model | None) -> "Source":
        """For an engine that comes after one which had loaded that model."""
        return self if model is None else replace(self, verdicts=model.verdicts)


ToEngine: TypeAlias = Submit | Cancel | Ask | Stop | Source


# ------------------------------------------------------------------ from the engine
@dataclass(frozen=True)
class Phase:
    """A phase of the start has ended."""

    name: str
    seconds: float


@dataclass(frozen=True)
class Ready:
    """The model is loaded, in the process of this id."""

    model: Model
    pid: int = 0


@dataclass(frozen=True)
class NotLoaded:
    """The model could not be loaded; the engine ends."""

    error: LoadError


@dataclass(frozen=True)
class Taken:
    """The engine has taken a job up; so many leading tokens of its prompt had state already."""

    number: int
    at: float
    cached_tokens: int = 0


@dataclass(frozen=True)
class NewTokens:
    """Further tokens of a text."""

    number: int
    ids: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Ended:
    """A text is complete."""

    number: int
    reason: FinishReason
    cached_tokens: int = 0
    prompt_logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Vectors:
    """The answers to a list, each a vector or its error."""

    number: int
    vectors: tuple[Vector | RequestError, ...]


@dataclass(frozen=True)
class Failed:
    """A job ended without a whole answer."""

    number: int
    error: RequestError


@dataclass(frozen=True)
class Answer:
    """What an asked method returned or raised."""

    number: int
    value: object = None
    error: LeptonError | None = None


@dataclass(frozen=True)
class Report:
    """One step of the engine, and what it left.

    `seconds` is the backend's own time, `idle` what passed between the step before and this one
    although there was work. Tokens are those computed; `waiting_tokens` those that will
    have to be. Besides, `drafted_tokens` were guessed, of which `accepted_tokens` are part of
    their texts. `outlook` is for admission and comes now and then.
    """

    seconds: float = 0.0
    idle: float = 0.0
    batch_size: int = 0
    prefill_tokens: int = 0
    decode_tokens: int = 0
    waiting: int = 0
    running: int = 0
    waiting_tokens: int = 0
    cache_used: int = 0
    cache_tokens: int = 0
    evicted: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    outlook: Outlook | None = None


FromEngine: TypeAlias = (
    Phase | Ready | NotLoaded | Taken | NewTokens | Ended | Vectors | Failed | Answer | Report
)
