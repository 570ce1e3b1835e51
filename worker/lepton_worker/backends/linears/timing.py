"""How long layers take for a few rows, as they do within a model; for one thread."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import nn

EVICTED = 64 * 2**20
"""Bytes that are read between calls, so that the weights come from memory as they do in a model."""
MOST_ROUNDS = 5
FEW = 64
"""Outputs of a layer that is called only for its code."""


def least_seconds(
    make: Callable[[tuple[int, int]], Mapping[str, nn.Module]],
    shape: tuple[int, int],
    rows: Sequence[int],
    budget: float,
    clock: Callable[[], float] = time.thread_time,
) -> dict[str, dict[int, float]]:
    """Seconds per call of each layer that `make` gives for a shape [out, in], by the number of rows
    of its input [rows, in].

    The least of up to five rounds; one round is always taken, further ones begin only while less
    than two thirds of `budget` seconds have gone by. One thread with a clock of its own is timed,
    so that others who use the same cores do not show.
    """
    with torch.inference_mode():
        layers, small = make(shape), make((FEW, shape[1]))
    inputs = [torch.randn(count, shape[1]) for count in rows]
    start = clock()
    with torch.inference_mode(), _one_thread():
        evict = torch.ones(EVICTED // 4)
        least = {name: dict.fromkeys(map(len, inputs), float("inf")) for name in layers}
        for x in inputs:
            for item in layers.values():
                item(x)  # The first call generates code.
        for _ in range(MOST_ROUNDS):
            for name, item in layers.items():
                for x in inputs:
                    evict.sum()
                    # In a model the layer before has brought the code back into the caches.
                    small[name](x)
                    seconds = _seconds(item, x, clock)
                    least[name][len(x)] = min(least[name][len(x)], seconds)
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


def _seconds(layer: nn.Module, x: torch.Tensor, clock: Callable[[], float]) -> float:
    start = clock()
    layer(x)
    return clock() - start
