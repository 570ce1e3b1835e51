"""Generation around the model: sampling defaults, bounds, and a text as it grows."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from lepton_worker.errors import ContextLengthExceeded, InvalidRequest, Violation
from lepton_worker.model import GenerationDefaults, Model
from lepton_worker.request import (
    Beams,
    Constraint,
    Delta,
    GenerateJob,
    Sampling,
    TokenLogprob,
    Tokens,
)
from lepton_worker.tasks.detokenizer import Detokenizer
from lepton_worker.tasks.stops import Stops

DEFAULT_MAX_NEW_TOKENS = 64
SEEDS = 2**64

NO_MARKERS: Mapping[int, str] = MappingProxyType({})


@dataclass(frozen=True)
class AskedSampling:
    """What a request said of sampling; None is "as the model has it"."""

    max_new_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    bias: tuple[tuple[int, float], ...] = ()
    seed: int | None = None
    min_new_tokens: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    logprobs: int | None = None
    n: int = 1
    constraint: Constraint | None = None
    forced: tuple[int, ...] = ()
    beams: Beams = field(default_factory=Beams)


def generate_job(model: Model, prompt: Tokens, asked: AskedSampling, field: str) -> GenerateJob:
    """A prompt that fits into the model, with every default resolved.

    A length that was asked for has to fit; one that was not is cut to what is left.
    Raises ContextLengthExceeded, InvalidRequest; `field` is how the caller calls the prompt.
    """
    room = _room(model, prompt, asked, field)
    wrong = bias_violations(asked.bias, model.vocabulary)
    if wrong:
        raise InvalidRequest(wrong)
    return GenerateJob(prompt, _resolved(asked, model.defaults, room))


def score_job(prompt: Tokens) -> GenerateJob:
    """A text that is read and not continued, for the log probabilities of its own tokens."""
    return GenerateJob(prompt, Sampling(max_new_tokens=0, prompt_logprobs=True))


def answers(job: GenerateJob, n: int) -> list[GenerateJob]:
    """The same job `n` times; where it has a seed, each draws from the next one."""
    seed = job.sampling.seed
    if seed is None:
        return [job] * n
    return [
        dataclasses.replace(
            job, sampling=dataclasses.replace(job.sampling, seed=(seed + index) % SEEDS)
        )
        for index in range(n)
    ]


def bias_violations(bias: Sequence[tuple[int, float]], vocabulary: int) -> list[Violation]:
    """Biased tokens that the model does not have."""
    text = f"is not in the vocabulary; tokens are 0 to {vocabulary - 1}"
    return [
        Violation(f"sampling.logit_bias[{token}]", text)
        for token, _ in bias
        if not 0 <= token < vocabulary
    ]


def _room(model: Model, prompt: Tokens, asked: AskedSampling, field: str) -> int:
    """New tokens for which there is room; raises ContextLengthExceeded."""
    limits = {"max_length": str(model.max_length), "prompt_tokens": str(len(prompt))}
    if model.encoder_decoder:
        room, described = model.max_length, f"an answer may have {model.max_length}"
    else:
        room = model.max_length - len(prompt)
        described = (
            f"behind a prompt of {len(prompt)} there is room for {room}: "
            f"the model takes {model.max_length}, prompt and answer together"
        )
    if room < 1:
        text = (
            f"{len(prompt)} tokens leave no room for a new one; "
            f"the model takes {model.max_length}, prompt and answer together"
        )
        raise ContextLengthExceeded([Violation(field, text)], metadata=limits)
    for name in ("max_new_tokens", "min_new_tokens"):
        count = getattr(asked, name)
        if count is not None and count > room:
            text = f"{count} new tokens do not fit; {described}"
            raise ContextLengthExceeded([Violation(f"sampling.{name}", text)], metadata=limits)
    return room


def _resolved(asked: AskedSampling, model: GenerationDefaults, room: int) -> Sampling:
    if asked.max_new_tokens is None:
        usual = model.max_new_tokens or DEFAULT_MAX_NEW_TOKENS
        length = min(room, max(usual, asked.min_new_tokens or 0))
    else:
        length = asked.max_new_tokens
    least = model.min_new_tokens if asked.min_new_tokens is None else asked.min_new_tokens
    penalty = asked.repetition_penalty
    return Sampling(
        max_new_tokens=length,
        temperature=model.temperature if asked.temperature is None else asked.temperature,
        top_p=model.top_p if asked.top_p is None else asked.top_p,
        top_k=model.top_k if asked.top_k is None else asked.top_k,
        min_p=model.min_p if asked.min_p is None else asked.min_p,
        repetition_penalty=model.repetition_penalty if penalty is None else penalty,
        presence_penalty=asked.presence_penalty,
        frequency_penalty=asked.frequency_penalty,
        no_repeat_ngram=model.no_repeat_ngram,
        bias=asked.bias,
        seed=asked.seed,
        min_new_tokens=min(least, length),
        ends=frozenset() if asked.ignore_eos else model.ends,
        stop=asked.stop,
        logprobs=asked.logprobs,
        constraint=asked.constraint,
        forced=asked.forced or model.forced,
        beams=asked.beams,
    )


class Completion:
    """The text of one answer, from the tokens that the engine sends.

    All texts joined are the decoded whole, up to the first stop string; never half a character.
    `stopped` says that a stop string has ended the text: nothing may be added any more.
    `markers` are special tokens that are written out nevertheless.
    """

    def __init__(
        self, job: GenerateJob, model: Model, markers: Mapping[int, str] = NO_MARKERS
    ) -> None:
        self._ends = job.sampling.ends
        self._markers = markers
        self._text = Detokenizer(model.tokenizer)
        self._stops = Stops(job.sampling.stop)
        self.output_tokens = 0
        self.stopped = False

    def add(self, ids: Sequence[int], logprobs: Sequence[TokenLogprob] = ()) -> Delta:
        """Take the next tokens; those behind a stop string are left out.

        `logprobs` has one for each token, or none at all; each goes where its token goes.
        """
        text, used = "", 0
        for token in ids:
            if self.stopped:
                break
            used += 1
            text += self._shown(token)
        self.output_tokens += used
        return Delta(text, tuple(ids[:used]), tuple(logprobs[:used]))

    def end(self) -> Delta:
        """No token will follow: what had been held back. A stop string may become complete."""
        if self.stopped:
            return Delta("", ())
        shown, self.stopped = self._stops.feed(self._text.flush())
        return Delta(shown if self.stopped else shown + self._stops.flush(), ())

    def _shown(self, token: int) -> str:
        if token in self._ends:
            return ""
        if token in self._markers:
            text = self._text.flush() + self._markers[token]
        else:
            text = self._text.add(token)
        shown, self.stopped = self._stops.feed(text)
        return shown
