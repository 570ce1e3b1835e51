"""Which encoder a loaded model gets: packed where that gives the model's own numbers."""

import logging
import math
import random
from collections.abc import Iterator, Sequence

import torch

from lepton_worker.backends.base import LoadOrder
from lepton_worker.backends.native.encoder import (
    CannotPack,
    PackedEncoder,
    model_name,
    parameters,
)
from lepton_worker.backends.native.grouped import GroupedEncoder
from lepton_worker.backends.native.padded import SortedEncoder
from lepton_worker.backends.transformers.encoder import Encoder
from lepton_worker.backends.transformers.loading import Loaded
from lepton_worker.backends.transformers.rotations import steady
from lepton_worker.model import Pooling
from lepton_worker.request import Task, Tokens

log = logging.getLogger(__name__)

TOLERANCE = 1e-5
"""Largest difference in float32, by the largest of the numbers."""
ROUNDINGS = 8
"""In shorter dtypes: how many times the distance between neighbouring numbers around 1. Right
ones were seen up to 3 times that far apart, texts that see one another from 60 times on."""
LENIENT = 10
"""How much more padded batches may differ before inputs are computed one by one."""
LENGTHS = (5, 9, 9, 1, 14, 3, 21)
"""Of trial inputs: unequal ones, and two that share a call of attention."""
NEAR = 256
"""Models whose tokens see no more neighbours than this also get a trial input beyond them."""
ON_CUDA = (torch.float16, torch.bfloat16)
"""What attention over packed rows takes on a GPU."""


class Trial:
    """A few short inputs with what the model itself says to each of them alone.

    Raises CannotPack where the model fails on them.
    """

    def __init__(self, loaded: Loaded, pooling: Pooling | None, bound: float) -> None:
        self._inputs = _trial_inputs_of(loaded)
        self._bound = bound
        encoder = Encoder(loaded, pooling)
        try:
            self._expected = [encoder.forward([tokens])[0] for tokens in self._inputs]
        except Exception as error:
            log.info("the model fails on trial inputs", exc_info=True)
            raise CannotPack(f"{model_name(loaded)} fails on trial inputs") from error

    def difference(self, encoder: GroupedEncoder) -> float:
        """The largest when all are computed together; infinite where that fails."""
        try:
            got = encoder.compute(self._inputs, [""] * len(self._inputs))
        except Exception:
            log.info("the model fails on trial inputs together", exc_info=True)
            return math.inf
        return largest_difference(got, self._expected)

    def accepts(self, difference: float, times: float = 1) -> bool:
        """Whether it is no more than some times what rounding makes."""
        return difference <= times * self._bound


def choose_encoder(
    loaded: Loaded, pooling: Pooling | None, order: LoadOrder, tolerance: float | None = None
) -> tuple[GroupedEncoder, str]:
    """An encoder for the model, and why this one, in words for the user.

    Runs a few short inputs together and one by one. `tolerance` is the largest difference by the
    largest of the numbers; by default that of the model's dtype.
    """
    budget = order.step_tokens
    bound = tolerance or max(TOLERANCE, ROUNDINGS * torch.finfo(loaded.module.dtype).eps)
    padded = SortedEncoder(loaded, pooling, budget)
    name = model_name(loaded)
    if loaded.facts.max_length > steady(loaded.module):
        padded.alone = True
        return padded, f"one by one: positions of {name} depend on the longest text"
    try:
        trial = Trial(loaded, pooling, bound)
    except CannotPack as failure:
        return padded, f"padded: {failure}"
    try:
        return _packed(loaded, pooling, budget, trial), "packed: same numbers as one by one"
    except CannotPack as refusal:
        if loaded.padding is None or trial.accepts(trial.difference(padded), LENIENT):
            return padded, f"padded: {refusal}"
    padded.alone = True
    return padded, f"one by one: {name} gives other numbers in batches"


def trial_inputs(
    lengths: Sequence[int], vocabulary: int, padding: int | None, end: int | None, types: bool
) -> list[Tokens]:
    """Inputs of those lengths with tokens of the vocabulary, always the same ones.

    None has the padding token, each has the `end` token once, as the last one; with `types`, the
    first half of each is a first text and the rest a second one.
    """
    source = random.Random(20)
    known = [token for token in range(vocabulary) if token not in (padding, end)] or [0]
    inputs = []
    for length in lengths:
        ids = source.choices(known, k=length)
        ids[-1] = ids[-1] if end is None else end
        halves = tuple(int(place * 2 >= length) for place in range(length))
        inputs.append(Tokens(tuple(ids), halves if types else None))
    return inputs


def largest_difference(got: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> float:
    """Over all numbers, by the largest expected one; infinite where they cannot be compared."""
    pairs = list(zip(got, expected, strict=True))
    if any(one.shape != other.shape for one, other in pairs):
        return math.inf
    largest = max(float((one.float() - other.float()).abs().max()) for one, other in pairs)
    scale = max(float(other.abs().max()) for other in expected)
    finite = all(bool(torch.isfinite(one).all()) for pair in pairs for one in pair)
    return largest / scale if finite and scale > 0 else math.inf


def _packed(loaded: Loaded, pooling: Pooling | None, budget: int, trial: Trial) -> PackedEncoder:
    """A packed encoder whose numbers are right; raises CannotPack."""
    _check_shape(loaded)
    least = math.inf
    for whole_texts in _heads(loaded.facts.task):
        encoder = PackedEncoder(loaded, pooling, budget, whole_texts)
        difference = trial.difference(encoder)
        if trial.accepts(difference):
            return encoder
        encoder.restore()
        least = min(least, difference)
    if least == math.inf:
        raise CannotPack(f"{model_name(loaded)} does not run over packed rows")
    raise CannotPack(
        f"{model_name(loaded)} gives other numbers packed, by {least:.1g} of the largest"
    )


def _check_shape(loaded: Loaded) -> None:
    """What can be told without a forward."""
    name = model_name(loaded)
    if loaded.module.device.type != "cpu" and loaded.module.dtype not in ON_CUDA:
        raise CannotPack("attention over packed rows takes float16 or bfloat16 on a GPU")
    if loaded.module.config.is_encoder_decoder:
        raise CannotPack(f"{name} has an encoder and a decoder")
    if "position_ids" not in parameters(loaded.module.base_model):
        raise CannotPack(f"{name} counts positions in its own way")


def _heads(task: Task) -> Iterator[bool]:
    """Ways to run the head, cheapest first: on the first token, on whole texts."""
    yield False
    if task is Task.CLASSIFY:
        yield True


def _trial_inputs_of(loaded: Loaded) -> list[Tokens]:
    facts, config = loaded.facts, loaded.module.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    end = getattr(config, "eos_token_id", None)
    lengths = list(LENGTHS)
    if isinstance(window, int) and window <= NEAR:
        lengths.append(window + 8)
    types = "token_type_ids" in parameters(loaded.module.base_model)
    return trial_inputs(
        [min(length, facts.max_length) for length in lengths],
        facts.vocabulary,
        loaded.padding,
        end if isinstance(end, int) and 0 <= end < facts.vocabulary else None,
        types and getattr(config, "type_vocab_size", 0) > 1,
    )
