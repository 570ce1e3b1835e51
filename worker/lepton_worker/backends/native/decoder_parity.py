"""Whether a model gives the same numbers on slots as by its own forward."""

import logging
from typing import Any

import torch

from lepton_worker.backends.base import DecoderSequence
from lepton_worker.backends.native.packed import PackedForward, Work
from lepton_worker.backends.native.prefix import Slot
from lepton_worker.backends.native.slots import Slabs, layer_shapes
from lepton_worker.backends.transformers.loading import Loaded
from lepton_worker.request import Sampling, Tokens

log = logging.getLogger(__name__)

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""How far logits may differ, relative to the largest one."""
LENGTHS = (23, 5, 40)
CHUNKS = (23, 5, 9)
DECODED = 2
"""Three prompts, how many of their tokens a step computes, and how many single tokens follow."""


def check(loaded: Loaded) -> str | None:
    """None when slots give this model's logits, otherwise why they do not.

    Three prompts run side by side, one of them in chunks, then some tokens one by one; every logit
    is held against the module's own forward of the whole text. Slow for large models: three
    forwards of some 70 tokens.
    """
    config = loaded.module.config
    if config.is_encoder_decoder:
        return "it is an encoder and a decoder, whose state is more than one cache"
    text = config.get_text_config(decoder=True)
    if loaded.facts.max_length > _steady(text):
        return "its positions depend on the length of the longest text beside them"
    try:
        return _compare(loaded)
    except Exception as error:
        log.debug("no slots for this model", exc_info=error)
        return f"{type(error).__name__}: {error}"


def _steady(text: Any) -> float:
    """Up to which length a token's rotation depends on its own position alone.

    Rotations of type `dynamic` and `longrope` change for all tokens of a forward when one of them
    is further than what the model was first trained on.
    """
    said = getattr(text, "rope_parameters", None) or {}
    kinds = [said, *(item for item in said.values() if isinstance(item, dict))]
    lengths = [
        kind.get("original_max_position_embeddings") or text.max_position_embeddings
        for kind in kinds
        if kind.get("rope_type") in ("dynamic", "longrope")
    ]
    return min(lengths, default=float("inf"))


def _compare(loaded: Loaded) -> str | None:
    module, dtype = loaded.module, loaded.module.dtype
    tokens = min(max(LENGTHS) + DECODED, loaded.facts.max_length)
    numbers = torch.Generator().manual_seed(0)
    texts = [
        torch.randint(
            loaded.facts.vocabulary, (min(length + DECODED, tokens),), generator=numbers
        ).tolist()
        for length in LENGTHS
    ]
    with torch.inference_mode():
        own = [
            module(input_ids=torch.tensor([ids], device=module.device), use_cache=False)
            .logits[0]
            .float()
            for ids in texts
        ]
    slabs = Slabs(layer_shapes(module), len(texts), tokens, dtype, module.device)
    forward = PackedForward(module, slabs)
    try:
        found = _on_slots(forward, texts)
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
    return f"its logits on slots differ from its own, relative to the largest one, by {listed}"


def _on_slots(forward: PackedForward, texts: list[list[int]]) -> list[torch.Tensor]:
    """The logits [tokens, vocabulary] of each text, by steps of chunks and single tokens."""
    found: list[list[torch.Tensor]] = [[] for _ in texts]
    slots = [Slot(index) for index in range(len(texts))]
    while True:
        works = []
        for place, (ids, slot, chunk) in enumerate(zip(texts, slots, CHUNKS, strict=True)):
            left = len(ids) - slot.known
            count = min(chunk, left - DECODED) if left > DECODED else min(left, 1)
            if count:
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
