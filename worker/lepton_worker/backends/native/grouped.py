"""What packed and padded encoders share: groups, failures of one input alone, speed."""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch

from lepton_worker.backends.base import EncodeInput
from lepton_worker.backends.native.grouping import best_budget, trial_lengths
from lepton_worker.backends.transformers.failures import request_failures
from lepton_worker.backends.transformers.loading import Loaded, trial_text
from lepton_worker.errors import InternalError, InvalidRequest, RequestError, Violation
from lepton_worker.request import Tokens, Vector

log = logging.getLogger(__name__)

Answer: TypeAlias = torch.Tensor | RequestError
BeginSegments: TypeAlias = Callable[[list[tuple[str, int]]], None]
"""Told the adapter and the number of rows of each text, in their order, before a forward."""

BUDGET = 1024
"""Tokens of one forward on a CPU: more do not fit its cache and run slower."""
DEVICE_BUDGET = 16384
"""Tokens of one forward on a GPU."""
TRIALS = (256, 512, 1024, 2048, 4096)
"""Budgets that are tried on a CPU, in this order, as far as the time for it goes."""
DEVICE_TRIALS = (2048, 4096, 8192, 16384, 32768)
"""The same on a GPU."""


class GroupedEncoder(ABC):
    """Answers inputs in groups; an input that fails does so alone.

    `budget` is how many tokens one forward computes at most, unless a single input has more. With
    adapters, `begin_segments` is set to what has to know which rows are whose.
    """

    def __init__(self, loaded: Loaded, budget: int = 0) -> None:
        self._facts, self._module = loaded.facts, loaded.module
        on_cpu = loaded.module.device.type == "cpu"
        self._trials = TRIALS if on_cpu else DEVICE_TRIALS
        self.budget = budget or (BUDGET if on_cpu else DEVICE_BUDGET)
        self.begin_segments: BeginSegments | None = None

    @abstractmethod
    def groups(self, lengths: Sequence[int], adapters: Sequence[str]) -> list[list[int]]:
        """Indices of the inputs that are computed together, each once."""

    @abstractmethod
    def compute(self, inputs: Sequence[Tokens], adapters: Sequence[str]) -> list[torch.Tensor]:
        """One forward: numbers [numbers] or [tokens, numbers] for each input; raises anything."""

    def forward(
        self, inputs: Sequence[Tokens], adapters: Sequence[str] | None = None
    ) -> list[Answer]:
        """An answer or an error for each input, on the model's device, whatever their lengths."""
        names = [""] * len(inputs) if adapters is None else adapters
        answers: list[Answer] = [_empty() for _ in inputs]
        whole = [index for index, tokens in enumerate(inputs) if len(tokens)]
        lengths = [len(inputs[index]) for index in whole]
        for group in self.groups(lengths, [names[index] for index in whole]):
            members = [whole[place] for place in group]
            group_answers = self._answer(
                [inputs[index] for index in members], [names[index] for index in members]
            )
            for index, answer in zip(members, group_answers, strict=True):
                answers[index] = answer
        return answers

    def encode(self, inputs: Sequence[EncodeInput]) -> list[Vector | RequestError]:
        """Float32 vectors in the order of the inputs, or the error of one alone."""
        answers = self.forward([item.tokens for item in inputs], [item.adapter for item in inputs])
        return [
            answer if isinstance(answer, RequestError) else answer.float().cpu().numpy()
            for answer in answers
        ]

    def tune_budget(self, seconds: float = 0.3) -> int:
        """The step size in tokens that runs best here, also taken as the budget.

        Tries larger and larger steps of short texts until `seconds` would be exceeded; meant for
        warm-up. The first trial is made in any case.
        """
        trials: list[tuple[int, float]] = []
        spent = self._time(self._trials[0])  # whatever is set up at the first forward
        for tokens in self._trials:
            if trials and spent + trials[-1][1] * tokens / trials[-1][0] > seconds:
                break
            trials.append((tokens, self._time(tokens)))
            spent += trials[-1][1]
        self.budget = best_budget(trials)
        return self.budget

    def trial(self, length: int) -> Tokens:
        """A text for trials."""
        return trial_text(self._module, length)

    def _time(self, tokens: int) -> float:
        lengths = trial_lengths(tokens, self._facts.max_length)
        inputs = [self.trial(length) for length in lengths]
        names = [""] * len(inputs)
        self.budget = tokens
        begin = time.perf_counter()
        for group in self.groups(lengths, names):
            answers = self.compute([inputs[index] for index in group], names[: len(group)])
            answers[-1].sum().item()  # waits for the device
        return time.perf_counter() - begin

    def _answer(self, inputs: Sequence[Tokens], adapters: Sequence[str]) -> list[Answer]:
        """Answers of a group; one that fails is tried again input by input."""
        try:
            return [_finite(answer) for answer in self.compute(inputs, adapters)]
        except Exception as error:
            if len(inputs) == 1 or isinstance(error, torch.AcceleratorError):
                return [_as_request_error(error)] * len(inputs)
            log.warning("%d inputs failed together, each is tried alone: %s", len(inputs), error)
        return [
            answer
            for tokens, adapter in zip(inputs, adapters, strict=True)
            for answer in self._answer([tokens], [adapter])
        ]


def _finite(answer: torch.Tensor) -> Answer:
    if bool(torch.isfinite(answer).all()):
        return answer
    return InternalError("the model answers with numbers that are not finite")


def _empty() -> RequestError:
    return InvalidRequest([Violation("input", "has no tokens")])


def _as_request_error(error: Exception) -> RequestError:
    """The error of our own tree; what is a bug goes to the log."""
    try:
        with request_failures():
            raise error
    except RequestError as failure:
        return failure
