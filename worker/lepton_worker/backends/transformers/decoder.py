"""Decoder forwards: one sequence at a time, each with a cache of its own."""

import inspect
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from lepton_worker.backends.base import DecoderSequence
from lepton_worker.backends.transformers.loading import Loaded
from lepton_worker.backends.transformers.rotations import stretch, switch
from lepton_worker.errors import TaskNotSupported

log = logging.getLogger(__name__)

TRIAL, FIRST = 12, 5
"""Tokens of a trial text, and how many of them are computed before the others."""
TOLERANCE = {torch.float16: 2e-2, torch.bfloat16: 5e-2}
EXACT = 1e-4
"""How far logits of a text in two pieces may be off, by the largest of them; in other dtypes."""


@dataclass
class State:
    """The cache of a sequence; `known` tokens count as computed, `fed` are in the cache."""

    cache: DynamicCache
    known: int = 0
    fed: int = 0


class Decoder:
    """Step by step, with exactly the arithmetic of transformers' own `generate` on one prompt.

    Some models take several tokens at once only at the beginning of a text, since they lose their
    state otherwise, or since their positions depend on the length. Their prompts are computed in
    one piece, when the last of their tokens is asked for, and what follows token by token.
    """

    def __init__(self, loaded: Loaded) -> None:
        self._module = loaded.module
        self._states: dict[DecoderSequence, State] = {}
        name = type(self._module).__name__
        accepted = inspect.signature(self._module.forward).parameters
        if "past_key_values" not in accepted:
            raise TaskNotSupported(
                f"{name} keeps its state in another way than a cache of "
                "keys and values; such models are not offered"
            )
        self._keeps_one = "logits_to_keep" in accepted
        stretches = stretch(self._module)
        self._switch = switch(self._module) if stretches else None
        try:
            whole, mixed = self._differences(loaded)
        except Exception as error:
            log.info("%s fails on a trial text", name, exc_info=True)
            what = f"{type(error).__name__}: {error}"
            raise TaskNotSupported(f"{name} fails on a trial text: {what}") from error
        most = TOLERANCE.get(self._module.dtype, EXACT)
        # What is no number at all is found, in words, by the warm-up.
        if mixed > most:
            raise TaskNotSupported(
                f"{name} keeps the state of a text within its modules, where that of another text "
                "takes its place; such models are not offered"
            )
        self.in_one_piece = stretches or whole > most

    def begin(self, sequence: DecoderSequence) -> None:
        """An empty cache."""
        self._states[sequence] = State(self._cache())

    def _cache(self) -> DynamicCache:
        return DynamicCache(config=self._module.config.get_text_config(decoder=True))

    def forward(
        self, sequence: DecoderSequence, count: int, every: bool = False
    ) -> torch.Tensor | None:
        """Logits behind the next `count` tokens, float32, shape [rows, vocabulary].

        One row, behind the last one, or, with `every`, one for each token computed here. None where
        the tokens wait for the rest of their prompt.
        """
        state = self._states[sequence]
        ended = state.known + count
        if self.in_one_piece and ended < len(sequence.ids):
            state.known = ended
            return None
        rows = []
        for start, end in self._pieces(sequence, state, ended):
            if start == 0 and state.fed:
                state.cache = self._cache()
            rows.append(self._computed(sequence.ids[start:end], state.cache, start, every))
            state.fed = end
        state.known = ended
        return torch.cat(rows) if every else rows[-1]

    def _pieces(self, sequence: DecoderSequence, state: State, ended: int) -> list[tuple[int, int]]:
        """Which tokens go through the module together to bring a state to `ended` tokens."""
        if not self.in_one_piece:
            return [(state.fed, ended)]
        prompt, edge, fed = len(sequence.prompt), self._switch, state.fed
        if edge is not None and max(fed, prompt) <= edge < ended:
            # Here `generate` computes the whole text anew.
            prompt = edge + 1
            fed = 0 if fed <= edge else fed
        first = [(fed, min(prompt, ended))] if fed < prompt else []
        then = first[-1][1] if first else fed
        return [*first, *((place, place + 1) for place in range(then, ended))]

    def _computed(
        self, ids: Sequence[int], cache: DynamicCache, known: int, every: bool
    ) -> torch.Tensor:
        """Logits [1 or tokens, vocabulary] of tokens behind `known` ones."""
        device = self._module.device
        total = known + len(ids)
        arguments: dict[str, Any] = {
            "input_ids": torch.tensor([ids], device=device),
            "attention_mask": torch.ones((1, total), dtype=torch.long, device=device),
            "past_key_values": cache,
            "use_cache": True,
        }
        if self._keeps_one:
            arguments["logits_to_keep"] = 0 if every else 1
        with torch.inference_mode():
            logits: torch.Tensor = self._module(**arguments).logits
            return (logits[0] if every else logits[0, -1:]).float()

    def _differences(self, loaded: Loaded) -> tuple[float, float]:
        """How far the logits of a trial text change, by the largest one: when it is computed in two
        pieces, and when another text is computed before its last token."""
        numbers = torch.Generator().manual_seed(0)
        length = min(TRIAL, loaded.facts.max_length)
        drawn = torch.randint(loaded.facts.vocabulary, (2, length), generator=numbers)
        ids, other = drawn.tolist()
        alone = self._in_pieces(ids, length - 1)
        return (
            _difference(alone, self._in_pieces(ids, min(FIRST, length - 1))),
            _difference(alone, self._in_pieces(ids, length - 1, other)),
        )

    def _in_pieces(self, ids: Sequence[int], first: int, other: Sequence[int] = ()) -> torch.Tensor:
        """Logits behind a text whose `first` tokens go first; `other` goes before the rest."""
        cache = self._cache()
        if first:
            self._computed(ids[:first], cache, 0, every=False)
        if other:
            self._computed(other, self._cache(), 0, every=False)
        return self._computed(ids[first:], cache, first, every=False)

    def known(self, sequence: DecoderSequence) -> int:
        """How many tokens of the sequence count as computed."""
        return self._states[sequence].known

    def release(self, sequence: DecoderSequence) -> None:
        """Drop the cache."""
        self._states.pop(sequence, None)


def _difference(logits: torch.Tensor, others: torch.Tensor) -> float:
    return float((logits - others).abs().max() / logits.abs().max())
