"""Packed rows on CUDA: torch's variable-length attention, one call for all texts of a row.

Takes float16 and bfloat16. Never ran on a GPU: the trial at the load decides, as on a CPU.
"""

import torch
from torch.nn.attention.varlen import varlen_attn


def varlen_rows(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    lengths: tuple[int, ...],
    starts: torch.Tensor,
    scale: float | None,
    reach: tuple[int, int],
) -> torch.Tensor:
    """States [1, heads, row, width] -> what they attend to, [1, row, heads, width].

    `starts` are the texts' first places in the row and its end, int32; `reach` says how many tokens
    before and behind its own each sees, -1 for all.
    """
    longest = max(lengths)
    asked, keys, values = (part[0].transpose(0, 1).contiguous() for part in (query, key, value))
    found = varlen_attn(
        asked,
        keys,
        values,
        starts,
        starts,
        longest,
        longest,
        scale=scale,
        window_size=reach,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    assert isinstance(found, torch.Tensor)
    return found[None]


def reach_of(causal: bool, window: int | None) -> tuple[int, int]:
    """A window counts the token itself, `varlen_attn` does not."""
    before = -1 if window is None else window - 1
    return before, 0 if causal else before
