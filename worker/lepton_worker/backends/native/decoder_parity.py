"""Whether a model gives the same numbers in packed steps as by its own forward."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from lepton_worker.backends.base import DecoderSequence
from lepton_worker.backends.native.leading import leading
from lepton_worker.backends.native.packed import PackedForward, Work
from lepton_worker.backends.native.slots import LayerShape, layer_shapes
from lepton_worker.backends.native.store import SlotStore, Store
from lepton_worker.backends.transformers.loading import Loaded
from lepton_worker.backends.transformers.rotations import steady
from lepton_worker.request import Sampling, Tokens

log = logging.getLogger(__name__)

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""How far logits may differ, relative to the largest one."""
DECODED = 2
"""How many single tokens follow the prompts of a trial."""


@dataclass(frozen=True)
class Trial:
    """Prompts that run side by side: their lengths, and how many tokens of each a step computes."""

    lengths: tuple[int, ...] = (23, 5, 40)
    chunks: tuple[int, ...] = (23, 5, 9)


Opened: TypeAlias = Callable[[Any, list[LayerShape], int, int], Store]
"""A store for layers of a module and so many texts of so many tokens."""


def slots(module: Any, shapes: list[LayerShape], texts: int, tokens: int) -> Store:
    """Slots for a trial."""
    return SlotStore.of_size(module, shapes, texts, tokens)


def check(loaded: Loaded, opened: Opened = slots, trial: Trial = Trial()) -> str | None:
    """None when a store, slots by default, gives this model's logits, otherwise why it does not.

    The prompts of a trial run side by side, one of them in chunks, then some tokens one by one;
    every logit is held against the module's own forward of the whole text. The first layers alone
    compute, as many as hold each kind of layer: others of a kind differ by their weights, and the
    head reads any states. By default that takes two forwards of some 70 tokens.
    """
    config = loaded.module.config
    if config.is_encoder_decoder:
        return "it is an encoder and a decoder, whose state is more than one cache"
    if loaded.facts.max_length > steady(loaded.module):
        return "its positions depend on the length of the longest text beside them"
    try:
        # All layers have to keep keys and values, also those behind.
        shapes = layer_shapes(loaded.module)
        with leading(loaded.module) as count:
            return _compare(loaded, shapes[:count], opened, trial)
    except Exception as error:
        log.debug("no packed steps for this model", exc_info=error)
        return f"{type(error).__name__}: {error}"


def _compare(loaded: Loaded, shapes: list[LayerShape], opened: Opened, trial: Trial) -> str | None:
    module, dtype = loaded.module, loaded.module.dtype
    tokens = min(max(trial.lengths) + DECODED, loaded.facts.max_length)
    numbers = torch.Generator().manual_seed(0)
    texts = [
        torch.randint(
            loaded.facts.vocabulary, (min(length + DECODED, tokens),), generator=numbers
        ).tolist()
        for length in trial.lengths
    ]
    with torch.inference_mode():
        own = [
            module(input_ids=torch.tensor([ids], device=module.device), use_cache=False)
            .logits[0]
            .float()
            for ids in texts
        ]
    store = opened(module, shapes, len(texts), tokens)
    forward = PackedForward(module, store)
    try:
        found = _in_steps(forward, store, texts, trial.chunks)
    finally:
        forward.close()
    errors = [
        float((ours - theirs).abs().max() / theirs.abs().max())
        for ours, theirs in zip(found, own, strict=True)
    ]
    # Not by the largest: max() may pass over what is not a number.
    if all(error <= TOLERANCE.get(dtype, 0.0) for error in errors):
        return None
    listed = ", ".join(f"{error:.1e}" for error in errors)
    return f"its logits in steps differ from its own, relative to the largest one, by {listed}"


def _in_steps(
    forward: PackedForward, store: Store, texts: list[list[int]], chunks: tuple[int, ...]
) -> list[torch.Tensor]:
    """The logits [tokens, vocabulary] of each text, by steps of chunks and single tokens."""
    found: list[list[torch.Tensor]] = [[] for _ in texts]
    places = [store.begin(owner, ids, "", 0) for owner, ids in enumerate(texts)]
    while True:
        works = []
        for place, (ids, slot, chunk) in enumerate(zip(texts, places, chunks, strict=True)):
            left = len(ids) - slot.known
            count = min(chunk, left - DECODED) if left > DECODED else min(left, 1)
            if count:
                store.grow(slot, slot.known + count)
                sequence = DecoderSequence(Tokens(tuple(ids)), Sampling(1))
                works.append(Work(place, sequence, slot, slot.known, count, count))
        if not works:
            return [torch.cat(rows) for rows in found]
        works.sort(key=lambda work: (work.count > 1, work.slot.index))
        logits, _ = forward.run(works)
        first = 0
        for work in works:
            found[work.place].append(logits[first : first + work.rows])
            first += work.rows
