"""Guesses from a text itself: what followed the last time that it read as its end reads now.

Prompt lookup (Saxena, "Prompt Lookup Decoding", 2023; Yang et al., "Inference with Reference",
2023): answers that repeat parts of their prompt, or of themselves, are guessed without a model.
"""

from collections.abc import Sequence

from lepton_worker.backends.base import DecoderSequence

SHORTEST = 2
"""Tokens that have to agree before what follows them is worth a guess."""
LONGEST = 16
"""Tokens up to which agreement is looked at: of longer ones, the latest counts."""
CANDIDATES = 16
"""Places that are compared, the latest ones."""
WINDOW = 16_384
"""Tokens in front of the answer that are looked at, so that the table stays small."""


class Ngrams:
    """Where each pair of neighbouring tokens of one text was, as the text grows."""

    def __init__(self) -> None:
        self._places: dict[tuple[int, int], list[int]] = {}
        self._done = 0

    def propose(self, ids: Sequence[int], most: int) -> list[int]:
        """At most `most` tokens that may follow `ids`, which must begin with those of last time.

        Of the places where the last tokens were before, that with the longest agreement counts, of
        equal ones the latest. Where it leads to the end of the text, the text goes round.
        """
        self._follow(ids)
        if len(ids) < SHORTEST or most < 1:
            return []
        places = self._places.get((ids[-2], ids[-1]), [])[-CANDIDATES:]
        best = max(places, key=lambda place: (agreement(ids, place), place), default=None)
        if best is None:
            return []
        found = list(ids[best : best + most])
        while len(found) < most:
            found.append(found[best + len(found) - len(ids)])
        return found

    def _follow(self, ids: Sequence[int]) -> None:
        """Note the pairs that something follows."""
        first = self._done or max(SHORTEST, len(ids) - WINDOW)
        for place in range(first, len(ids)):
            self._places.setdefault((ids[place - 2], ids[place - 1]), []).append(place)
        self._done = max(first, len(ids))


def agreement(ids: Sequence[int], place: int) -> int:
    """How many tokens in front of a place are those at the end of the text; LONGEST at most."""
    most = min(place, LONGEST)
    return next((count for count in range(most) if ids[place - 1 - count] != ids[-1 - count]), most)


class NgramDrafter:
    """Guesses for several texts, each from itself."""

    def __init__(self) -> None:
        self._texts: dict[DecoderSequence, Ngrams] = {}

    def draft(self, wanted: Sequence[tuple[DecoderSequence, int]]) -> list[list[int]]:
        """For each sequence, at most so many tokens that may follow its `ids`."""
        return [
            self._texts.setdefault(sequence, Ngrams()).propose(sequence.ids, most)
            for sequence, most in wanted
        ]

    def release(self, sequence: DecoderSequence) -> None:
        """Forget a sequence; one that is not known is no error."""
        self._texts.pop(sequence, None)
