"""How fast the kernels are on this machine, in a fraction of a second."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from lepton_worker.backends.linears.choose import Kind, Timings
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
    clock: Callable[[], float] = time.thread_time,
) -> Timings:
    """Seconds per call of each kind and of float32, for 1, 4 and 16 rows.

    The least of up to five rounds; one round is always taken, further ones begin only while less
    than two thirds of `budget` seconds have gone by. Kinds have to be available. One thread with a
    clock of its own is timed, so that others who use the same cores do not show. Where the last
    cache holds more than what is read in between, the gain with one row is underestimated.
    """
    start = clock()
    with torch.inference_mode(), _one_thread():
        layers, small = _layers(SHAPE, kinds), _layers((64, SHAPE[1]), kinds)
        inputs = {rows: torch.randn(rows, SHAPE[1]) for rows in ROWS}
        evict = torch.ones(EVICTED // 4)
        least = {name: dict.fromkeys(ROWS, float("inf")) for name in layers}
        for x in inputs.values():
            for item in layers.values():
                item(x)  # The first call generates code.
        for _ in range(MOST_ROUNDS):
            for name, item in layers.items():
                for rows, x in inputs.items():
                    evict.sum()
                    # In a model the layer before has brought the code back into the caches.
                    small[name](x)
                    seconds = _seconds(item, x, clock)
                    least[name][rows] = min(least[name][rows], seconds)
            if clock() - start > budget * 2 / 3:
                break
    return least


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _layers(shape: tuple[int, int], kinds: Sequence[Kind]) -> dict[str, nn.Module]:
    layer = nn.Linear(shape[1], shape[0])
    layers: dict[str, nn.Module] = {"float32": layer}
    layers.update((kind, make_kernel(layer, kind)) for kind in kinds)
    return layers


def _seconds(layer: nn.Module, x: torch.Tensor, clock: Callable[[], float]) -> float:
    start = clock()
    layer(x)
    return clock() - start
