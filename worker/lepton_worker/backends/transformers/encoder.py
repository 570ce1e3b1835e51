"""Encoder forwards: padded batches, logits or pooled states."""

from collections.abc import Sequence
from typing import Any

import torch

from lepton_worker.backends.transformers.loading import Loaded, trial_text
from lepton_worker.backends.transformers.pooling import pool
from lepton_worker.model import Pooling
from lepton_worker.request import Task, Tokens


class Encoder:
    """Turns inputs into one row each: logits of the head, or states pooled as `pooling` says.

    Heads on tokens give [tokens, numbers] with those of the padding behind them.
    """

    def __init__(self, loaded: Loaded, pooling: Pooling | None) -> None:
        self._module = loaded.module
        self._pooling = pooling
        padding = loaded.padding
        self._padding = 0 if padding is None else padding
        # Heads for texts on decoders find the last token by the padding one; without it they take
        # one input.
        self._alone = padding is None and loaded.facts.task is Task.CLASSIFY

    @property
    def trial(self) -> Tokens:
        """A text for trials."""
        return trial_text(self._module, 2)

    def forward(self, inputs: Sequence[Tokens]) -> torch.Tensor:
        """Rows in the order of the inputs, in the model's dtype, on its device."""
        with torch.inference_mode():
            if self._alone:
                return torch.cat([self._padded([tokens]) for tokens in inputs])
            return self._padded(inputs)

    def _padded(self, inputs: Sequence[Tokens]) -> torch.Tensor:
        device = self._module.device
        longest = max(map(len, inputs))
        mask = torch.zeros((len(inputs), longest), dtype=torch.long)
        ids = torch.full_like(mask, self._padding)
        types = torch.zeros_like(mask)
        for row, tokens in enumerate(inputs):
            mask[row, : len(tokens)] = 1
            ids[row, : len(tokens)] = torch.tensor(tokens.ids)
            if tokens.types is not None:
                types[row, : len(tokens)] = torch.tensor(tokens.types)
        arguments: dict[str, Any] = {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
        if inputs[0].types is not None:
            arguments["token_type_ids"] = types.to(device)
        output = self._module(**arguments)
        if self._pooling is None:
            return logits_of(output)
        return pool(output.last_hidden_state, arguments["attention_mask"], self._pooling.modes)


def logits_of(output: Any) -> torch.Tensor:
    """Logits of a model's output; starts and ends of answers side by side, [..., tokens, 2]."""
    if "start_logits" in output:
        return torch.stack([output.start_logits, output.end_logits], dim=-1)
    logits: torch.Tensor = output.logits
    return logits
