"""A packed step on slots: where its tokens' state goes, and which calls of attention it takes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from lepton_worker.backends.native.rows import Chunk, Group
from lepton_worker.backends.native.slots import Slabs

SCORES = 1 << 24
"""The most numbers a mask, or the scores where they are spelled out, may have at once."""


@dataclass(frozen=True)
class Part:
    """One call of attention: rows `first` to `last`, reading tokens `low` to `high` of slots.

    `mask` is added to the scores; without one, rows see all, or with `causal` all up to their own.
    """

    first: int
    last: int
    slot: int
    slots: int
    low: int
    high: int
    mask: torch.Tensor | None
    causal: bool = False


@dataclass
class SlotStep:
    """One packed forward: where each token's state goes, and what is computed together.

    `newest` are the keys and values that the last layer wrote, `attended` counts its layers.
    """

    slabs: Slabs
    index: torch.Tensor
    groups: Sequence[Group]
    chunks: Sequence[Chunk]
    dtype: torch.dtype
    heads: int
    checked: bool = True
    layer: int = -1
    attended: int = 0
    newest: tuple[torch.Tensor, torch.Tensor] | None = None
    _parts: dict[int | None, list[Part]] = field(default_factory=dict)

    def write(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Keep keys and values of shape [1, heads, tokens, size] in the slots."""
        self.slabs.keys[layer].flat.index_copy_(1, self.index, keys[0])
        self.slabs.values[layer].flat.index_copy_(1, self.index, values[0])

    def parts(self, window: int | None) -> list[Part]:
        """The calls of attention of a layer; the same for all layers with the same window."""
        found = self._parts.get(window)
        if found is None:
            found = [self._group(group, window) for group in self.groups]
            for chunk in self.chunks:
                found += self._chunk(chunk, window)
            self._parts[window] = found
        return found

    def _group(self, group: Group, window: int | None) -> Part:
        lengths, high = group.lengths, max(group.lengths)
        low = max(0, min(lengths) - window) if window else 0
        mask = None
        if min(lengths) < high:
            ends = torch.tensor(lengths, device=self.index.device)[:, None]
            places = torch.arange(low, high, device=self.index.device)
            hidden = places >= ends
            if window:
                hidden |= places < ends - window
            mask = self._mask(hidden)[:, None, None]
        return Part(group.first, group.last, group.slot, len(lengths), low, high, mask)

    def _chunk(self, chunk: Chunk, window: int | None) -> Iterator[Part]:
        size = chunk.last - chunk.first
        fits = size * size * self.heads <= SCORES and (window is None or size <= window)
        if chunk.start == 0 and fits:
            yield Part(chunk.first, chunk.last, chunk.slot, 1, 0, size, None, causal=True)
            return
        rows = max(1, SCORES // ((chunk.start + size) * self.heads))
        for first in range(0, size, rows):
            count = min(rows, size - first)
            start, high = chunk.start + first, chunk.start + first + count
            low = max(0, start + 1 - window) if window else 0
            places = torch.arange(low, high, device=self.index.device)
            own = torch.arange(start, high, device=self.index.device)[:, None]
            hidden = places > own
            if window:
                hidden |= places <= own - window
            mask = self._mask(hidden) if count > 1 else None
            place = chunk.first + first
            yield Part(place, place + count, chunk.slot, 1, low, high, mask)

    def _mask(self, hidden: torch.Tensor) -> torch.Tensor:
        mask = torch.zeros(hidden.shape, dtype=self.dtype, device=hidden.device)
        return mask.masked_fill_(hidden, float("-inf"))
