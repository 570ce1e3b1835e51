"""Jobs as the engine runs them: what has come of each so far."""

from collections.abc import Sequence
from typing import TypeAlias

from lepton_worker.backends.base import DecoderSequence, Progress
from lepton_worker.errors import RequestError
from lepton_worker.request import EncodeJob, FinishReason, TokenLogprob, Vector


class TextRun:
    """A text in the making."""

    def __init__(self, number: int, sequence: DecoderSequence) -> None:
        self.number = number
        self.sequence = sequence
        self.taken = False
        self.cached = 0
        self.prompt_logprobs: tuple[TokenLogprob, ...] = ()

    def ended(self, progress: Progress, computed: int) -> FinishReason | None:
        """Whether, and why, the text is complete with what a step led to.

        `computed` is how many of its tokens have state now.
        """
        sampling = self.sequence.sampling
        written = len(self.sequence.ids) - len(self.sequence.prompt)
        if not progress.written:
            # Only a prompt that was to be read and not continued ends without a token.
            whole = sampling.max_new_tokens == 0 and computed >= len(self.sequence.prompt)
            return FinishReason.LENGTH if whole else None
        if progress.answer and sampling.beams.ends and written >= sampling.max_new_tokens:
            # The end of so long an answer was forced on it.
            return FinishReason.LENGTH
        if progress.ended or progress.written[-1].token in sampling.ends:
            return FinishReason.STOP
        return FinishReason.LENGTH if written >= sampling.max_new_tokens else None


class ListRun:
    """A list of inputs of which each becomes one vector, or an error."""

    def __init__(self, number: int, job: EncodeJob) -> None:
        self.number = number
        self.inputs = job.inputs
        self.adapter = job.adapter
        self.taken = False
        self._answers: dict[int, Vector | RequestError] = {}

    def accept(self, answers: Sequence[tuple[int, Vector | RequestError]]) -> None:
        """Take answers, each with its place."""
        self._answers.update(answers)

    @property
    def complete(self) -> bool:
        """Whether every input has its answer."""
        return len(self._answers) == len(self.inputs)

    def answers(self) -> tuple[Vector | RequestError, ...]:
        """All answers, in the order of the inputs."""
        return tuple(self._answers[index] for index in range(len(self.inputs)))


Run: TypeAlias = TextRun | ListRun
