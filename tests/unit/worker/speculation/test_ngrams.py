"""What a text's own past says of how it goes on."""

import random

import pytest

from lepton_worker.backends.base import DecoderSequence
from lepton_worker.backends.speculation import ngrams
from lepton_worker.backends.speculation.ngrams import LONGEST, NgramDrafter, Ngrams, agreement
from lepton_worker.request import Sampling, Tokens


@pytest.mark.parametrize(
    ("ids", "most", "proposed"),
    [
        ([], 4, []),
        ([1], 4, []),
        ([1, 2], 4, []),
        ([1, 2, 3, 1], 4, []),  # one token that agrees is not enough
        ([1, 2, 3, 4, 1, 2], 2, [3, 4]),
        ([1, 2, 3, 4, 1, 2], 0, []),
        # At the end of the text it goes round.
        ([1, 2, 3, 4, 1, 2], 7, [3, 4, 1, 2, 3, 4, 1]),
        ([7, 7, 7], 4, [7, 7, 7, 7]),
        # The latest of equal places, and of unequal ones the longest.
        ([1, 2, 3, 1, 2, 4, 1, 2], 1, [4]),
        ([9, 1, 2, 3, 8, 1, 2, 4, 9, 1, 2], 1, [3]),
    ],
)
def test_what_is_proposed(ids: list[int], most: int, proposed: list[int]) -> None:
    assert Ngrams().propose(ids, most) == proposed


@pytest.mark.parametrize(
    ("ids", "place", "agree"),
    [
        ([1, 2, 3, 1, 2], 2, 2),
        ([5, 2, 3, 1, 2], 2, 1),
        ([1, 2, 3, 1, 7], 2, 0),
        ([4] * (LONGEST + 9), LONGEST + 3, LONGEST),
    ],
)
def test_agreement(ids: list[int], place: int, agree: int) -> None:
    assert agreement(ids, place) == agree


def slow(ids: list[int], most: int) -> list[int]:
    """The same by looking at every place."""
    places = [place for place in range(2, len(ids)) if ids[place - 2 : place] == ids[-2:]]
    places = places[-ngrams.CANDIDATES :]
    if not places:
        return []
    best = max(places, key=lambda place: (agreement(ids, place), place))
    whole = list(ids)
    while len(whole) < len(ids) + most:
        whole.append(whole[best + len(whole) - len(ids)])
    return whole[len(ids) :]


def test_a_growing_text_is_proposed_what_a_fresh_look_at_it_finds() -> None:
    drawn = random.Random(1)
    for words in (2, 5, 30):
        ids: list[int] = []
        known = Ngrams()
        for _ in range(60):
            ids += [drawn.randrange(words) for _ in range(drawn.randint(1, 4))]
            assert known.propose(ids, 5) == slow(ids, 5)


def test_only_the_end_of_a_long_prompt_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngrams, "WINDOW", 6)
    far = [1, 2, 3, *range(10, 20)]
    assert Ngrams().propose([*far, 1, 2], 1) == []
    near = Ngrams()
    assert near.propose([*far, 1, 2, 5, 1, 2], 1) == [5]
    assert near.propose([*far, 1, 2, 5, 1, 2, 6, 7, 8, 9, 6, 7], 1) == [8]


def test_texts_are_kept_apart_and_forgotten() -> None:
    first, second = (
        DecoderSequence(Tokens(ids), Sampling(4)) for ids in ((1, 2, 3, 1, 2), (1, 2, 4, 1, 2))
    )
    drafter = NgramDrafter()
    assert drafter.draft([(first, 1), (second, 1)]) == [[3], [4]]
    drafter.release(first)
    drafter.release(first)
    assert drafter.draft([(first, 2)]) == [[3, 1]]
