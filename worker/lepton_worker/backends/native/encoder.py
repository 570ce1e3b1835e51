"""Encoders over a row of texts without padding, through the modules of transformers."""

import inspect
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch

from lepton_worker.backends.native.attention_packed import NAME, Segments, register
from lepton_worker.backends.native.grouped import GroupedEncoder
from lepton_worker.backends.native.grouping import by_budget
from lepton_worker.backends.native.heads import (
    FirstTokenHead,
    Head,
    PooledStates,
    TokenHead,
    WholeTextHead,
)
from lepton_worker.backends.transformers.loading import Loaded
from lepton_worker.model import Pooling
from lepton_worker.request import Task, Tokens


class CannotPack(Exception):
    """The model cannot run over packed rows; the text says why."""


class PackedEncoder(GroupedEncoder):
    """Runs all inputs of a group as one row [1, tokens]; linear layers see no padding.

    From its making until `restore`, the module computes attention by packed rows alone. Whether
    the numbers are right depends on the model: `choose_encoder` finds out. `whole_texts` gives a
    classifier all tokens of a text in place of the first one.
    """

    def __init__(
        self,
        loaded: Loaded,
        pooling: Pooling | None,
        budget: int = 0,
        whole_texts: bool = False,
    ) -> None:
        super().__init__(loaded, budget)
        self._module = loaded.module
        self._base = loaded.module if pooling is not None else loaded.module.base_model
        self._head = _head(loaded, pooling, whole_texts)
        self._padding = counted_from(self._base)
        self._fixed = {"use_cache": False} if "use_cache" in parameters(self._base) else {}
        self._before = self._module.config._attn_implementation
        register()
        self._module.set_attn_implementation(NAME)
        if self._base.config._attn_implementation != NAME:
            raise CannotPack(f"{model_name(loaded)} computes attention in its own way")

    def restore(self) -> None:
        """Give the module back its own attention."""
        self._module.set_attn_implementation(self._before)

    def groups(self, lengths: Sequence[int], adapters: Sequence[str]) -> list[list[int]]:
        """Inputs by length, so that neighbours of the same length share a call of attention."""
        return by_budget(lengths, self.budget)

    def compute(self, inputs: Sequence[Tokens], adapters: Sequence[str]) -> list[torch.Tensor]:
        """One forward over one row."""
        segments = Segments(tuple(map(len, inputs)))

        def announce(rows: Sequence[int]) -> None:
            if self.begin_segments is not None:
                self.begin_segments(
                    [(name, count) for name, count in zip(adapters, rows, strict=True) if count]
                )

        with torch.inference_mode():
            announce(segments.lengths)
            output = self._base(**self._row(inputs), **self._fixed, segments=segments)
            return self._head(output.last_hidden_state, segments, announce)

    def _row(self, inputs: Sequence[Tokens]) -> dict[str, torch.Tensor]:
        rows = {
            "input_ids": [token for tokens in inputs for token in tokens.ids],
            "position_ids": [
                place for tokens in inputs for place in places(tokens.ids, self._padding)
            ],
        }
        if any(tokens.types is not None for tokens in inputs):
            rows["token_type_ids"] = [
                number for tokens in inputs for number in tokens.types or (0,) * len(tokens)
            ]
        device = self._module.device
        return {name: torch.tensor([row], device=device) for name, row in rows.items()}


def places(ids: Sequence[int], padding: int | None) -> Sequence[int]:
    """Positions of a text's tokens.

    Models of RoBERTa's kind (`padding` given) count from behind the padding token's position, and
    do not count padding tokens within a text.
    """
    if padding is None:
        return range(len(ids))
    if padding not in ids:
        return range(padding + 1, padding + 1 + len(ids))
    counted = accumulate(int(token != padding) for token in ids)
    return [
        padding if token == padding else padding + count
        for token, count in zip(ids, counted, strict=True)
    ]


def counted_from(base: Any) -> int | None:
    """The padding token behind whose position RoBERTa and its kin count; None for others."""
    for name, part in base.named_modules():
        if name.endswith("position_embeddings"):
            padding = getattr(part, "padding_idx", None)
            return None if padding is None else int(padding)
    return None


def parameters(module: Any) -> frozenset[str]:
    """Names of the arguments that a module's forward declares."""
    return frozenset(inspect.signature(module.forward).parameters)


def model_name(loaded: Loaded) -> str:
    """What users call the architecture: DebertaV2 for DebertaV2ForSequenceClassification."""
    return type(loaded.module.base_model).__name__.removesuffix("Model")


def _head(loaded: Loaded, pooling: Pooling | None, whole_texts: bool) -> Head:
    if pooling is not None:
        return PooledStates(pooling.modes)
    if loaded.facts.task in (Task.TAG, Task.ANSWER):
        return TokenHead(loaded.module)
    return WholeTextHead(loaded.module) if whole_texts else FirstTokenHead(loaded.module)
