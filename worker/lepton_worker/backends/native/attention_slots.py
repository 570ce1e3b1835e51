"""Attention over slots: what transformers' modules call in place of their own attention.

A step is one packed row of tokens of many texts. The cache writes their keys and values into the
slots; attention then reads the slots: rows of single tokens in groups of neighbouring slots, with
the queries that share a key folded into rows, and chunks of a prompt one by one. Neither keys nor
values are copied or repeated.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import Cache

from lepton_worker.backends.native.parts import Part, Step
from lepton_worker.backends.native.slots import Slabs

NAME = "lepton_slots"


class Unsupported(Exception):
    """The model asks for an attention that slots do not compute."""


@dataclass(frozen=True)
class Visible:
    """What a layer's tokens see: all before them, or the last `window`, themselves included.

    Stands in for the mask, which modules hand on as it is.
    """

    window: int | None = None


_STEP: ContextVar[Step] = ContextVar("lepton_step")


@contextlib.contextmanager
def running(step: Step) -> Iterator[None]:
    """Make a step the one that attention computes."""
    token = _STEP.set(step)
    try:
        yield
    finally:
        _STEP.reset(token)


class SlotCache(Cache):
    """What modules take for their cache: writes a step's keys and values into the slots."""

    def __init__(self, slabs: Slabs) -> None:
        super().__init__(layers=[])
        self.slabs = slabs
        self.last = len(slabs.keys) - 1
        self.step: Step | None = None

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *_: Any,
        **__: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of shape [1, heads, tokens, size]; returned as they are."""
        step = self.step
        assert step is not None
        self.slabs.keys[layer_idx].flat.index_copy_(1, step.index, key_states[0])
        self.slabs.values[layer_idx].flat.index_copy_(1, step.index, value_states[0])
        step.layer = layer_idx
        if layer_idx == self.last:
            step.newest = (key_states, value_states)
        return key_states, value_states

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Nothing is before the packed row, as far as modules and masks can tell."""
        return 0

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        """As of an empty cache."""
        return query_length, 0


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
    step = _STEP.get()
    if step.layer < 0 or position_bias is not None:
        raise Unsupported("attention has no state of its own, or a bias by position")
    step.attended += 1
    window = attention_mask.window if type(attention_mask) is Visible else sliding_window
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


def slots_mask(
    *,
    local_size: int | None = None,
    mask_function: Callable[..., Any] | None = None,
    device: Any = None,
    **others: Any,
) -> Visible:
    """The window alone: which tokens are there is known to the step."""
    step = _STEP.get()
    if "allow_is_bidirectional_skip" in others:
        raise Unsupported("tokens see those behind them")
    if not step.checked and mask_function is not None:
        _check(mask_function, local_size)
    return Visible(local_size)


def _check(mask_function: Callable[..., Any], window: int | None) -> None:
    """Whether a mask is the causal one, within the window, at the places where others differ."""
    reach = window or 8
    edges = [0, 1, reach - 1, reach, reach + 1, 2 * reach - 1, 2 * reach, 2 * reach + 1]
    zero = torch.zeros((), dtype=torch.long)
    for own in edges:
        for other in edges:
            seen = mask_function(zero, zero, torch.tensor(own), torch.tensor(other))
            if bool(seen) != (other <= own and (window is None or other > own - window)):
                raise Unsupported("tokens see others than those before them, or a window of those")


AttentionInterface.register(NAME, slots_attention)
AttentionMaskInterface.register(NAME, slots_mask)
