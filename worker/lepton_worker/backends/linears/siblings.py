"""Linear layers that read the same states, multiplied at once by one kernel.

The parts before and behind a product cost as much as a small product itself: one of the three of an
attention's queries, keys and values, or the two of a gated block, is paid instead of each.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from lepton_worker.backends.linears.kernels import LinearKernel, oriented

Make = Callable[[torch.Tensor, torch.Tensor | None], LinearKernel]
Call = tuple[str, bool]
"""A layer's name, and whether it got the same states as the layer called before it."""


class Together:
    """The kernel of several layers, and those of its results that have not been asked for yet.

    Layers ask one after the other with the same tensor; it is kept until the last one has. For one
    thread.
    """

    def __init__(self, kernel: LinearKernel, sizes: Sequence[int]) -> None:
        self.kernel = kernel
        self.sizes = list(sizes)
        self._input: torch.Tensor | None = None
        self._left: dict[int, torch.Tensor] = {}

    def take(self, place: int, x: torch.Tensor) -> torch.Tensor:
        """The result of one layer for x; each is handed out once, so callers may change it."""
        if x is not self._input or place not in self._left:
            self._left = dict(enumerate(self.kernel.parts(x, self.sizes)))
            self._input = x
        result = self._left.pop(place)
        if not self._left:
            self._input = None
        return result


class Share(LinearKernel):
    """One of the layers of a `Together`, in the place of its own kernel."""

    def __init__(self, together: Together, place: int, weight: torch.Tensor) -> None:
        super().__init__(weight)
        self.kind = together.kernel.kind
        self._together, self._place = together, place
        self.bytes = together.kernel.bytes * len(weight) // sum(together.sizes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x W^T + b for every row of x."""
        return self._together.take(self._place, x)

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """As `forward`."""
        return self.forward(x)


def shares(layers: Sequence[nn.Module], make: Make) -> list[Share]:
    """What stands in for layers of the same inputs, over one kernel that `make` makes."""
    weights, biases = zip(*map(oriented, layers), strict=True)
    bias = None
    if any(item is not None for item in biases):
        whole = zip(weights, biases, strict=True)
        bias = torch.cat([w.new_zeros(len(w)) if own is None else own for w, own in whole])
    together = Together(make(torch.cat(weights), bias), [len(item) for item in weights])
    return [Share(together, place, weight) for place, weight in enumerate(weights)]


@contextmanager
def watched(layers: Sequence[tuple[str, nn.Module]]) -> Iterator[list[Call]]:
    """The calls of layers within the context; inputs changed in between are not the same."""
    calls: list[Call] = []
    last: list[torch.Tensor] = []

    def note(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            x = inputs[0]
            same = bool(last) and x is last[0] and torch.equal(x, last[1])
            calls.append((name, same))
            last[:] = [x, x.clone()]

        return hook

    hooks = [layer.register_forward_pre_hook(note(name)) for name, layer in layers]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()
        last.clear()


def siblings(calls: Sequence[Call]) -> list[tuple[str, ...]]:
    """Names of layers that one kernel may compute: those of one module that run in a row on the
    same states, always the same ones together."""
    runs: list[list[str]] = []
    for name, same in calls:
        if same and name not in runs[-1] and _parent(name) == _parent(runs[-1][-1]):
            runs[-1].append(name)
        else:
            runs.append([name])
    distinct = list(dict.fromkeys(map(tuple, runs)))
    seen = Counter(name for run in distinct for name in run)
    return [run for run in distinct if len(run) > 1 and all(seen[name] == 1 for name in run)]


def _parent(name: str) -> str:
    return name.rpartition(".")[0]
