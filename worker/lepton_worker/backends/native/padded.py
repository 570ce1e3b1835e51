"""Encoders whose attention is their own: padded batches with little padding."""

from collections.abc import Hashable, Sequence

import torch

from lepton_worker.backends.native.grouped import GroupedEncoder
from lepton_worker.backends.native.grouping import by_padding
from lepton_worker.backends.transformers.encoder import Encoder
from lepton_worker.backends.transformers.loading import Loaded
from lepton_worker.model import Pooling
from lepton_worker.request import Task, Tokens


class SortedEncoder(GroupedEncoder):
    """The model's own forward over inputs of nearly the same length.

    Models without a padding token get inputs of exactly the same length. With `alone` set, each
    input is computed by itself.
    """

    def __init__(self, loaded: Loaded, pooling: Pooling | None, budget: int = 0) -> None:
        super().__init__(loaded, budget)
        self._encoder = Encoder(loaded, pooling)
        self._by_token = loaded.facts.task in (Task.TAG, Task.ANSWER)
        self._exact = loaded.padding is None
        self.alone = False

    def groups(self, lengths: Sequence[int], adapters: Sequence[str]) -> list[list[int]]:
        """Inputs of about one length with one adapter, so that all rows are that adapter's."""
        if self.alone:
            return [[index] for index in range(len(lengths))]
        keys: list[Hashable] = list(adapters)
        if self._exact:
            keys = list(zip(adapters, lengths, strict=True))
        return by_padding(lengths, keys, self.budget)

    def compute(self, inputs: Sequence[Tokens], adapters: Sequence[str]) -> list[torch.Tensor]:
        """One padded forward."""
        if self.begin_segments is not None:
            self.begin_segments([(adapters[0], len(inputs) * max(map(len, inputs)))])
        rows = self._encoder.forward(inputs)
        if not self._by_token:
            return list(rows)
        return [row[: len(tokens)] for row, tokens in zip(rows, inputs, strict=True)]
