"""Attention over one row of several texts, each of which attends to itself alone.

Registered with transformers under a name of its own, so that its models call it; where the texts
lie comes with each call. Without padding no number is computed in vain (the idea of "effective
transformers" and of FlashAttention's variable-length interface).
"""

from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

NAME = "lepton_packed"
"""What `attn_implementation` has to be for a model to call this attention."""


@dataclass(frozen=True)
class Run:
    """Neighbours of one length: `texts` of `length` tokens each, from row position `start` on."""

    start: int
    texts: int
    length: int

    def of(self, tensor: torch.Tensor) -> torch.Tensor:
        """[1, heads, row, width] -> [texts, heads, length, width], not copied."""
        part = tensor[0, :, self.start : self.start + self.texts * self.length]
        return part.view(len(part), self.texts, self.length, -1).transpose(0, 1)


class Segments:
    """Where the texts lie in a row, by their lengths; made for one forward."""

    def __init__(self, lengths: tuple[int, ...]) -> None:
        self.lengths = lengths
        self.runs: list[Run] = []
        start = 0
        for length, same in groupby(lengths):
            texts = len(list(same))
            self.runs.append(Run(start, texts, length))
            start += texts * length
        self._starts: torch.Tensor | None = None
        self._windows: dict[tuple[int, int, bool], torch.Tensor] = {}

    def starts(self, device: torch.device) -> torch.Tensor:
        """Where each text begins, and where the last one ends: int32; kept for all layers."""
        if self._starts is None:
            places = [0, *accumulate(self.lengths)]
            self._starts = torch.tensor(places, dtype=torch.int32, device=device)
        return self._starts

    def window(self, length: int, size: int, causal: bool, device: torch.device) -> torch.Tensor:
        """Which tokens see which where only near ones do, [length, length]; kept for all layers."""
        key = (length, size, causal)
        if key not in self._windows:
            places = torch.arange(length, device=device)
            distance = places[:, None] - places[None, :]
            seen = distance.abs() < size
            self._windows[key] = seen & (distance >= 0) if causal else seen
        return self._windows[key]


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    segments: Segments,
    scaling: float | None = None,
    is_causal: bool | None = None,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """States [1, heads, row, width] of a row -> what they attend to, [1, row, heads, width].

    Raises NotImplementedError for terms that other models add to their scores.
    """
    for name in ("position_bias", "softcap", "s_aux"):
        if others.get(name) is not None:
            raise NotImplementedError(f"packed attention has no {name}")
    causal = bool(getattr(module, "is_causal", True) if is_causal is None else is_causal)
    if query.is_cuda:
        return _on_cuda(query, key, value, segments, scaling, causal, sliding_window), None
    parts = []
    for run in segments.runs:
        mask = None
        if sliding_window is not None and run.length > sliding_window:
            mask = segments.window(run.length, sliding_window, causal, query.device)
        part = scaled_dot_product_attention(
            run.of(query),
            run.of(key),
            run.of(value),
            attn_mask=mask,
            is_causal=causal and mask is None,
            scale=scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        parts.append(part.transpose(1, 2).flatten(0, 1))
    return torch.cat(parts).unsqueeze(0), None


def _on_cuda(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    segments: Segments,
    scaling: float | None,
    causal: bool,
    window: int | None,
) -> torch.Tensor:
    from lepton_worker.backends.native.attention_varlen import reach_of, varlen_rows

    starts, reach = segments.starts(query.device), reach_of(causal, window)
    return varlen_rows(query, key, value, segments.lengths, starts, scaling, reach)


def no_mask(*_: Any, **__: Any) -> None:
    """A row needs no mask of row x row: each text is cut out before the scores are computed."""


def register() -> None:
    """Make the attention known to transformers; again is no error."""
    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, no_mask)
