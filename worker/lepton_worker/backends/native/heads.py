"""From the states of a packed row to what each of its texts is answered."""

import copy
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions

from lepton_worker.backends.native.attention_packed import Segments
from lepton_worker.backends.transformers.encoder import logits_of
from lepton_worker.backends.transformers.pooling import pool

Announce = Callable[[Sequence[int]], None]
"""Told before a module of the model runs: how many of its rows are of each text, in their order."""


class Head(Protocol):
    """What comes after the base model."""

    def __call__(
        self, states: torch.Tensor, segments: Segments, announce: Announce
    ) -> list[torch.Tensor]:
        """States [1, row, width] -> one answer for each text, in the order of the row."""


class PooledStates:
    """No head: the states of a text become one vector."""

    def __init__(self, modes: tuple[str, ...]) -> None:
        self._modes = modes

    def __call__(
        self, states: torch.Tensor, segments: Segments, announce: Announce
    ) -> list[torch.Tensor]:
        """Vectors [numbers] in float32."""
        vectors: list[torch.Tensor] = []
        for run in segments.runs:
            texts = run.of(states[:, None])[:, 0]
            mask = torch.ones(texts.shape[:2], dtype=torch.long, device=states.device)
            vectors.extend(pool(texts, mask, self._modes))
        return vectors


class TokenHead:
    """Looks at each token by itself: the whole row goes through at once."""

    def __init__(self, module: Any) -> None:
        self._module = without_base(module)

    def __call__(
        self, states: torch.Tensor, segments: Segments, announce: Announce
    ) -> list[torch.Tensor]:
        """Logits [tokens, numbers]."""
        announce(segments.lengths)
        logits = logits_of(self._module(inputs_embeds=states))[0]
        return list(torch.split(logits, list(segments.lengths)))


class FirstTokenHead:
    """Looks at the first token of a text alone, as most classifiers do."""

    def __init__(self, module: Any) -> None:
        self._module = without_base(module)

    def __call__(
        self, states: torch.Tensor, segments: Segments, announce: Announce
    ) -> list[torch.Tensor]:
        """Logits [numbers]."""
        announce([1] * len(segments.lengths))
        lengths = torch.tensor(segments.lengths, device=states.device)
        firsts = states[0, lengths.cumsum(0) - lengths]
        return list(self._module(inputs_embeds=firsts[:, None]).logits)


class WholeTextHead:
    """May look at any token of a text: each text goes through by itself."""

    def __init__(self, module: Any) -> None:
        self._module = without_base(module)

    def __call__(
        self, states: torch.Tensor, segments: Segments, announce: Announce
    ) -> list[torch.Tensor]:
        """Logits [numbers]."""
        answers = []
        for index, text in enumerate(torch.split(states[0], list(segments.lengths))):
            rows = [0] * len(segments.lengths)
            rows[index] = len(text)
            announce(rows)
            answers.append(self._module(inputs_embeds=text[None]).logits[0])
        return answers


class GivenStates(torch.nn.Module):
    """Stands in for the base model in front of a head: its answer is what comes as embeddings."""

    def __init__(self, base: Any) -> None:
        super().__init__()
        self._pooler = getattr(base, "pooler", None)
        self._activation = getattr(base, "pooler_activation", None)

    def forward(self, *_: Any, inputs_embeds: torch.Tensor, **__: Any) -> Any:
        """States [texts, tokens, width], with the pooler's result where the base has one."""
        pooled = None
        if self._activation is not None and self._pooler is not None:  # ALBERT
            pooled = self._activation(self._pooler(inputs_embeds[:, 0]))
        elif self._pooler is not None:
            pooled = self._pooler(inputs_embeds)
        return BaseModelOutputWithPoolingAndCrossAttentions(
            last_hidden_state=inputs_embeds, pooler_output=pooled
        )


def without_base(module: Any) -> Any:
    """The model's own head: its module with the same parts, but for the base.

    Parts that are replaced in the module later stay as they are here.
    """
    head = copy.copy(module)
    parts = dict(module._modules)
    parts[module.base_model_prefix] = GivenStates(module.base_model)
    head.__dict__["_modules"] = parts
    return head
