"""The protocol between the engine and whatever runs a model."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from lepton_worker.backends.sampling.beams import BeamSearch
from lepton_worker.errors import RequestError
from lepton_worker.model import Model, Pooling, Verdicts
from lepton_worker.request import GenerateJob, Sampling, Task, TokenLogprob, Tokens, Vector

Quantization: TypeAlias = Literal["auto", "none", "float16", "int8", "int4", "bfloat16"]
"""Format of the weights of linear layers."""


Kv: TypeAlias = Literal["auto", "slots", "paged"]
"""Where a decoder keeps keys and values."""
CudaGraphs: TypeAlias = Literal["auto", "off"]
"""Whether decode steps over pages may be replayed from CUDA graphs."""

Method: TypeAlias = Literal["auto", "none", "ngram", "assistant"]
"""Who guesses tokens ahead: nobody, the text itself, or a smaller model."""


@dataclass(frozen=True)
class Speculation:
    """How tokens are guessed ahead: `tokens` at a time (0: the backend's choice), and for the
    method `assistant` by the model in `folder`, which has been checked."""

    method: Method = "none"
    folder: Path | None = None
    tokens: int = 0


@dataclass(frozen=True)
class LoadOrder:
    """What to load and how.

    `device`, `dtype` and `quantization` may be `auto`; `threads` is for the CPU. `memory` is the
    most that the process may use, in bytes. `slots` is how many texts may run at once,
    `step_tokens` how many tokens one step computes (0: the backend finds out). `folder` has been
    checked; backends that load nothing ignore it. `verdicts` are of an earlier load of the same
    order.
    """

    folder: Path
    task: Task
    device: str = "auto"
    dtype: str = "auto"
    quantization: Quantization = "auto"
    kv: Kv = "auto"
    cuda_graphs: CudaGraphs = "auto"
    max_length: int | None = None
    threads: int = 1
    memory: int | None = None
    slots: int = 8
    step_tokens: int = 0
    pooling: Pooling = field(default_factory=Pooling)
    speculation: Speculation = field(default_factory=Speculation)
    verdicts: Verdicts = field(default_factory=Verdicts)


@dataclass(eq=False)
class DecoderSequence:
    """One text in the making.

    `ids` are the prompt's tokens and behind them the generated ones: the backend appends each token
    that it chooses, nobody else changes them. While a `search` goes on none are appended, and its
    steps count in their place. Lower `priority` goes first.
    """

    prompt: Tokens
    sampling: Sampling
    adapter: str = ""
    ids: list[int] = field(default_factory=list)
    search: BeamSearch | None = None
    priority: int = 0

    def __post_init__(self) -> None:
        self.ids = self.ids or list(self.prompt.ids)

    @property
    def length(self) -> int:
        """Tokens that count as known."""
        running = self.search is not None and not self.search.done
        return len(self.ids) + (self.search.steps if self.search and running else 0)

    @classmethod
    def of(cls, job: GenerateJob, priority: int = 0) -> "DecoderSequence":
        """A sequence that starts with the prompt of a job."""
        return cls(job.prompt, job.sampling, job.adapter, priority=priority)


@dataclass(frozen=True)
class Span:
    """The next `count` tokens of a sequence that have no state yet, to be computed in one step."""

    sequence: DecoderSequence
    count: int


@dataclass(frozen=True)
class Written:
    """A token that was chosen and appended to `ids`, with its log probability when asked for."""

    token: int
    logprob: TokenLogprob | None = None


@dataclass(frozen=True)
class Progress:
    """What a span led to.

    `token` is the one chosen (and appended to `ids`) when the span reached the end of `ids`,
    otherwise None; always None where `max_new_tokens` is 0. `further` are tokens chosen and
    appended behind it in the same step, of `drafted` that were guessed: all tokens but the last
    one of `ids` have state then. A token that ends the text is the last one, and no more are chosen
    than `max_new_tokens`. `ended` says that a constraint is fulfilled with the last token and
    nothing may follow. `prompt` has a log probability for each token of the span that belongs to
    the prompt, when asked for; the first token of a text has none and is left out. `searching` says
    that a beam search has gone on by a step; the last one has the whole `answer`, of which `token`
    is the first.

    Where `Model.schedules`, `computed` says how many tokens of the span have state now (None: all),
    and `cached` how many of the text had it already when that was not known at `begin`.
    """

    token: int | None
    logprob: TokenLogprob | None = None
    ended: bool = False
    prompt: tuple[TokenLogprob, ...] = ()
    further: tuple[Written, ...] = ()
    drafted: int = 0
    searching: bool = False
    computed: int | None = None
    cached: int = 0
    answer: tuple[Written, ...] = ()

    @property
    def written(self) -> tuple[Written, ...]:
        """All tokens that were chosen, in order."""
        if self.token is None or self.answer:
            return self.answer
        return (Written(self.token, self.logprob), *self.further)


@dataclass(frozen=True)
class EncodeInput:
    """One input for an encoder, and the adapter to use ("" for none)."""

    tokens: Tokens
    adapter: str = ""


@dataclass(frozen=True)
class AdapterFacts:
    """A loaded adapter; `folder` is where its files are, `source` what was asked for."""

    name: str
    source: str
    rank: int
    bytes: int
    folder: str = ""


class Backend(Protocol):
    """Runs one model.

    Every method is called from the engine's thread alone: `load` first, `close` last. Encoders
    answer `encode`; decoders answer `begin`, `step`, `evict` and `release`.
    """

    def load(self, order: LoadOrder) -> Model:
        """Load the model; raises LoadError."""

    def warm_up(self) -> None:
        """Answer once, so that the first caller does not pay for it; raises LoadError."""

    def encode(self, inputs: Sequence[EncodeInput]) -> list[Vector | RequestError]:
        """One vector for each input, or the error of that input alone."""

    def begin(self, sequence: DecoderSequence) -> int:
        """Make room for the state of a sequence, new or evicted.

        Returns how many of its leading tokens have state already, because another sequence began
        the same; fewer than it has. At most `Model.slots` sequences may have room at a time.
        """

    def step(self, spans: Sequence[Span]) -> list[Progress | RequestError]:
        """Compute spans of sequences that have room, all in one go where that pays."""

    def evict(self, sequence: DecoderSequence) -> None:
        """Take the room back; `begin` makes the sequence go on as if nothing had been."""

    def release(self, sequence: DecoderSequence) -> None:
        """Forget a sequence; one that is not known is no error."""

    def load_adapter(self, name: str, folder: Path, source: str) -> AdapterFacts:
        """Make an adapter in PEFT's format available; raises LoadError."""

    def unload_adapter(self, name: str) -> None:
        """Forget an adapter that no sequence uses any more; one not known is no error."""

    def close(self) -> None:
        """Give everything back."""


@runtime_checkable
class Unfinished(Protocol):
    """A backend whose `load` may leave work that makes steps faster and changes no answer."""

    def go_on(self) -> bool:
        """Do a piece of it, as long as a step at most but for the last ones; False when none is
        left. From the engine's thread, between steps."""
