"""What is asked of a worker and what it answers, as values that can cross a process."""

import enum
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Vector: TypeAlias = npt.NDArray[np.float32]
"""What an encoder makes of one input.

Shape [numbers] for tasks on whole texts: pooled states, or one logit per label. Shape
[tokens, numbers] for tasks on tokens: the logits of each, special tokens included.
"""


class Task(enum.StrEnum):
    """What a model is loaded for: the head it has."""

    GENERATE = "generate"
    CLASSIFY = "classify"
    TAG = "tag"
    ANSWER = "answer"
    EMBED = "embed"


@dataclass(frozen=True)
class Caller:
    """Who asks: lower `priority` goes first, tenants share fairly."""

    tenant: str = ""
    priority: int = 0


@dataclass(frozen=True)
class Objectives:
    """How fast a caller wants a text, in seconds; None: as fast as can be.

    `ttft` is the time to the first token, counted from the call's admission, `tpot` the mean time
    between two tokens after that.
    """

    ttft: float | None = None
    tpot: float | None = None

    def __bool__(self) -> bool:
        return self.ttft is not None or self.tpot is not None

    def first_by(self, admitted_at: float) -> float | None:
        """When the first token should be there; None where that does not matter."""
        return None if self.ttft is None else admitted_at + self.ttft


NO_OBJECTIVES = Objectives()


@dataclass(frozen=True)
class Tokens:
    """One input in the model's own numbers; `types` only for models that take segment numbers."""

    ids: tuple[int, ...]
    types: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.ids)


ConstraintKind: TypeAlias = Literal["json_schema", "json_object", "regex", "choices", "grammar"]


@dataclass(frozen=True)
class Constraint:
    """What a generated text has to be; `choices` has several texts, `json_object` none."""

    kind: ConstraintKind
    texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Beams:
    """A beam search in place of one token after the other; a `count` of 1 is none.

    Whole answers are compared by their log probability over their length to the power of
    `length_penalty`. `early_stopping` is that of transformers: True ends with the first `count`
    whole answers, False once the running ones are worse, "never" once they cannot become better.
    `ends` are the tokens of which one is forced on an answer of the greatest length.
    """

    count: int = 1
    length_penalty: float = 1.0
    early_stopping: bool | Literal["never"] = False
    ends: tuple[int, ...] = ()


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen and when to stop, with every default resolved.

    `temperature` 0 is greedy; `top_k` 0 keeps all; `seed` None draws a fresh one. `ends` are the
    tokens that end the text, none when the end of text is to be ignored. `logprobs` None reports
    none, k reports the chosen token and the k most probable ones. `prompt_logprobs` reports those
    of the prompt's own tokens. `max_new_tokens` 0 computes the prompt only. `forced` are the first
    tokens of the answer, given and not chosen: the language that an encoder-decoder shall write.
    `beams` are for encoder-decoders; a search is greedy, without constraint and log probabilities.
    """

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    no_repeat_ngram: int = 0
    bias: tuple[tuple[int, float], ...] = ()
    seed: int | None = None
    min_new_tokens: int = 0
    ends: frozenset[int] = frozenset()
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    prompt_logprobs: bool = False
    constraint: Constraint | None = None
    forced: tuple[int, ...] = ()
    beams: Beams = field(default_factory=Beams)

    @property
    def rows(self) -> int:
        """Texts that run side by side for this one."""
        return self.beams.count if self.max_new_tokens else 1

    @property
    def least_new_tokens(self) -> int:
        """Tokens below which the text cannot end by itself: all, where nothing can end it."""
        if self.ends or self.stop or self.constraint:
            return min(self.min_new_tokens, self.max_new_tokens)
        return self.max_new_tokens


@dataclass(frozen=True)
class GenerateJob:
    """A prompt to be continued."""

    prompt: Tokens
    sampling: Sampling
    adapter: str = ""


@dataclass(frozen=True)
class EncodeJob:
    """Inputs of which each becomes one vector."""

    task: Task
    inputs: tuple[Tokens, ...]
    adapter: str = ""


Job: TypeAlias = GenerateJob | EncodeJob


class FinishReason(enum.Enum):
    """Why a text ended."""

    STOP = "stop"
    LENGTH = "length"
    DRAINED = "drained"
    TOOL_CALLS = "tool_calls"


@dataclass(frozen=True)
class TokenLogprob:
    """A token with its natural log probability, and the most probable tokens, best first."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


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
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Finish:
    """The end of a generated text."""

    reason: FinishReason
    prompt_tokens: int
    output_tokens: int
    timing: Timing
    cached_tokens: int = 0
    prompt_logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Encoded:
    """The vectors of an EncodeJob, in the order of its inputs.

    An input that failed alone has its error in place of a vector.
    """

    vectors: tuple["Vector | Exception", ...]
    timing: Timing = field(default=Timing(0, 0, 0, 0))


Event: TypeAlias = Delta | Finish | Encoded
