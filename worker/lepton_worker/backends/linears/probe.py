"""How fast the kernels are on this machine, in a fraction of a second."""

import time
from collections.abc import Callable, Sequence

from torch import nn

from lepton_worker.backends.linears.choose import Kind, Timings
from lepton_worker.backends.linears.replace import make_kernel
from lepton_worker.backends.linears.timing import least_seconds

ROWS = (1, 4, 16)
SHAPE = (2048, 896)
BUDGET = 0.3


def time_kinds(
    kinds: Sequence[Kind],
    budget: float = BUDGET,
    clock: Callable[[], float] = time.thread_time,
) -> Timings:
    """Seconds per call of each kind and of float32, for 1, 4 and 16 rows.

    Kinds have to be available. Where the last cache holds more than what is read between calls, the
    gain with one row is underestimated.
    """
    return least_seconds(lambda shape: _layers(shape, kinds), SHAPE, ROWS, budget, clock)


def _layers(shape: tuple[int, int], kinds: Sequence[Kind]) -> dict[str, nn.Module]:
    layer = nn.Linear(shape[1], shape[0])
    layers: dict[str, nn.Module] = {"float32": layer}
    layers.update((kind, make_kernel(layer, kind)) for kind in kinds)
    return layers
