"""What is kept of a sequence from one token to the next."""

from collections.abc import Sequence

import torch

from lepton_worker.backends.base import DecoderSequence
from lepton_worker.backends.sampling.constraints import Matcher
from lepton_worker.backends.sampling.penalties import Bias, Edits, Ngrams, Tally
from lepton_worker.backends.sampling.truncation import Cut
from lepton_worker.backends.sampling.uniform import fresh_seed, uniform
from lepton_worker.model import GenerationDefaults

GREEDY_BELOW = 1e-5
"""A smaller temperature is 0: logits divided by it would leave float32."""


class Row:
    """One sequence: counts of its tokens and its place in its grammar, as far as asked for.

    Follows the tokens in the sequence's `ids`: whatever has come to them since the last call is
    taken in, and where tokens are gone or the last known one is another, all is counted anew.
    """

    def __init__(
        self,
        sequence: DecoderSequence,
        matcher: Matcher | None,
        beginning: Sequence[int] | None,
        vocabulary: int,
        device: torch.device,
    ) -> None:
        """`beginning` replaces the prompt in what the penalties count."""
        sampling = sequence.sampling
        self.sampling = sampling
        self.matcher = matcher
        self.greedy = sampling.temperature < GREEDY_BELOW
        self.cut = Cut(sampling.top_k, sampling.top_p, sampling.min_p)
        self._prompt = len(sequence.prompt)
        self._beginning = sequence.prompt.ids if beginning is None else beginning
        self._seed = fresh_seed() if sampling.seed is None else sampling.seed
        self._vocabulary, self._device = vocabulary, device
        self._bias = Bias.of(sampling.bias, vocabulary, device) if sampling.bias else None
        self._restart()
        self._plain = self.greedy and not (
            matcher or self._bias or self._ngrams or self._seen or self._answered
        )

    def _restart(self) -> None:
        sampling, room = self.sampling, (self._vocabulary, self._device)
        self._counted, self._last = 0, -1
        self._seen = Tally(*room) if sampling.repetition_penalty != 1 else None
        self._ngrams = Ngrams(sampling.no_repeat_ngram) if sampling.no_repeat_ngram else None
        penalised = sampling.presence_penalty or sampling.frequency_penalty
        self._answered = Tally(*room) if penalised else None
        for counter in (self._seen, self._ngrams):
            if counter:
                counter.add(self._beginning)

    def is_plain(self, position: int) -> bool:
        """Whether the token at a position of the answer is the one with the largest logit."""
        return self._plain and position >= self.sampling.min_new_tokens

    def position(self, sequence: DecoderSequence) -> int:
        """How many tokens the answer has."""
        return len(sequence.ids) - self._prompt

    def number(self, position: int) -> float:
        """The random number for the token at a position of the answer."""
        return uniform(self._seed, position)

    def follow(self, sequence: DecoderSequence) -> None:
        """Take in the tokens that are new; raises InvalidRequest where the grammar ends."""
        ids, known = sequence.ids, self._prompt + self._counted
        if known > len(ids) or (self._counted and ids[known - 1] != self._last):
            self._restart()
        new = ids[self._prompt + self._counted :]
        for counter in (self._seen, self._ngrams, self._answered):
            if counter and new:
                counter.add(new)
        self._counted += len(new)
        self._last = ids[-1]
        if self.matcher:
            # The grammar is that of what is chosen; what was given stands in front of it.
            self.matcher.follow(ids, self._prompt + len(self.sampling.forced))

    def edit(self, edits: Edits, row: int, position: int, defaults: GenerationDefaults) -> None:
        """Add what this sequence does to its logits, which are row `row` of the batch."""
        sampling = self.sampling
        if self._seen:
            edits.repetition(row, self._seen, sampling.repetition_penalty)
        if self._answered:
            presence, frequency = sampling.presence_penalty, sampling.frequency_penalty
            edits.presence(row, self._answered, presence, frequency)
        if self._ngrams:
            edits.ban(row, self._ngrams.banned())
        if position < sampling.min_new_tokens:
            edits.ban(row, sampling.ends)
        edits.ban(row, defaults.suppressed)
        if position == len(sampling.forced):
            edits.ban(row, defaults.suppressed_first)
        if self._bias:
            edits.bias(row, self._bias)
