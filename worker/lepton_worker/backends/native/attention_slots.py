"""Attention over slots: what transformers' modules call in place of their own attention.

A step is one packed row of tokens of many texts. The cache writes their keys and values into the
slots; attention then reads the slots: rows of single tokens in groups of neighbouring slots, with
the queries that share a key folded into rows, and chunks of a prompt one by one. Neither keys nor
values are copied or repeated.
"""

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

from lepton_worker.backends.native.parts import Part
from lepton_worker.backends.native.stepping import current, seen, window_alone

NAME = "lepton_slots"


def slots_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    sliding_window: int | None = None,
    position_bias: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Queries [1, heads, tokens, size] over the slots of the running step.

    Returns [1, tokens, heads, size]. `softcap` bounds scores by a tanh, `s_aux` are scores of a
    sink that takes weight and gives nothing, one for each head.
    """
    step = current(position_bias)
    window = seen(attention_mask, sliding_window)
    keys, values = step.slabs.keys[step.layer].whole, step.slabs.values[step.layer].whole
    step.layer = -1
    heads, kept, size = query.shape[1], keys.shape[0], query.shape[3]
    scale = size**-0.5 if scaling is None else scaling
    rows = query[0].transpose(0, 1).view(-1, kept, heads // kept, size)
    plain = softcap is None and s_aux is None
    outputs = []
    for part in step.parts(window):
        folded, seen_keys, seen_values, mask = _views(rows, keys, values, part)
        if plain:
            output = scaled_dot_product_attention(
                folded, seen_keys, seen_values, attn_mask=mask, is_causal=part.causal, scale=scale
            )
        else:
            sinks = None if s_aux is None else s_aux.view(kept, heads // kept)
            output = _spelled_out(folded, seen_keys, seen_values, part, scale, softcap, sinks)
        # Of single tokens [slots, kept, shared, size], of a chunk [kept, shared, tokens, size].
        output = output if _single(part) else output.permute(2, 0, 1, 3)
        outputs.append(output.reshape(part.last - part.first, heads, -1))
    whole = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
    return whole[None], None


def _single(part: Part) -> bool:
    return part.slots == part.last - part.first


def _views(
    rows: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, part: Part
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Queries, keys and values of a part, four dimensions each, and its mask."""
    folded = rows[part.first : part.last]
    if _single(part):
        return folded, _several(keys, part), _several(values, part), part.mask
    folded = folded.permute(1, 2, 0, 3)
    shared = folded.shape[1]
    return folded, _one(keys, part, shared), _one(values, part, shared), part.mask


def _several(slab: torch.Tensor, part: Part) -> torch.Tensor:
    """[slots, heads, tokens, size]"""
    by_head, by_slot, by_token, _ = slab.stride()
    return slab.as_strided(
        (part.slots, slab.shape[0], part.high - part.low, slab.shape[3]),
        (by_slot, by_head, by_token, 1),
        part.slot * by_slot + part.low * by_token,
    )


def _one(slab: torch.Tensor, part: Part, shared: int) -> torch.Tensor:
    """[heads, shared, tokens, size], the same memory for all that share a head"""
    by_head, by_slot, by_token, _ = slab.stride()
    return slab.as_strided(
        (slab.shape[0], shared, part.high - part.low, slab.shape[3]),
        (by_head, 0, by_token, 1),
        part.slot * by_slot + part.low * by_token,
    )


def _spelled_out(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    part: Part,
    scale: float,
    softcap: float | None,
    sinks: torch.Tensor | None,
) -> torch.Tensor:
    """Attention with the two additions that torch's own does not know."""
    scores = torch.matmul(query, key.transpose(2, 3)) * scale
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if part.causal:
        own = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device)
        scores = scores.masked_fill(own.triu(1), float("-inf"))
    elif part.mask is not None:
        scores = scores + part.mask
    if sinks is not None:
        column = sinks[None, :, :, None] if _single(part) else sinks[:, :, None, None]
        column = column.to(scores.dtype).expand(*scores.shape[:-1], 1)
        scores = torch.cat([scores, column], dim=-1)
    weights = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
    return torch.matmul(weights[..., : key.shape[2]], value)


AttentionInterface.register(NAME, slots_attention)
AttentionMaskInterface.register(NAME, window_alone)
