"""Decoder forwards: one sequence at a time, each with a cache of its own."""

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from lepton_worker.backends.base import DecoderSequence
from lepton_worker.backends.transformers.loading import Loaded
from lepton_worker.errors import TaskNotSupported


@dataclass
class State:
    """The cache of a sequence, which has seen the first `known` of its tokens so far."""

    cache: DynamicCache
    known: int = 0


class Decoder:
    """Step by step, with exactly the arithmetic of transformers' own `generate` on one prompt."""

    def __init__(self, loaded: Loaded) -> None:
        self._module = loaded.module
        self._states: dict[DecoderSequence, State] = {}
        accepted = inspect.signature(self._module.forward).parameters
        if "past_key_values" not in accepted:
            raise TaskNotSupported(
                f"{type(self._module).__name__} keeps its state in another way than a cache of "
                "keys and values; such models are not offered"
            )
        self._keeps_one = "logits_to_keep" in accepted

    def begin(self, sequence: DecoderSequence) -> None:
        """An empty cache."""
        config = self._module.config.get_text_config(decoder=True)
        self._states[sequence] = State(DynamicCache(config=config))

    def forward(self, sequence: DecoderSequence, count: int, every: bool = False) -> torch.Tensor:
        """Logits behind the next `count` tokens, float32, shape [count or 1, vocabulary].

        Only behind the last one, unless `every`.
        """
        state = self._states[sequence]
        device = self._module.device
        ids = torch.tensor([sequence.ids[state.known : state.known + count]], device=device)
        arguments: dict[str, Any] = {
            "input_ids": ids,
            "attention_mask": torch.ones((1, state.known + count), dtype=torch.long, device=device),
            "past_key_values": state.cache,
            "use_cache": True,
        }
        if self._keeps_one:
            arguments["logits_to_keep"] = 0 if every else 1
        with torch.inference_mode():
            logits: torch.Tensor = self._module(**arguments).logits
            state.known += count
            return (logits[0] if every else logits[0, -1:]).float()

    def known(self, sequence: DecoderSequence) -> int:
        """How many tokens of the sequence have state."""
        return self._states[sequence].known

    def release(self, sequence: DecoderSequence) -> None:
        """Drop the cache."""
        self._states.pop(sequence, None)
