"""From the states of one text's tokens to its vector, in numpy."""

from collections.abc import Callable

import numpy as np

from lepton_worker.request import Vector

Mode = Callable[[Vector], Vector]
"""States [tokens, width] of one text, without padding -> [width]."""


def _mean_sqrt_len(states: Vector) -> Vector:
    total: Vector = states.sum(0)
    return total / np.float32(np.sqrt(len(states)))


def _weighted_mean(states: Vector) -> Vector:
    weights = np.arange(1, len(states) + 1, dtype=np.float32)
    pooled: Vector = weights @ states / weights.sum()
    return pooled


MODES: dict[str, Mode] = {
    "cls": lambda states: states[0],
    "mean": lambda states: states.mean(0),
    "max": lambda states: states.max(0),
    "mean_sqrt_len": _mean_sqrt_len,
    "weightedmean": _weighted_mean,
    "lasttoken": lambda states: states[-1],
}


def pool(states: Vector, modes: tuple[str, ...]) -> Vector:
    """Vectors by each mode, joined: float32 [width x modes]."""
    wide = states.astype(np.float32, copy=False)
    with np.errstate(all="ignore"):  # what is not finite is told of the answer
        return np.concatenate([MODES[mode](wide) for mode in modes])
