"""The steps of beam searches: from logits to candidates, and from these to the next beams."""

from collections.abc import Sequence

import torch

from lepton_worker.backends.base import DecoderSequence, Progress, Written
from lepton_worker.backends.sampling.beams import BeamSearch, Candidate
from lepton_worker.backends.sampling.penalties import Bias, Edits, Ngrams, Tally
from lepton_worker.errors import InternalError, InvalidRequest, Violation
from lepton_worker.model import GenerationDefaults
from lepton_worker.request import Sampling


class Searcher:
    """Goes on with the searches of texts.

    Treats log probabilities as transformers' `generate` does: repetition penalty, repeated
    n-grams, ends before `min_new_tokens`, given tokens and the given end, suppressed tokens.
    """

    def __init__(self, defaults: GenerationDefaults, vocabulary: int) -> None:
        """Tokens from `vocabulary` on have no embedding and are never chosen."""
        self._defaults, self._vocabulary = defaults, vocabulary

    @torch.inference_mode()
    def step(
        self, sequence: DecoderSequence, logits: torch.Tensor, beginning: Sequence[int]
    ) -> tuple[Progress, list[int]]:
        """Progress by logits [beams, vocabulary], and the beam that each new one goes on from.

        Before the first token one row stands for all beams. `beginning` is what the decoder has
        in front of what is searched. Raises RequestError.
        """
        search = sequence.search
        assert search is not None, "a step of a text without a search"
        if not bool(torch.isfinite(logits.max())):
            raise InternalError("the model computed something that is not a number")
        found = logits.float().log_softmax(-1)[:, : self._vocabulary].contiguous()
        found = found.expand(search.width, -1).contiguous()
        self._treat(search, sequence.sampling, found, beginning)
        parents = search.take(_best(found, search))
        if not search.done:
            return Progress(None, searching=True), parents
        answer = search.best
        sequence.ids += answer
        return Progress(answer[0], answer=tuple(map(Written, answer))), parents

    def _treat(
        self,
        search: BeamSearch,
        sampling: Sampling,
        found: torch.Tensor,
        beginning: Sequence[int],
    ) -> None:
        """Change log probabilities [beams, vocabulary] in place."""
        position = len(search.given) + search.steps
        if position < len(sampling.forced):
            _give(found, sampling.forced[position : position + 1])
            return
        edits = Edits(found.shape[-1], found.device)
        for row, beam in enumerate(search.beams):
            self._edit(edits, row, sampling, (*beginning, *beam), position)
        if edits:
            edits.apply(found)
        if search.last and sampling.beams.ends:
            _give(found, sampling.beams.ends)

    def _edit(
        self, edits: Edits, row: int, sampling: Sampling, tokens: Sequence[int], position: int
    ) -> None:
        """What one beam's own tokens, and its length, do to it."""
        if sampling.repetition_penalty != 1:
            tally = Tally(edits.vocabulary, edits.device)
            tally.add(tokens)
            edits.repetition(row, tally, sampling.repetition_penalty)
        if sampling.no_repeat_ngram:
            ngrams = Ngrams(sampling.no_repeat_ngram)
            ngrams.add(tokens)
            edits.ban(row, ngrams.banned())
        if position < sampling.min_new_tokens:
            edits.ban(row, sampling.ends)
        edits.ban(row, self._defaults.suppressed)
        if position == len(sampling.forced):
            edits.ban(row, self._defaults.suppressed_first)
        if sampling.bias:
            edits.bias(row, Bias.of(sampling.bias, edits.vocabulary, edits.device))


def _give(found: torch.Tensor, tokens: Sequence[int]) -> None:
    """Make tokens certain and all others impossible."""
    found.fill_(float("-inf"))
    found[:, list(tokens)] = 0.0


def _best(found: torch.Tensor, search: BeamSearch) -> list[Candidate]:
    """The best of all continuations of all beams; raises InvalidRequest where there is none."""
    scores = torch.tensor(search.scores, device=found.device)
    sums = (found + scores[:, None]).view(-1)
    values, places = sums.topk(min(search.wanted, len(sums)))
    if values[0] == float("-inf"):
        text = "penalties and bans leave no token to choose from"
        raise InvalidRequest([Violation("sampling", text)])
    width = found.shape[-1]
    return [
        Candidate(score, place // width, place % width)
        for score, place in zip(values.tolist(), places.tolist(), strict=True)
    ]
