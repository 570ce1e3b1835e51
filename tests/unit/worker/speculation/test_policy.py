"""Whether tokens are guessed, and how many."""

from typing import Any, Literal

import pytest

from lepton_worker.backends.base import DecoderSequence
from lepton_worker.backends.speculation.drafting import Drafting
from lepton_worker.backends.speculation.policy import (
    FEW,
    PROBE,
    PROBED,
    Acceptance,
    best_length,
    draft_length,
    gain,
    refusal,
    worth,
)
from lepton_worker.request import Constraint, Sampling, Tokens


@pytest.mark.parametrize(
    ("rate", "cost", "length", "gained"),
    [
        (0.5, 0.2, 0, 1.0),
        (0.5, 0.0, 1, 1.5),
        (0.5, 0.25, 2, 1.75 / 1.5),
        (1.0, 0.0, 6, 7.0),
        (0.0, 0.5, 2, 0.5),
    ],
)
def test_gain(rate: float, cost: float, length: int, gained: float) -> None:
    assert gain(rate, cost, length) == pytest.approx(gained)


@pytest.mark.parametrize(
    ("rate", "cost", "length"),
    [
        (1.0, 0.05, 6),
        (1.0, 0.9, 6),
        (1.0, 0.95, 0),  # so little is gained that it is not worth the risk
        (1.0, 1.5, 0),
        (0.8, 0.05, 6),
        (0.5, 0.15, 2),
        (0.3, 0.1, 1),
        (0.1, 0.1, 0),
        (0.0, 0.0, 0),
    ],
)
def test_best_length(rate: float, cost: float, length: int) -> None:
    assert best_length(rate, cost, 6) == length


@pytest.mark.parametrize(
    ("running", "rate", "waited", "left", "length"),
    [
        (1, 1.0, 0, 99, 6),
        (FEW, 1.0, 0, 99, 6),
        (FEW + 1, 1.0, 0, 99, 0),
        # A step makes one token more than were guessed.
        (1, 1.0, 0, 4, 3),
        (1, 1.0, 0, 2, 1),
        (1, 1.0, 0, 1, 0),
        (1, 0.0, 0, 99, 0),
        (1, 0.0, PROBE - 1, 99, 0),
        (1, 0.0, PROBE, 99, PROBED),
        (1, 0.0, PROBE, 2, 1),
        (FEW + 1, 0.0, PROBE, 99, 0),
    ],
)
def test_draft_length(running: int, rate: float, waited: int, left: int, length: int) -> None:
    record = Acceptance(compared=99.0, right=100 * rate - 0.5, waited=waited)
    assert draft_length(running, record, 0.1, 6, left) == length


def test_guesses_stop_where_they_are_wrong_and_come_back_where_they_are_right() -> None:
    record = Acceptance()
    lengths = []
    for _ in range(4):
        lengths.append(draft_length(1, record, 0.1, 6, 99))
        record.note(lengths[-1], 0)
    assert lengths[0] > 0
    assert lengths[-1] == 0
    while not (length := draft_length(1, record, 0.1, 6, 99)):
        record.note(0, 0)
    assert record.waited == PROBE
    for _ in range(4):
        record.note(length, length)
        length = draft_length(1, record, 0.1, 6, 99)
    assert length == 6


@pytest.mark.parametrize(
    ("cost", "gains"), [(0.02, True), (0.2, True), (0.4, True), (0.6, False), (2.0, False)]
)
def test_worth(cost: float, gains: bool) -> None:
    assert worth(cost, 6) is gains


@pytest.mark.parametrize(
    ("options", "ngram", "assistant"),
    [
        ({}, True, True),
        ({"temperature": 1.0, "seed": 3, "top_p": 0.9, "logprobs": 2}, True, True),
        ({"repetition_penalty": 1.2, "min_new_tokens": 4, "stop": ("x",)}, True, True),
        ({"constraint": Constraint("json_object")}, True, True),
        ({"prompt_logprobs": True}, True, True),
        ({"max_new_tokens": 1}, False, False),
        ({"max_new_tokens": 0, "prompt_logprobs": True}, False, False),
        ({"forced": (5,)}, False, False),
        ({"no_repeat_ngram": 3}, False, True),
        ({"no_repeat_ngram": 4}, True, True),
    ],
)
def test_options(options: dict[str, Any], ngram: bool, assistant: bool) -> None:
    sampling = Sampling(**{"max_new_tokens": 8, **options})
    assert (refusal(sampling, "ngram") is None) is ngram
    assert (refusal(sampling, "assistant") is None) is assistant


class Ones:
    """Guesses nothing but ones."""

    def __init__(self) -> None:
        self.wanted: list[list[int]] = []
        self.released: list[DecoderSequence] = []

    def draft(self, wanted: Any) -> list[list[int]]:
        """As many as are wanted."""
        self.wanted.append([most for _, most in wanted])
        return [[1] * most for _, most in wanted]

    def release(self, sequence: DecoderSequence) -> None:
        """Note it."""
        self.released.append(sequence)


@pytest.mark.parametrize("method", ["ngram", "assistant"])
def test_each_text_has_a_length_of_its_own(method: Literal["ngram", "assistant"]) -> None:
    ones = Ones()
    drafting = Drafting(ones, method, 6, 0.1)
    good, bad, refused = (DecoderSequence(Tokens((5, 6)), Sampling(count)) for count in (99, 99, 1))
    for _ in range(6):
        drafts = drafting.draft([good, refused, bad], 2)
        for sequence, draft, right in zip((good, refused, bad), drafts, (9, 0, 0), strict=True):
            drafting.verified(sequence, len(draft), min(right, len(draft)))
    assert drafts == [[1] * 6, [], []]
    assert ones.wanted[-1] == [6]
    assert drafting.draft([bad, good], 3) == [[], []]
    drafting.release(bad)
    assert ones.released == [bad]
    assert drafting.draft([bad], 1) != [[]]  # as a text of which nothing is known
