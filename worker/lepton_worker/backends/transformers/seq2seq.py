"""Encoder-decoder forwards: one text at a time, each with caches of its own."""

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from lepton_worker.backends.base import DecoderSequence
from lepton_worker.backends.sampling.beams import BeamSearch
from lepton_worker.backends.sampling.sampler import Choice
from lepton_worker.backends.transformers.loading import Loaded
from lepton_worker.backends.transformers.seq2seq_facts import Beginning, beginning
from lepton_worker.errors import TaskNotSupported
from lepton_worker.request import Sampling, TokenLogprob


@dataclass
class State:
    """How many tokens of a sequence count as computed, and what was made of them.

    Nothing is made before the prompt is whole: an encoder reads all of it at once. `cache` has
    seen the first `fed` tokens of the decoder, its beginning included. It has one row, or one for
    each beam.
    """

    known: int = 0
    fed: int = 0
    read: Any = None
    cache: EncoderDecoderCache | None = None

    @property
    def rows(self) -> int:
        """Rows of the cache, which is there."""
        assert self.cache is not None, "nothing was read"
        layers: list[Any] = self.cache.cross_attention_cache.layers
        return int(layers[0].keys.shape[0])

    def reorder(self, parents: list[int]) -> None:
        """Make row after row go on from the row of its parent; one row is that of all."""
        assert self.cache is not None, "nothing was read"
        layers: list[Any] = list(self.cache.self_attention_cache.layers)
        if self.rows == 1:
            parents = [0] * len(parents)
            layers += self.cache.cross_attention_cache.layers
        for layer in layers:
            layer.keys, layer.values = layer.keys[parents], layer.values[parents]


class EncoderDecoder:
    """Step by step, with the arithmetic of transformers' own `generate` on one text."""

    def __init__(self, loaded: Loaded) -> None:
        self._module = loaded.module
        self.encoder: Any = self._module.get_encoder()
        self._states: dict[DecoderSequence, State] = {}
        self.beginning: Beginning = beginning(self._module, loaded.facts)
        if "past_key_values" not in inspect.signature(self._module.forward).parameters:
            raise TaskNotSupported(
                f"{type(self._module).__name__} keeps its state in another way than a cache of "
                "keys and values; such models are not offered"
            )

    def begin(self, sequence: DecoderSequence) -> None:
        """Empty caches, and the beginning of a search where one is asked for."""
        sequence.search = sequence.search or search_for(sequence.sampling, self.beginning)
        self._states[sequence] = State()

    def state(self, sequence: DecoderSequence) -> State:
        """What is kept of a sequence that has begun; raises KeyError."""
        return self._states[sequence]

    def put(self, sequence: DecoderSequence, state: State) -> None:
        """Go on from a state that came about elsewhere."""
        self._states[sequence] = state

    def known(self, sequence: DecoderSequence) -> int:
        """How many tokens of the sequence count as computed."""
        return self._states[sequence].known

    def forward(
        self, sequence: DecoderSequence, count: int, every: bool = False
    ) -> torch.Tensor | None:
        """Logits behind the last of the next `count` tokens, float32, shape [1, vocabulary].

        A search that has begun has a row for each beam, once all of its tokens are there. None
        where there are no logits: the prompt is not whole yet, or the decoder begins with a token
        that is given and has nothing in front of it. `every` token of a prompt has none.
        """
        state = self._states[sequence]
        ended = state.known + count
        logits = None
        least = len(sequence.prompt) if sequence.search is None else sequence.length
        if ended >= least and sequence.sampling.max_new_tokens:
            logits = self._decoded(sequence, state, ended)
        state.known = ended
        return logits

    def _decoded(self, sequence: DecoderSequence, state: State, ended: int) -> torch.Tensor | None:
        rows = [row[state.fed :] for row in decoder_rows(self.beginning, sequence, ended)]
        if not rows[0]:
            return None
        module = self._module
        with torch.inference_mode():
            if state.cache is None:
                state.read = self.encoder(**_whole(sequence.prompt.ids, module.device))
                # Without a config: those of T5 count the encoder's layers first.
                state.cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
            read = state.read.last_hidden_state.expand(len(rows), -1, -1)
            found = module(
                encoder_outputs=BaseModelOutput(last_hidden_state=read),
                attention_mask=torch.ones(read.shape[:2], dtype=torch.long, device=module.device),
                decoder_input_ids=torch.tensor(rows, device=module.device),
                past_key_values=state.cache,
                use_cache=True,
            )
            state.fed += len(rows[0])
            logits: torch.Tensor = found.logits[:, -1].float()
            return logits

    def beginning_of(self, sequence: DecoderSequence) -> tuple[int, ...]:
        """What the decoder has in front of the tokens that a text's search finds."""
        assert sequence.search is not None, "the text has no search"
        return (*self.beginning.of(sequence.sampling), *sequence.search.given)

    @property
    def texts(self) -> int:
        """How many sequences have begun."""
        return len(self._states)

    def release(self, sequence: DecoderSequence) -> None:
        """Drop the caches."""
        self._states.pop(sequence, None)


def given(sequence: DecoderSequence) -> Choice | None:
    """The next token where that is certain, without logits; None where it is not given."""
    forced = sequence.sampling.forced
    position = len(sequence.ids) - len(sequence.prompt)
    if position >= len(forced):
        return None
    token = forced[position]
    told = None if sequence.sampling.logprobs is None else TokenLogprob(token, 0.0)
    return Choice(token, told)


def decoder_rows(
    beginning: Beginning, sequence: DecoderSequence, ended: int
) -> list[tuple[int, ...]]:
    """What the decoder has read when the first `ended` tokens of a sequence are computed.

    One row, or one for each beam of a search that has begun, all equally long.
    """
    search, first = sequence.search, beginning.of(sequence.sampling)
    if search is None:
        return [(*first, *sequence.ids[len(sequence.prompt) : ended])]
    beams = search.beams if search.steps else [()]
    return [(*first, *search.given, *beam) for beam in beams]


def search_for(sampling: Sampling, beginning: Beginning) -> BeamSearch | None:
    """The search that a text begins with; None where it has one token after the other."""
    given = () if beginning.of(sampling) else sampling.forced[:1]
    most = sampling.max_new_tokens - len(given)
    if sampling.rows < 2 or most < 1:
        return None
    return BeamSearch(sampling.beams, sampling.ends, most, given)


def _whole(ids: tuple[int, ...], device: torch.device) -> dict[str, torch.Tensor]:
    tokens = torch.tensor([ids], device=device)
    return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
