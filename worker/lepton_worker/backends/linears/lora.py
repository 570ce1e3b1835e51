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
        self._device = module.device
        self._prefix = str(module.base_model_prefix)
        kinds = (nn.Linear, Conv1D, LinearKernel)
        self._layers: dict[str, nn.Module] = {
            name: layer for name, layer in module.named_modules() if isinstance(layer, kinds)
        }
        self._targets: dict[str, Target] = {}
        self._facts: dict[str, AdapterFacts] = {}
        self._groups: dict[int, Groups] = {}
        """The groups for batches of so many rows; empty where no row has an adapter."""
        self._rows: tuple[int, int] = (0, 0)

    @property
    def names(self) -> tuple[str, ...]:
        """The adapters that are loaded, in the order of loading."""
        return tuple(self._facts)

    def load(self, name: str, folder: Path, source: str) -> AdapterFacts:
        """Load an adapter in PEFT's format; one of the same name is replaced.

        Raises LoadError, and then everything is as it was.
        """
        terms = Reader(folder, self._layers, self._prefix).terms()
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

    def begin_segments(self, segments: Sequence[tuple[str, int]]) -> None:
        """Say whose the rows of the next forward are: (adapter or "", rows) in their order.

        Holds until the next call. Rows are those of [T, H], [1, T, H] or [B, T, H], the last
        dimension apart. A layer that sees one row for each segment (a head on pooled states) is
        understood too; for a head on chosen rows call again before it, with their numbers.
        Raises AdapterNotFound.
        """
        self._groups = {}
        unknown = sorted({name for name, _ in segments if name} - self._facts.keys())
        if unknown:
            raise AdapterNotFound(f"no adapter {unknown[0]!r} is loaded")
        if not any(name and count for name, count in segments):
            return
        total = sum(count for _, count in segments)
        self._rows = (total, len(segments))
        self._groups[len(segments)] = grouped([(name, 1) for name, _ in segments], self._device)
        self._groups[total] = grouped(segments, self._device)

    def _hook(self, layer: str, target: Target) -> Any:
        def hook(module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> Any:
            return self._added(layer, target, inputs[0], output) if self._groups else None

        return hook

    def _added(
        self, layer: str, target: Target, inputs: torch.Tensor, output: torch.Tensor
    ) -> torch.Tensor:
        x = inputs.reshape(-1, inputs.shape[-1])
        y = output.reshape(-1, output.shape[-1])
        groups = self._groups.get(len(x))
        if groups is None:
            total, segments = self._rows
            raise RuntimeError(
                f"{layer} got {len(x)} rows, and begin_segments was told of {total} rows in "
                f"{segments} segments"
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
