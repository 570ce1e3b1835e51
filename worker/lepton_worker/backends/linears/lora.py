"""Adapters on one base model: loaded and unloaded at run time, mixed within a batch.

Rows are grouped by adapter and each group's low-rank terms added to the base's output, as S-LoRA
does (Sheng et al., 2023, arXiv 2311.03285); the base computes all rows at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle
from transformers.pytorch_utils import Conv1D

from lepton_worker.backends.base import AdapterFacts
from lepton_worker.backends.linears.kernels import LinearKernel
from lepton_worker.backends.linears.terms import LowRank, Reader, Term
from lepton_worker.errors import AdapterNotFound

Rows: TypeAlias = slice | torch.Tensor
"""Rows of a batch: a run of them, or their numbers."""
Groups: TypeAlias = list[tuple[str, Rows]]


@dataclass
class Target:
    """A layer that some adapter changes: its terms by adapter, and its hook."""

    terms: dict[str, Term] = field(default_factory=dict)
    hook: RemovableHandle | None = None


class Adapters:
    """The adapters of a module whose kernels are in place; for one thread.

    Layers get a forward hook with the first adapter that changes them and lose it with the last.
    No parameter is added to the module, and rows without an adapter are not touched.
    """

    def __init__(self, module: Any) -> None:
        self._module = module
        self._device = module.device
        kinds = (nn.Linear, Conv1D, LinearKernel)
        self._layers: dict[str, nn.Module] = {
            name: layer for name, layer in module.named_modules() if isinstance(layer, kinds)
        }
        self._targets: dict[str, Target] = {}
        self._facts: dict[str, AdapterFacts] = {}
        self._groups: dict[int, Groups] = {}
        """The groups for batches of so many rows; 0 stands for any number."""
        self._total = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The adapters that are loaded, in the order of loading."""
        return tuple(self._facts)

    def load(self, name: str, folder: Path, source: str) -> AdapterFacts:
        """Load an adapter in PEFT's format; one of the same name is replaced.

        Raises LoadError, and then everything is as it was.
        """
        terms = Reader(folder, self._module, self._layers).terms()
        self.unload(name)
        for layer, term in terms.items():
            target = self._targets.setdefault(layer, Target())
            target.terms[name] = term
            if target.hook is None:
                target.hook = self._layers[layer].register_forward_hook(self._hook(layer, target))
        ranks = [len(term.a) for term in terms.values() if isinstance(term, LowRank)]
        size = sum(term.bytes for term in terms.values())
        self._facts[name] = AdapterFacts(name, source, max(ranks, default=0), size)
        return self._facts[name]

    def unload(self, name: str) -> None:
        """Forget an adapter; one not known is no error. `begin_segments` has to follow."""
        if self._facts.pop(name, None) is None:
            return
        self._groups = {}
        for layer, target in list(self._targets.items()):
            target.terms.pop(name, None)
            if not target.terms:
                if target.hook is not None:
                    target.hook.remove()
                del self._targets[layer]

    def begin_segments(
        self, segments: Sequence[tuple[str, int]], kept: Sequence[int] | None = None
    ) -> None:
        """Say whose the rows of the next forward are: (adapter or "", rows) in their order.

        Holds until the next call. Rows are those of [T, H], [1, T, H] or [B, T, H], the last
        dimension apart. `kept` are the numbers of the rows that the head gets, where it does not
        get all. Before a head on pooled states call again. Where all rows have one adapter, their
        number does not matter. Raises AdapterNotFound.
        """
        self._groups = {}
        unknown = sorted({name for name, _ in segments if name} - self._facts.keys())
        if unknown:
            raise AdapterNotFound(f"no adapter {unknown[0]!r} is loaded")
        used = {name for name, count in segments if count}
        if not any(used):
            return
        if len(used) == 1:
            self._groups[0] = [(used.pop(), slice(None))]
            return
        if kept is not None:
            whose = [name for name, count in segments for _ in range(count)]
            self._groups[len(kept)] = grouped([(whose[row], 1) for row in kept], self._device)
        self._total = sum(count for _, count in segments)
        self._groups[self._total] = grouped(segments, self._device)

    def _hook(self, layer: str, target: Target) -> Any:
        def hook(module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> Any:
            return self._added(layer, target, inputs[0], output) if self._groups else None

        return hook

    def _added(
        self, layer: str, target: Target, inputs: torch.Tensor, output: torch.Tensor
    ) -> torch.Tensor:
        x = inputs.reshape(-1, inputs.shape[-1])
        y = output.reshape(-1, output.shape[-1])
        groups = self._groups.get(len(x), self._groups.get(0))
        if groups is None:
            raise RuntimeError(
                f"{layer} got {len(x)} rows, and begin_segments was told of {self._total}"
            )
        for name, rows in groups:
            term = target.terms.get(name)
            if term is not None:
                _apply(term, rows, x, y)
        return y.view(output.shape)


def grouped(segments: Sequence[tuple[str, int]], device: torch.device) -> Groups:
    """The rows of each adapter: a slice where they are one run, else their numbers."""
    runs: dict[str, list[range]] = {}
    start = 0
    for name, count in segments:
        if name and count:
            mine = runs.setdefault(name, [])
            if mine and mine[-1].stop == start:
                mine[-1] = range(mine[-1].start, start + count)
            else:
                mine.append(range(start, start + count))
        start += count
    return [(name, _rows(mine, device)) for name, mine in runs.items()]


def _rows(runs: list[range], device: torch.device) -> Rows:
    if len(runs) == 1:
        return slice(runs[0].start, runs[0].stop)
    return torch.tensor([row for run in runs for row in run], device=device)


def _apply(term: Term, rows: Rows, x: torch.Tensor, y: torch.Tensor) -> None:
    """Change rows of y in place; no other row is touched."""
    mine = x[rows]
    if not isinstance(term, LowRank):
        y[rows] = functional.linear(mine.to(term.weight.dtype), term.weight, term.bias).to(y.dtype)
        return
    low = functional.linear(mine.to(term.a.dtype), term.a)
    if isinstance(rows, slice):
        y[rows].addmm_(low, term.b.t())
    else:
        y.index_add_(0, rows, functional.linear(low, term.b))
