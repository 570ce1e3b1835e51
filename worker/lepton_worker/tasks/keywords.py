"""The words that say most about a text, by their embeddings.

As in KeyBERT (Grootendorst 2020): word groups of the text are embedded, and those nearest to the
whole text are chosen by maximal marginal relevance (Carbonell & Goldstein 1998).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lepton_worker.request import Vector
from lepton_worker.tasks.embed import scaled
from lepton_worker.tasks.stop_words import PARTICLES, stop_words
from lepton_worker.tasks.words import APART, words

TOP_K, MAX_WORDS, MOST_WORDS, DIVERSITY = 10, 2, 5, 0.5
MOST_CANDIDATES = 256
"""Groups of a text that are embedded: the most frequent ones, of equal ones the first."""


@dataclass(frozen=True)
class Candidate:
    """A word group, and the characters where it first stands."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Chosen:
    """A keyword with its cosine to the text."""

    candidate: Candidate
    score: float


def candidates(text: str, max_words: int) -> list[Candidate]:
    """Different groups of neighbouring words of which neither end is a stop word.

    Case makes no difference. In scripts without spaces two characters count as a word.
    """
    found = list(words(text))
    stops = stop_words(text[start:end] for start, end in found)
    counts: dict[str, int] = {}
    first: dict[str, Candidate] = {}
    for start, end in _groups(text, found, max_words, stops):
        group = text[start:end]
        key = " ".join(group.casefold().split())
        counts[key] = counts.get(key, 0) + 1
        first.setdefault(key, Candidate(group, start, end))
    ranked = sorted(first, key=lambda key: (-counts[key], first[key].start, first[key].end))
    return [first[key] for key in ranked[:MOST_CANDIDATES]]


def _groups(
    text: str, found: Sequence[tuple[int, int]], max_words: int, stops: frozenset[str]
) -> Iterator[tuple[int, int]]:
    for begin, (start, _) in enumerate(found):
        halves, end = 0, start
        if _is_stop(text, found[begin], stops):
            continue
        for next_start, next_end in found[begin:]:
            halves += 1 if APART.match(text[next_start]) else 2
            if halves > 2 * max_words or text[end:next_start].strip():
                break
            end = next_end
            if end - start > 1 and not _is_stop(text, (next_start, end), stops):
                yield start, end


def _is_stop(text: str, word: tuple[int, int], stops: frozenset[str]) -> bool:
    """Whether no keyword begins or ends with this word: stop words, single letters, numbers."""
    part = text[slice(*word)]
    if APART.match(part):
        return part in PARTICLES
    return len(part) == 1 or part.casefold() in stops or not any(map(str.isalpha, part))


def choose(
    whole: Vector, vectors: Sequence[Vector], top_k: int, diversity: float
) -> list[tuple[int, float]]:
    """Places of the chosen vectors and their cosines to the whole, in the order of choice."""
    if not vectors:
        return []
    units = np.stack([scaled(vector, True) for vector in vectors]).astype(np.float64)
    near = units @ scaled(whole, True).astype(np.float64)
    repeated = np.full(len(units), -np.inf)
    chosen: list[int] = []
    while len(chosen) < min(top_k, len(units)):
        worth = near.copy() if not chosen else (1 - diversity) * near - diversity * repeated
        worth[chosen] = -np.inf
        best = int(worth.argmax())
        chosen.append(best)
        repeated = np.maximum(repeated, units @ units[best])
    return [(place, float(np.clip(near[place], -1.0, 1.0))) for place in chosen]
