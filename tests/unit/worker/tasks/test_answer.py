"""The best spans of a context, by logits made up for it."""

import numpy as np
import pytest

from lepton_worker.model import Pieces
from lepton_worker.request import Tokens, Vector
from lepton_worker.tasks.answer import Asked, answers
from lepton_worker.tasks.windows import Window

CONTEXT = "one two three four"
SPANS = ((0, 3), (4, 7), (8, 10), (10, 13), (14, 18))
PIECES = Pieces((1, 2, 3, 4, 5), SPANS, (0, 1, 2, 2, 3), ("",) * 5)
WHOLE = Window(Tokens((0,) * 9), 0, 5, 3)
"""A special token, a question of one, another special token, the context, the last special one."""


def logits(first: dict[int, float], last: dict[int, float], count: int = 9) -> Vector:
    """Logits of starts and ends by place in the window, -5 elsewhere."""
    rows = np.full((count, 2), -5, np.float32)
    for column, given in enumerate((first, last)):
        for place, value in given.items():
            rows[place, column] = value
    return rows


def texts(rows: Vector, **asked: object) -> list[str]:
    found = answers(CONTEXT, PIECES, [WHOLE], [rows], Asked(**asked))  # type: ignore[arg-type]
    return [CONTEXT[item.start : item.end] for item in found]


@pytest.mark.parametrize(
    ("first", "last", "asked", "expected"),
    [
        ({3: 5}, {4: 5}, {}, ["one two"]),
        ({4: 5}, {3: 5, 5: 1}, {}, ["two three"]),
        ({3: 5}, {7: 5, 3: 4}, {"longest": 4}, ["one"]),
        ({5: 5}, {5: 5}, {}, ["three"]),
        ({6: 5}, {6: 5}, {}, ["three"]),
        ({1: 9, 3: 1}, {1: 9, 4: 1}, {}, ["one two"]),
        ({0: 9, 3: 1}, {0: 9, 4: 1}, {}, ["one two"]),
        ({0: 9, 3: 1}, {0: 9, 4: 1}, {"may_be_none": True}, [""]),
        ({0: 1, 3: 9}, {0: 1, 4: 9}, {"may_be_none": True}, ["one two"]),
        ({0: 9, 3: 1}, {0: 9, 4: 1}, {"may_be_none": True, "marked": False}, ["one two"]),
        ({3: 5, 5: 4.9}, {3: 5, 5: 4.9}, {"top_k": 2}, ["one", "one two three"]),
    ],
)
def test_best_spans(
    first: dict[int, float], last: dict[int, float], asked: dict[str, object], expected: list[str]
) -> None:
    assert texts(logits(first, last), **asked) == expected


def test_the_same_words_are_one_answer() -> None:
    rows = logits({5: 5, 6: 4}, {5: 5, 6: 4})
    assert texts(rows, top_k=2)[0] == "three"
    assert len(set(texts(rows, top_k=10))) == 10


def test_probabilities_add_up_to_at_most_one_over_all_windows() -> None:
    windows = [Window(Tokens((0,) * 6), 0, 3, 2), Window(Tokens((0,) * 6), 2, 5, 2)]
    sides = [logits({2: 3}, {3: 3}, 6), logits({3: 4, 0: 2}, {3: 4}, 6)]
    found = answers(CONTEXT, PIECES, windows, sides, Asked(top_k=20))
    assert sum(item.score for item in found) <= 1
    assert CONTEXT[found[0].start : found[0].end] == "three"
    firsts = np.exp(np.concatenate([rows[[0, 2, 3, 4], 0] for rows in sides]))
    lasts = np.exp(np.concatenate([rows[[0, 2, 3, 4], 1] for rows in sides]))
    expected = float(np.exp(8) / firsts.sum() / lasts.sum())
    assert found[0].score == pytest.approx(expected, rel=1e-6)


def test_one_window_with_an_answer_is_enough() -> None:
    windows = [Window(Tokens((0,) * 6), 0, 3, 2), Window(Tokens((0,) * 6), 2, 5, 2)]
    sure, unsure = logits({0: 9}, {0: 9}, 6), logits({0: 1, 3: 5}, {0: 1, 3: 5}, 6)
    asked = Asked(top_k=2, may_be_none=True)
    for sides in ([sure, unsure], [unsure, sure]):
        first, second = answers(CONTEXT, PIECES, windows, sides, asked)
        assert first.start < first.end
        assert (second.start, second.end) == (0, 0)
    (none, *_) = answers(CONTEXT, PIECES, windows, [sure, sure], asked)
    assert (none.start, none.end) == (0, 0)


def test_a_context_without_a_token_has_no_answer() -> None:
    nothing = Pieces((), (), (), ())
    window = Window(Tokens((0,) * 4), 0, 0, 3)
    assert answers(" ", nothing, [window], [np.zeros((4, 2), np.float32)], Asked()) == []
