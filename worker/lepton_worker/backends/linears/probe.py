"""How fast the kernels are on this machine, in a fraction of a second."""

import time
from collections.abc import Callable, Sequence

import torch
from torch import nn

from lepton_worker.backends.linears.choose import Timings
from lepton_worker.backends.linears.kernels import Kind
from lepton_worker.backends.linears.replace import make_kernel

ROWS = (1, 4, 16)
SHAPE = (2048, 896)
EVICTED = 64 * 2**20
"""Bytes that are read between calls, so that the weights come from memory as they do in a model."""
BUDGET = 0.3
MOST_ROUNDS = 5


def time_kinds(
    kinds: Sequence[Kind],
    budget: float = BUDGET,
    clock: Callable[[], float] = time.perf_counter,
) -> Timings:
    """Seconds per call of each kind and of float32, for 1, 4 and 16 rows.

    The least of up to five rounds; one round is always taken, further ones begin only while less
    than `budget` seconds have gone by. Kinds have to be available.
    """
    start = clock()
    with torch.inference_mode():
        layer = nn.Linear(SHAPE[1], SHAPE[0])
        layers: dict[str, nn.Module] = {"float32": layer}
        layers.update((kind, make_kernel(layer, kind)) for kind in kinds)
        inputs = {rows: torch.randn(rows, SHAPE[1]) for rows in ROWS}
        evict = torch.ones(EVICTED // 4)
        least = {name: dict.fromkeys(ROWS, float("inf")) for name in layers}
        for item in layers.values():
            for x in inputs.values():
                item(x)  # The first call generates code.
        for _ in range(MOST_ROUNDS):
            for name, item in layers.items():
                for rows, x in inputs.items():
                    evict.sum()
                    seconds = _seconds(item, x, clock)
                    least[name][rows] = min(least[name][rows], seconds)
            if clock() - start > budget * 2 / 3:
                break
    return least


def _seconds(layer: nn.Module, x: torch.Tensor, clock: Callable[[], float]) -> float:
    start = clock()
    layer(x)
    return clock() - start
