"""Tiny decoders whose texts are in pages."""

import functools
from typing import Any

from transformers import GemmaConfig, Qwen2Config

from lepton_testing.slot_decoders import CONFIGS, SHAPE, Greedy, build, loaded
from lepton_worker.backends.native.paged.decoder import PagedDecoder, Paging

PAGE = 8
"""So short that texts of a test have many pages."""
PAGED: dict[str, Any] = {
    **{name: CONFIGS[name] for name in ("llama", "mistral", "gpt-oss", "gpt2")},
    "qwen2": lambda: Qwen2Config(**SHAPE),
    "gemma": lambda: GemmaConfig(**SHAPE, head_dim=8),
}
"""Families that differ in what attention has to do: heads, windows, sinks, positions."""


@functools.cache
def stock(name: str) -> Any:
    """A model that nobody changes."""
    return build(PAGED[name]())


def paged(
    name: str, slots: int = 4, cache_tokens: int = 0, page: int = PAGE, **others: Any
) -> PagedDecoder:
    """A decoder over a model of its own, whose weights are those of `stock`."""
    module = build(PAGED[name]())
    return PagedDecoder(loaded(module), slots, cache_tokens, Greedy(), Paging(page), **others)
