"""Batches of like length as arrays, for engines that take padded input."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from lepton_bench.engine.peers.line_loop import sorted_batches

Array = npt.NDArray[np.int64]

BUDGET = 1024
"""Tokens of a padded batch: what the caches of a core hold (larger ones were slower)."""


def batches(ids: Sequence[Sequence[int]]) -> Iterator[tuple[Array, Array]]:
    """Token ids and mask of each batch, shape [batch, longest]."""
    for batch in sorted_batches([len(line) for line in ids], BUDGET):
        longest = max(len(ids[place]) for place in batch)
        tokens = np.zeros((len(batch), longest), np.int64)
        mask = np.zeros_like(tokens)
        for row, place in enumerate(batch):
            tokens[row, : len(ids[place])] = ids[place]
            mask[row, : len(ids[place])] = 1
        yield tokens, mask
