"""The kernel for CUDA: torch's variable-length attention over pages.

What it asks for was read in torch 2.15: float16 or bfloat16; through FlashAttention pages of a
multiple of 256 tokens; through cuDNN pages of a power of two, and tables exactly as wide as the
longest text may be. Older versions of torch have no tables (2.11 has none).
"""

import inspect

import torch
from torch.nn.attention.varlen import AuxRequest, varlen_attn

from lepton_worker.backends.native.paged.attention import Rows

PAGE = 256
"""Tokens of a page: the fewest that both backends of `varlen_attn` take."""


def available() -> bool:
    """Whether this torch's `varlen_attn` has tables of pages."""
    return "block_table" in inspect.signature(varlen_attn).parameters


def varlen(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    rows: Rows,
    scale: float,
    window: int | None,
    sums: bool,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """See `attention.Kernel`."""
    longest = rows.table.shape[1] * keys.shape[1]
    found = varlen_attn(
        query,
        keys,
        values,
        rows.starts,
        rows.totals,
        rows.most,
        longest,
        scale=scale,
        window_size=reach(rows.most, longest, window),
        enable_gqa=query.shape[1] != keys.shape[2],
        seqused_k=rows.seen,
        block_table=rows.table,
        return_aux=AuxRequest(lse=True) if sums else None,
    )
    return found if isinstance(found, tuple) else (found, None)


def reach(most: int, longest: int, window: int | None) -> tuple[int, int]:
    """How many tokens before and behind its own a row sees, as `varlen_attn` counts them.

    A window counts the row's own token, `varlen_attn` does not. A single row is the last of its
    text and sees all there is: saying no more than that leaves more kernels to choose from.
    """
    if window is not None and window < longest:
        return window - 1, 0
    return (-1, -1) if most == 1 else (-1, 0)
