"""Decoder forwards: one sequence at a time, each with a cache of its own."""

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from lepton_worker.backends.base import DecoderSequence
from lepton_worker.backends.transformers.loading import Loaded
from lepton_worker.backends.transformers.sampler import choose, generator
from lepton_worker.errors import TaskNotSupported


@dataclass
class State:
    """What is kept of a sequence: its cache, which has seen the first `known` of its tokens so far,
    and its random numbers."""

    cache: DynamicCache
    tokens: torch.Tensor
    numbers: torch.Generator
    known: int = 0


class Decoder:
    """Token by token, with exactly the arithmetic of transformers' own `generate` on one prompt."""

    def __init__(self, loaded: Loaded) -> None:
        self._module = loaded.module
        self._adjust = loaded.adjust
        self._states: dict[DecoderSequence, State] = {}
        accepted = inspect.signature(self._module.forward).parameters
        if "past_key_values" not in accepted:
            raise TaskNotSupported(
                f"{type(self._module).__name__} keeps its state in another way than a cache of "
                "keys and values; such models are not offered"
            )
        self._extra = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}

    def next_token(self, sequence: DecoderSequence) -> int:
        """Go one step on; the chosen token is part of the sequence from then on."""
        logits = self.forward(sequence)
        state = self._states[sequence]
        with torch.inference_mode():
            logits = self._adjust(state.tokens, logits, len(sequence.prompt))
            token = choose(logits[0], sequence.sampling, state.numbers)
            chosen = torch.tensor([[token]], device=state.tokens.device)
            state.tokens = torch.cat([state.tokens, chosen], dim=1)
        return token

    def forward(self, sequence: DecoderSequence) -> torch.Tensor:
        """Logits behind the last token, float32, shape [1, vocabulary]."""
        state = self._states.get(sequence)
        if state is None:
            state = self._states[sequence] = self._start(sequence)
        arguments: dict[str, Any] = {
            "input_ids": state.tokens[:, state.known :],
            "attention_mask": torch.ones_like(state.tokens),
            "past_key_values": state.cache,
            "use_cache": True,
            **self._extra,
        }
        with torch.inference_mode():
            logits: torch.Tensor = self._module(**arguments).logits
            state.known = state.tokens.shape[1]
            return logits[:, -1].float()

    def _start(self, sequence: DecoderSequence) -> State:
        config = self._module.config.get_text_config(decoder=True)
        tokens = torch.tensor([sequence.prompt.ids], device=self._module.device)
        return State(DynamicCache(config=config), tokens, generator(sequence.sampling.seed))

    def release(self, sequence: DecoderSequence) -> None:
        """Drop the cache."""
        self._states.pop(sequence, None)
