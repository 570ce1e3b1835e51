"""Generation around the model: sampling defaults, bounds, and a text as it grows."""

from dataclasses import dataclass

from lepton_worker.errors import ContextLengthExceeded, Violation
from lepton_worker.model import GenerationDefaults, Model
from lepton_worker.request import Delta, FinishReason, GenerateJob, Sampling, Tokens
from lepton_worker.tasks.detokenizer import Detokenizer
from lepton_worker.tasks.stops import Stops

DEFAULT_MAX_NEW_TOKENS = 64


@dataclass(frozen=True)
class AskedSampling:
    """What a request said of sampling; None is "as the model has it"."""

    max_new_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False


def generate_job(model: Model, prompt: Tokens, asked: AskedSampling, field: str) -> GenerateJob:
    """A prompt that fits into the model, with every default resolved.

    A length that was asked for has to fit; one that was not is cut to what is left.
    Raises ContextLengthExceeded; `field` is how the caller calls the prompt.
    """
    limits = {"max_length": str(model.max_length), "prompt_tokens": str(len(prompt))}
    room = model.max_length - len(prompt)
    if room < 1:
        text = (
            f"{len(prompt)} tokens leave no room for a new one; "
            f"the model takes {model.max_length}, prompt and answer together"
        )
        raise ContextLengthExceeded([Violation(field, text)], metadata=limits)
    if asked.max_new_tokens is not None and asked.max_new_tokens > room:
        text = (
            f"{asked.max_new_tokens} new tokens do not fit behind a prompt of {len(prompt)}; "
            f"the model takes {model.max_length} together, so {room} are left"
        )
        violation = Violation("sampling.max_new_tokens", text)
        raise ContextLengthExceeded([violation], metadata=limits)
    return GenerateJob(prompt, _resolved(asked, model.defaults, room))


def _resolved(asked: AskedSampling, model: GenerationDefaults, room: int) -> Sampling:
    if asked.max_new_tokens is None:
        length = min(room, model.max_new_tokens or DEFAULT_MAX_NEW_TOKENS)
    else:
        length = asked.max_new_tokens
    return Sampling(
        max_new_tokens=length,
        temperature=model.temperature if asked.temperature is None else asked.temperature,
        top_p=model.top_p if asked.top_p is None else asked.top_p,
        top_k=model.top_k if asked.top_k is None else asked.top_k,
        seed=asked.seed,
        stop=asked.stop,
        ignore_eos=asked.ignore_eos,
    )


class Completion:
    """A text that grows token by token, until it is finished."""

    def __init__(self, job: GenerateJob, model: Model) -> None:
        self._sampling = job.sampling
        self._ends = model.defaults.ends
        self._text = Detokenizer(model.tokenizer)
        self._stops = Stops(job.sampling.stop)
        self.prompt_tokens = len(job.prompt)
        self.output_tokens = 0
        self.finished: FinishReason | None = None

    def add(self, token: int) -> Delta:
        """Take the next token; may finish the text."""
        self.output_tokens += 1
        if token in self._ends and not self._sampling.ignore_eos:
            self.finished = FinishReason.STOP
            return Delta(self._rest(), (token,))
        shown, stopped = self._stops.feed(self._text.add(token))
        if stopped:
            self.finished = FinishReason.STOP
        elif self.output_tokens >= self._sampling.max_new_tokens:
            self.finished = FinishReason.LENGTH
            shown += self._rest()
        return Delta(shown, (token,))

    def end(self, reason: FinishReason) -> Delta:
        """Finish the text before its time; returns what had been held back."""
        self.finished = reason
        return Delta(self._rest(), ())

    def _rest(self) -> str:
        """What was held back; a stop string may become complete with it."""
        shown, stopped = self._stops.feed(self._text.flush())
        if stopped:
            self.finished = FinishReason.STOP
            return shown
        return shown + self._stops.flush()
