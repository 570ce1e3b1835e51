"""Beam search: which partial answers go on, which whole ones are kept, and when it is over.

Numbers and order are those of transformers' `generate` on one text: log probabilities are added up
in float32, a whole answer's score is their sum over its length to the power of the length penalty,
and of equal ones the first is taken. Where a step's candidates come from is told in `searcher`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lepton_worker.request import Beams

DEAD = -1e9
"""What makes a candidate come after all that can go on."""


@dataclass(frozen=True)
class Candidate:
    """A partial answer with one token more, and the sum of its log probabilities."""

    score: float
    beam: int
    token: int


@dataclass(frozen=True)
class Hypothesis:
    """A whole answer and its score."""

    score: float
    tokens: tuple[int, ...]


class BeamSearch:
    """The answers in the making of one text.

    `beams` are the partial ones, best first and all equally long, `scores` their sums of log
    probabilities; in the beginning all are empty, and only the first one counts. `steps` is how
    many tokens each has. `given` is in front of each answer and not searched.
    """

    def __init__(
        self, beams: Beams, ends: frozenset[int], most: int, given: tuple[int, ...] = ()
    ) -> None:
        """Answers have at most `most` tokens, 1 or more, and end with one of `ends`."""
        self.width, self.given, self.steps, self.done = beams.count, given, 0, False
        self.beams: list[tuple[int, ...]] = [()] * self.width
        self.scores = [0.0] + [DEAD] * (self.width - 1)
        self._asked, self._ends, self._most = beams, ends, most
        self._whole: list[Hypothesis] = []
        self._improvable = True

    @property
    def wanted(self) -> int:
        """Candidates that a step needs: enough to go on with when the best ones all end."""
        return max(2, 1 + len(self._ends)) * self.width

    @property
    def last(self) -> bool:
        """Whether answers are as long as they may be with the next token."""
        return self.steps + 1 >= self._most

    @property
    def best(self) -> tuple[int, ...]:
        """The tokens of the best answer so far, the given ones in front."""
        return (*self.given, *(self._whole[0].tokens if self._whole else self.beams[0]))

    def take(self, candidates: Sequence[Candidate]) -> list[int]:
        """Go on with the best candidates, of which `wanted` are given, best first.

        Returns the beam that each of the new ones goes on from.
        """
        ended = [self.last or item.token in self._ends for item in candidates]
        self.steps += 1
        self._keep(candidates, ended)
        parents = self._go_on(candidates, ended)
        self._improvable = self._improvable and self._can_improve()
        self.done = not self._improvable or self._satisfied or all(ended)
        return parents

    def _keep(self, candidates: Sequence[Candidate], ended: Sequence[bool]) -> None:
        """Keep the best whole answers; only the best candidates may become one."""
        if self._satisfied or not self._improvable:
            return
        for item, whole in zip(candidates[: self.width], ended, strict=False):
            if whole and item.score > float("-inf"):
                score = self._by_length(item.score, self.steps)
                self._whole.append(Hypothesis(score, (*self.beams[item.beam], item.token)))
        self._whole.sort(key=lambda item: -item.score)
        del self._whole[self.width :]

    def _go_on(self, candidates: Sequence[Candidate], ended: Sequence[bool]) -> list[int]:
        scores = [
            _single(item.score + DEAD) if whole else item.score
            for item, whole in zip(candidates, ended, strict=True)
        ]
        order = sorted(range(len(candidates)), key=lambda place: -scores[place])[: self.width]
        chosen = [candidates[place] for place in order]
        self.beams = [(*self.beams[item.beam], item.token) for item in chosen]
        self.scores = [scores[place] for place in order]
        return [item.beam for item in chosen]

    @property
    def _full(self) -> bool:
        return len(self._whole) == self.width

    @property
    def _satisfied(self) -> bool:
        """Whether there are as many whole answers as are asked for, and that is enough."""
        return self._full and self._asked.early_stopping is True

    def _can_improve(self) -> bool:
        """Whether the best partial answer may become better than the worst whole one."""
        hopeful = self._asked.early_stopping == "never" and self._asked.length_penalty > 0
        best = self._by_length(self.scores[0], self._most if hopeful else self.steps)
        return best > (self._whole[-1].score if self._full else DEAD)

    def _by_length(self, score: float, length: int) -> float:
        return float(np.float32(score) / np.float32(length**self._asked.length_penalty))


def _single(number: float) -> float:
    return float(np.float32(number))
