"""Batches through a graph: by length, each input's failure its own."""

import logging
import math
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeAlias

import numpy as np

from lepton_worker.backends.base import EncodeInput
from lepton_worker.backends.native.grouping import best_budget, by_padding, trial_lengths
from lepton_worker.backends.onnx.failures import request_error
from lepton_worker.backends.onnx.graph import IDS, MASK, TYPES, Plan
from lepton_worker.backends.onnx.pooling import pool
from lepton_worker.errors import (
    DeviceLost,
    InternalError,
    InvalidRequest,
    RequestError,
    Violation,
)
from lepton_worker.request import Tokens, Vector

log = logging.getLogger(__name__)

Run: TypeAlias = Callable[[tuple[str, ...], dict[str, Any]], list[Vector]]
"""(names of outputs, arrays by names of inputs) -> arrays; raises anything."""

BUDGET, DEVICE_BUDGET = 1024, 16384
"""Tokens of one forward unless tuned, on a CPU and on a GPU."""
TRIALS = (64, 128, 256, 512, 1024, 2048)
"""Budgets that are tried; the first is one short text, which a CPU may like best."""
DEVICE_TRIALS = (1024, 4096, 16384)
TOLERANCE = {"float32": 1e-5, "float16": 8e-3}
"""Largest difference that company may make to an answer, by its largest number."""
LENGTHS = (5, 9, 9, 1, 14, 3, 21)
"""Of trial inputs: unequal ones, and two that are equal."""


class OnnxEncoder:
    """Answers inputs in groups of nearly one length.

    `padding` fills them up, `longest` and `vocabulary` bound the inputs of trials. With `alone` set
    each input is computed by itself; `budget` is how many tokens, padding included, a forward
    computes at most, unless a single input has more.
    """

    def __init__(
        self, run: Run, plan: Plan, modes: tuple[str, ...], padding: int, on_cpu: bool = True
    ) -> None:
        self._run, self._plan, self._modes, self._padding = run, plan, modes, padding
        self._trials = TRIALS if on_cpu else DEVICE_TRIALS
        self.budget = BUDGET if on_cpu else DEVICE_BUDGET
        self.alone = False

    def encode(self, inputs: Sequence[EncodeInput]) -> list[Vector | RequestError]:
        """Float32 vectors in the order of the inputs, or the error of one alone."""
        tokens = [item.tokens for item in inputs]
        answers: list[Vector | RequestError] = [_empty() for _ in tokens]
        whole = [index for index, item in enumerate(tokens) if len(item)]
        for group in self._groups([len(tokens[index]) for index in whole]):
            members = [whole[place] for place in group]
            results = self._answer([tokens[index] for index in members])
            for index, answer in zip(members, results, strict=True):
                answers[index] = answer
        return answers

    def _groups(self, lengths: Sequence[int]) -> list[list[int]]:
        if self.alone:
            return [[index] for index in range(len(lengths))]
        keys: list[Hashable] = list(lengths) if not self._plan.masked else [None] * len(lengths)
        return by_padding(lengths, keys, self.budget)

    def _answer(self, inputs: Sequence[Tokens]) -> list[Vector | RequestError]:
        """Answers of a group; one that fails is tried again input by input."""
        try:
            return [_finite(answer) for answer in self.compute(inputs)]
        except Exception as error:
            if len(inputs) == 1:
                return [request_error(error)]
            kind = type(error).__name__  # its text may quote a request
            log.warning("%d inputs failed together, each is tried alone: %s", len(inputs), kind)
        answers: list[Vector | RequestError] = []
        for tokens in inputs:
            lost = answers and isinstance(answers[-1], DeviceLost)
            answers += [answers[-1]] if lost else self._answer([tokens])
        return answers

    def compute(self, inputs: Sequence[Tokens]) -> list[Vector]:
        """One padded forward: float32 [numbers] or [tokens, numbers] for each input."""
        lengths = [len(tokens) for tokens in inputs]
        arrays = self._run(self._plan.outputs, self._feeds(inputs, max(lengths)))
        rows = np.stack(arrays, axis=-1) if self._plan.form == "answer" else arrays[0]
        rows = rows.astype(np.float32, copy=False)
        if self._plan.form == "row":
            return list(rows)
        cut = [row[:length] for row, length in zip(rows, lengths, strict=True)]
        if self._plan.form == "states":
            return [pool(states, self._modes) for states in cut]
        return cut

    def _feeds(self, inputs: Sequence[Tokens], width: int) -> dict[str, Any]:
        filling = {IDS: self._padding, MASK: 0, TYPES: 0}
        feeds = {
            name: np.full((len(inputs), width), filling[name], kind)
            for name, kind in self._plan.inputs.items()
        }
        for row, tokens in enumerate(inputs):
            feeds[IDS][row, : len(tokens)] = tokens.ids
            if self._plan.masked:
                feeds[MASK][row, : len(tokens)] = 1
            if self._plan.typed and tokens.types is not None:
                feeds[TYPES][row, : len(tokens)] = tokens.types
        return feeds

    # -------------------------------------------------------------- trials at the start
    def settle_batches(self, longest: int, vocabulary: int) -> tuple[str, Vector]:
        """Whether inputs may share a forward, and why; with it a trial's answer.

        Runs a few short inputs together and one by one: quantized graphs have scales for whole
        batches, and an answer must not depend on its neighbours. Raises what the graph raises.
        """
        inputs = [
            Tokens(tuple((7 * place + length) % vocabulary for place in range(length)))
            for length in (min(length, longest) for length in LENGTHS)
        ]
        right = [self.compute([tokens])[0] for tokens in inputs]
        try:
            difference = max(self._differences(inputs, right))
        except Exception as error:
            log.info("the graph fails on trial inputs together", exc_info=True)
            self.alone = True
            return f"one by one: the graph fails on several inputs ({error})", right[0]
        if not difference <= TOLERANCE[self._plan.dtype]:
            self.alone = True
            return f"one by one: neighbours change answers by {difference:.1g}", right[0]
        how = "sorted by length and padded" if self._plan.masked else "inputs of one length"
        return f"{how}: same numbers as one by one", right[0]

    def _differences(self, inputs: Sequence[Tokens], right: Sequence[Vector]) -> list[float]:
        keys: list[Hashable] = [None if self._plan.masked else len(tokens) for tokens in inputs]
        differences = []
        for group in by_padding([len(tokens) for tokens in inputs], keys, BUDGET, waste=1.0):
            together = self.compute([inputs[index] for index in group])
            for index, got in zip(group, together, strict=True):
                size = float(np.abs(right[index]).max()) or 1.0
                with np.errstate(all="ignore"):
                    far = float(np.abs(got - right[index]).max()) / size
                differences.append(far if math.isfinite(far) else math.inf)
        return differences

    def tune_budget(self, longest: int, seconds: float = 0.3) -> int:
        """The tokens of a forward that run best here, also taken as the budget.

        Tries larger and larger forwards of short texts until `seconds` would be exceeded; the first
        trial is made in any case.
        """
        trials: list[tuple[int, float]] = []
        spent = self._time(self._trials[0], longest)  # whatever is set up at the first forward
        for tokens in self._trials:
            if trials and spent + trials[-1][1] * tokens / trials[-1][0] > seconds:
                break
            trials.append((tokens, self._time(tokens, longest)))
            spent += trials[-1][1]
        self.budget = best_budget(trials)
        return self.budget

    def _time(self, tokens: int, longest: int) -> float:
        lengths = trial_lengths(tokens, longest)
        inputs = [Tokens((0,) * length) for length in lengths]
        begin = time.perf_counter()
        for group in by_padding(lengths, lengths, tokens):
            self.compute([inputs[index] for index in group])
        return time.perf_counter() - begin


def _finite(answer: Vector) -> Vector | RequestError:
    if bool(np.isfinite(answer).all()):
        return answer
    return InternalError("the model answers with numbers that are not finite")


def _empty() -> RequestError:
    return InvalidRequest([Violation("input", "has no tokens")])
