"""Whether to guess, and how many tokens: no tensors here.

A guess costs what its rows add to a step, and gains a step for each token that is right. With a
chance `rate` that a guessed token is right, a step of `length` guesses makes
`(1 - rate^(length+1)) / (1 - rate)` tokens (Leviathan et al., "Fast Inference from Transformers via
Speculative Decoding", 2023, equation 1); what that costs is measured at the start.
"""

from dataclasses import dataclass
from typing import Literal

from lepton_worker.backends.speculation.ngrams import SHORTEST
from lepton_worker.request import Sampling

FEW = 2
"""Texts that may run while any of them guesses: with more, steps are full of rows already."""
LEAST_GAIN = 1.05
"""Tokens for the cost of one, below which guessing does not pay."""
PREDICTABLE = 0.8
"""The chance of a guess in a text that repeats much of its prompt."""
MUCH = 1.3
"""The gain there, below which guesses are not made unless asked for."""
MEMORY = 0.8
"""How much less the steps before count with each step that has guesses."""
HOPE = 0.5
"""The chance of a guess of which nothing is known, with the weight of one guess."""
PROBE = 16
"""Steps without a guess after which a text that guessed badly may try again."""
PROBED = 2
"""Tokens of such a trial."""


@dataclass
class Acceptance:
    """How well the guesses for one text went lately: tokens compared, and found right.

    `waited` counts the steps since the last guess.
    """

    compared: float = 0.0
    right: float = 0.0
    waited: int = 0

    @property
    def rate(self) -> float:
        """The chance that a token guessed next is right."""
        return (self.right + HOPE) / (self.compared + 1)

    def note(self, drafted: int, accepted: int) -> None:
        """Take in what came of a guess; behind the first wrong token nothing was compared."""
        if drafted == 0:
            self.waited += 1
            return
        self.waited = 0
        self.compared = MEMORY * self.compared + min(accepted + 1, drafted)
        self.right = MEMORY * self.right + accepted


def gain(rate: float, cost: float, length: int) -> float:
    """Tokens of a step with `length` guesses, for the time of one without.

    `cost` is what one guess adds to a step, as a share of a step without.
    """
    made = sum(rate**place for place in range(length + 1))
    return made / (1 + cost * length)


def best_length(rate: float, cost: float, most: int) -> int:
    """How many tokens to guess, `most` at most; 0 where it does not pay."""
    best = max(range(most + 1), key=lambda length: gain(rate, cost, length))
    return best if gain(rate, cost, best) >= LEAST_GAIN else 0


def worth(cost: float, most: int) -> bool:
    """Whether a text that can be guessed well gains much by it."""
    return gain(PREDICTABLE, cost, best_length(PREDICTABLE, cost, most)) >= MUCH


def draft_length(running: int, record: Acceptance, cost: float, most: int, left: int) -> int:
    """How many tokens to guess for a text that may have `left` more, while `running` texts run."""
    # A step makes one token more than were guessed right.
    most = min(most, left - 1)
    if running > FEW or most < 1:
        return 0
    length = best_length(record.rate, cost, most)
    if length == 0 and record.waited >= PROBE:
        return min(PROBED, most)
    return length


def refusal(sampling: Sampling, method: Literal["ngram", "assistant"]) -> str | None:
    """Why texts with these options run without guesses; None when they may have them."""
    if sampling.max_new_tokens < 2:
        return "there is at most one token to make"
    if sampling.forced:
        return "its first tokens are given"
    if method == "ngram" and 0 < sampling.no_repeat_ngram <= SHORTEST + 1:
        return "no repetition that could be guessed is allowed"
    return None
