"""What is known of a loaded model, and what its tokenizer does."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lepton_worker.request import Beams, Task, Tokens


@dataclass(frozen=True)
class Tokenized:
    """One text as tokens; `truncated` says that its end was cut off."""

    tokens: Tokens
    truncated: bool = False


class Tokenizer(Protocol):
    """Text to tokens and back. Safe to use from several threads."""

    def encode(self, texts: Sequence[str], cut_at: int | None = None) -> list[Tokenized]:
        """Tokenize with the special tokens of the model; `cut_at` tokens at most, if given."""

    def encode_pairs(
        self, pairs: Sequence[tuple[str, str]], cut_at: int | None = None
    ) -> list[Tokenized]:
        """Two texts as one input, as the model joins them; `cut_at` cuts the second one."""

    def pieces(self, text: str, special: bool = True) -> "Pieces":
        """A text as tokens with their places in it; `special` adds those of the model."""

    def frame(self, pair: bool = False) -> "Frame":
        """The special tokens that go around one text, or around and between two."""

    def decode(self, ids: Sequence[int], special: bool = False) -> str:
        """Text of the tokens, without special ones unless asked for."""

    def is_open(self, token: int) -> bool:
        """Whether the text up to this token can still change with the tokens behind it."""


@dataclass(frozen=True)
class Pieces:
    """The tokens of one text, each with its place there.

    `spans` are in characters (code points), (0, 0) for special tokens. `words` numbers the words,
    None for special tokens. `added` is how many special tokens are in front of and behind the text.
    """

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    words: tuple[int | None, ...]
    tokens: tuple[str, ...]
    added: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Frame:
    """The special tokens of a model in front of a text, between two texts, and behind.

    Each is (id, segment number), `segments` are the numbers of the texts themselves; `typed` says
    whether the model takes them.
    """

    front: tuple[tuple[int, int], ...] = ()
    middle: tuple[tuple[int, int], ...] = ()
    back: tuple[tuple[int, int], ...] = ()
    segments: tuple[int, int] = (0, 0)
    typed: bool = False

    @property
    def count(self) -> int:
        """Special tokens in all."""
        return len(self.front) + len(self.middle) + len(self.back)

    def around(self, first: Sequence[int], second: Sequence[int] = ()) -> Tokens:
        """Tokens of one text, or of two, as the model takes them."""
        front, middle, back = (
            tuple(token for token, _ in part) for part in (self.front, self.middle, self.back)
        )
        ids = (*front, *first, *middle, *second, *back)
        return Tokens(ids, self._types(len(first), len(second)) if self.typed else None)

    def _types(self, first: int, second: int) -> tuple[int, ...]:
        front, middle, back = (
            tuple(kind for _, kind in part) for part in (self.front, self.middle, self.back)
        )
        one, other = self.segments
        return (*front, *(one,) * first, *middle, *(other,) * second, *back)


@dataclass(frozen=True)
class Families:
    """Model types, grouped by what can be built of them: anything, something that works on text
    alone, a causal head, a masked head, an encoder and a decoder for text."""

    known: frozenset[str]
    text: frozenset[str]
    causal: frozenset[str]
    masked: frozenset[str]
    seq2seq: frozenset[str] = frozenset()


@dataclass(frozen=True)
class GenerationDefaults:
    """What the model's own generation config says where a request says nothing."""

    max_new_tokens: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0
    suppressed: tuple[int, ...] = ()
    suppressed_first: tuple[int, ...] = ()
    min_new_tokens: int = 0
    ends: frozenset[int] = frozenset()
    forced: tuple[int, ...] = ()
    beams: Beams = field(default_factory=Beams)


@dataclass(frozen=True)
class Pooling:
    """How the states of a text's tokens become one vector, as the model declares it.

    `modes` are joined in their order: cls, mean, max, mean_sqrt_len, weightedmean, lasttoken.
    `prefix` goes in front of each text, unless another of the `prompts` is asked for by its name;
    `max_length` is None where the model says nothing.
    """

    modes: tuple[str, ...] = ("mean",)
    normalize: bool = False
    max_length: int | None = None
    lower_case: bool = False
    prefix: str = ""
    prompts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdicts:
    """What trials at load found, and another load of the same files need not try again.

    `packed` says that packed steps gave the logits of stock transformers. `timings` are seconds per
    call of linear kernels, by kind and number of rows; empty where none were timed.
    """

    packed: bool = False
    timings: dict[str, dict[int, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """A loaded model, as everything outside its backend sees it.

    `offers` has one task, but for backends that answer any. `max_length` and `vocabulary` are
    counted in tokens. `scoring` is how logits become scores: softmax, sigmoid or none. `entailment`
    is the label that says so. `slots` is how many texts run at once, `cache_tokens` how many tokens
    they can hold together (0: no bound beyond `slots`), `step_tokens` how many tokens a step
    computes at best speed. `schedules` says that the backend itself decides what each step computes
    of the texts that were begun, and which of them has to wait. `chat_template` is the model's own,
    in Jinja; `prompts` are those that a sentence encoder declares, by name, the usual one as "", or
    an encoder-decoder for its tasks. `encoder_decoder` says that prompt and answer have lengths of
    their own, each `max_length` at most; `languages` are the tokens of those that it writes, by
    name, and `task_defaults` what it says of generation for single tasks, by the names of their
    `prompts`. `choices` has what was left to the worker, with the reason for what it chose;
    `verdicts` spare the next engine the trials behind them.
    """

    task: Task
    offers: frozenset[Task]
    architecture: str
    backend: str
    device: str
    dtype: str
    max_length: int
    vocabulary: int
    tokenizer: Tokenizer
    labels: tuple[str, ...] = ()
    scoring: str = "softmax"
    dimensions: int = 0
    normalize: bool = False
    defaults: GenerationDefaults = field(default_factory=GenerationDefaults)
    slots: int = 8
    cache_tokens: int = 0
    step_tokens: int = 512
    schedules: bool = False
    encoder_decoder: bool = False
    entailment: int | None = None
    chat_template: str = ""
    special_tokens: dict[str, str] = field(default_factory=dict)
    prompts: dict[str, str] = field(default_factory=dict)
    languages: dict[str, int] = field(default_factory=dict)
    task_defaults: dict[str, GenerationDefaults] = field(default_factory=dict)
    choices: dict[str, str] = field(default_factory=dict)
    verdicts: Verdicts = field(default_factory=Verdicts)
