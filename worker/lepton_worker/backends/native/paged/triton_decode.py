"""A kernel of ours for CUDA where torch's attention knows no pages: decode steps through Triton.

One program for each text and head of keys walks over the text's tokens, block by block, for all
queries that share the head, with a running maximum and sum (online softmax: Milakov and Gimelshein,
2018, arXiv 1805.02867; FlashAttention: Dao et al., 2022, arXiv 2205.14135). Any size of page, any
float type, windows. Long texts are not split among programs: with few texts a device is not full.
Pieces of prompts are read by `attention.gathered`, which copies their pages together.
"""

import functools
from typing import Any

import torch
import triton
import triton.language as tl

from lepton_worker.backends.native.paged.attention import Rows, gathered

PAGE = 64
"""Tokens of a page: few enough to waste little, enough to be read in one piece."""
BLOCK = 64
"""Tokens that a program looks at together."""
EVERYTHING = 1 << 30
"""A window beyond any text."""


def _attend(  # type: ignore[no-untyped-def]
    query,
    keys,
    values,
    seen,
    table,
    output,
    sums,
    scale,
    window,
    shared,
    query_row,
    query_head,
    key_page,
    key_token,
    key_head,
    value_page,
    value_token,
    value_head,
    table_row,
    output_row,
    output_head,
    sums_head,
    PAGE_TOKENS: tl.constexpr,  # noqa: N803
    TOKENS: tl.constexpr,  # noqa: N803
    QUERIES: tl.constexpr,  # noqa: N803
    KEY: tl.constexpr,  # noqa: N803
    KEY_WIDE: tl.constexpr,  # noqa: N803
    VALUE: tl.constexpr,  # noqa: N803
    VALUE_WIDE: tl.constexpr,  # noqa: N803
):
    text, kept = tl.program_id(0), tl.program_id(1)
    length = tl.load(seen + text)
    low = tl.maximum(length - window, 0)
    member = tl.arange(0, QUERIES)
    column, number = tl.arange(0, KEY_WIDE), tl.arange(0, VALUE_WIDE)
    own = (member < shared)[:, None]
    head = (kept * shared + member)[:, None]
    asked = tl.load(
        query + text * query_row + head * query_head + column[None, :],
        mask=own & (column < KEY)[None, :],
        other=0.0,
    )
    most = tl.full([QUERIES], float("-inf"), tl.float32)
    total = tl.zeros([QUERIES], tl.float32)
    found = tl.zeros([QUERIES, VALUE_WIDE], tl.float32)
    for start in range(low // TOKENS * TOKENS, length, TOKENS):
        place = start + tl.arange(0, TOKENS)
        there = (place >= low) & (place < length)
        page = tl.load(table + text * table_row + place // PAGE_TOKENS, mask=there, other=0)
        page = page.to(tl.int64)
        offset = place % PAGE_TOKENS
        key = tl.load(
            keys
            + (page * key_page + offset * key_token + kept * key_head)[None, :]
            + column[:, None],
            mask=there[None, :] & (column < KEY)[:, None],
            other=0.0,
        )
        scores = tl.dot(asked, key, input_precision="ieee") * scale
        scores = tl.where(there[None, :], scores, float("-inf"))
        higher = tl.maximum(most, tl.max(scores, 1))
        weights = tl.exp(scores - higher[:, None])
        fade = tl.exp(most - higher)
        total = total * fade + tl.sum(weights, 1)
        value = tl.load(
            values
            + (page * value_page + offset * value_token + kept * value_head)[:, None]
            + number[None, :],
            mask=there[:, None] & (number < VALUE)[None, :],
            other=0.0,
        )
        weighed = tl.dot(weights.to(value.dtype), value, input_precision="ieee")
        found = found * fade[:, None] + weighed
        most = higher
    tl.store(
        output + text * output_row + head * output_head + number[None, :],
        (found / total[:, None]).to(output.dtype.element_ty),
        mask=own & (number < VALUE)[None, :],
    )
    tl.store(
        sums + (kept * shared + member) * sums_head + text, most + tl.log(total), member < shared
    )


@functools.cache
def _compiled() -> Any:
    """The kernel, made when it is first asked for: Triton looks at its environment then.

    What changes from step to step is not compiled in, or a step would wait for the compiler.
    """
    return triton.jit(_attend, do_not_specialize=["window", "table_row", "sums_head"])


def triton_decode(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    rows: Rows,
    scale: float,
    window: int | None,
    sums: bool,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """See `attention.Kernel`."""
    if rows.most > 1:
        return gathered(query, keys, values, rows, scale, window, sums)
    texts, heads, key = query.shape
    page, kept, value = values.shape[1:]
    output = query.new_empty((texts, heads, value))
    logarithms = torch.empty((heads, texts), dtype=torch.float32, device=query.device)
    _compiled()[(texts, kept)](
        query,
        keys,
        values,
        rows.seen,
        rows.table,
        output,
        logarithms,
        scale,
        EVERYTHING if window is None else window,
        heads // kept,
        *query.stride()[:2],
        *keys.stride()[:3],
        *values.stride()[:3],
        rows.table.stride(0),
        *output.stride()[:2],
        logarithms.stride(0),
        PAGE_TOKENS=page,
        TOKENS=BLOCK,
        QUERIES=max(16, triton.next_power_of_2(heads // kept)),
        KEY=key,
        KEY_WIDE=max(16, triton.next_power_of_2(key)),
        VALUE=value,
        VALUE_WIDE=max(16, triton.next_power_of_2(value)),
    )
    return output, logarithms if sums else None
