"""A language of our own: words of two to four syllables, few of them frequent (Zipf)."""

import random
from collections.abc import Iterator
from itertools import accumulate

ONSETS = ("b", "br", "d", "f", "g", "gl", "h", "k", "l", "m", "n", "p", "pl", "r", "s", "st", "t")
NUCLEI = ("a", "e", "i", "o", "u", "ai", "ou", "ea")
CODAS = ("", "", "l", "m", "n", "r", "s", "nd", "st")


def lexicon(count: int, seed: int = 0) -> list[str]:
    """So many different words, the same for the same seed."""
    dice = random.Random(seed)
    words: dict[str, None] = {}
    while len(words) < count:
        words["".join(_syllable(dice) for _ in range(dice.randint(2, 4)))] = None
    return list(words)


def _syllable(dice: random.Random) -> str:
    return dice.choice(ONSETS) + dice.choice(NUCLEI) + dice.choice(CODAS)


def lines(words: list[str], count: int, seed: int = 0) -> Iterator[str]:
    """So many lines of a dozen words; the n-th word is 1/n as frequent as the first."""
    dice = random.Random(seed)
    weights = list(accumulate(1 / (rank + 1) for rank in range(len(words))))
    for _ in range(count):
        yield " ".join(dice.choices(words, cum_weights=weights, k=12))
