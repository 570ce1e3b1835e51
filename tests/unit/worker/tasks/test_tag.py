"""Tokens with labels to spans: the marks of a thing's beginning and end, words, spaces."""

import numpy as np
import pytest

from lepton_worker.model import Pieces
from lepton_worker.request import Vector
from lepton_worker.tasks.tag import Aggregation, Found, Scheme, spans, trimmed

BIO = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
BIOES = ("O", "B-PER", "I-PER", "E-PER", "S-PER")
BILOU = ("O", "B-PER", "I-PER", "L-PER", "U-PER")
BARE = ("O", "PER", "S-Bahn")
TEXT = "ab cd ef gh"


def pieces(words: list[int | None]) -> Pieces:
    """Each token is two letters, with a space between words."""
    places = [(3 * n, 3 * n + 2) for n in range(len(words))]
    return Pieces(tuple(range(len(words))), tuple(places), tuple(words), ("",) * len(words))


def sure(labels: tuple[str, ...], chosen: list[str]) -> Vector:
    rows = np.zeros((len(chosen), len(labels)), np.float32)
    for row, label in zip(rows, chosen, strict=True):
        row[labels.index(label)] = 20
    return rows


@pytest.mark.parametrize(
    ("labels", "chosen", "expected"),
    [
        (BIO, "O O O O", []),
        (BIO, "B-PER I-PER O B-PER", [(0, 5, "PER"), (9, 11, "PER")]),
        (BIO, "B-PER B-PER I-PER O", [(0, 2, "PER"), (3, 8, "PER")]),
        (BIO, "I-PER I-PER I-LOC B-LOC", [(0, 5, "PER"), (6, 8, "LOC"), (9, 11, "LOC")]),
        (BIO, "B-PER I-LOC O O", [(0, 2, "PER"), (3, 5, "LOC")]),
        (BIOES, "B-PER E-PER B-PER E-PER", [(0, 5, "PER"), (6, 11, "PER")]),
        (BIOES, "S-PER S-PER I-PER E-PER", [(0, 2, "PER"), (3, 5, "PER"), (6, 11, "PER")]),
        (BIOES, "B-PER I-PER E-PER I-PER", [(0, 8, "PER"), (9, 11, "PER")]),
        (BILOU, "B-PER L-PER U-PER O", [(0, 5, "PER"), (6, 8, "PER")]),
        (BARE, "PER PER O S-Bahn", [(0, 5, "PER"), (9, 11, "S-Bahn")]),
        (BARE, "S-Bahn S-Bahn O O", [(0, 5, "S-Bahn")]),
    ],
)
def test_marks(labels: tuple[str, ...], chosen: str, expected: list[tuple[int, int, str]]) -> None:
    logits = sure(labels, chosen.split())
    found = spans(TEXT, pieces([0, 1, 2, 3]), logits, labels, Aggregation.SIMPLE)
    assert [(item.start, item.end, item.label) for item in found] == expected


@pytest.mark.parametrize(
    ("label", "read"),
    [
        ("B-PER", ("B", "PER")),
        ("E-PER", ("E", "PER")),
        ("E-number", ("I", "E-number")),
        ("I-a-b", ("I", "a-b")),
        ("O", ("I", "O")),
        ("X-PER", ("I", "X-PER")),
    ],
)
def test_what_is_a_mark(label: str, read: tuple[str, str]) -> None:
    assert Scheme(("O", "B-PER", "E-PER", "E-number")).read(label) == read


LOGITS = np.log(
    np.array(
        # O, B-PER, I-PER, B-LOC, I-LOC
        [
            [0.1, 0.5, 0.1, 0.2, 0.1],
            [0.1, 0.1, 0.1, 0.6, 0.1],
            [0.1, 0.02, 0.04, 0.8, 0.04],
            [0.9, 0.025, 0.025, 0.025, 0.025],
        ],
        np.float32,
    )
)
"""The first three tokens are one word."""


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        (
            Aggregation.NONE,
            [(0, 2, "B-PER", 0.5), (3, 5, "B-LOC", 0.6), (6, 8, "B-LOC", 0.8)],
        ),
        (Aggregation.SIMPLE, [(0, 2, "PER", 0.5), (3, 5, "LOC", 0.6), (6, 8, "LOC", 0.8)]),
        (Aggregation.FIRST, [(0, 8, "PER", 0.5)]),
        (Aggregation.AVERAGE, [(0, 8, "LOC", (0.2 + 0.6 + 0.8) / 3)]),
        (Aggregation.MAX, [(0, 8, "LOC", 0.8)]),
    ],
)
def test_words_get_one_label(
    aggregation: Aggregation, expected: list[tuple[int, int, str, float]]
) -> None:
    found = spans(TEXT, pieces([0, 0, 0, 1]), LOGITS, BIO, aggregation)
    assert [(item.start, item.end, item.label) for item in found] == [item[:3] for item in expected]
    assert [item.score for item in found] == pytest.approx([item[3] for item in expected])


@pytest.mark.parametrize(
    ("ignore", "count"), [({"O"}, 3), ({"none"}, 4), ({"LOC"}, 2), ({"O", "PER", "LOC"}, 0)]
)
def test_labels_that_are_left_out(ignore: set[str], count: int) -> None:
    found = spans(TEXT, pieces([0, 0, 0, 1]), LOGITS, BIO, Aggregation.SIMPLE, frozenset(ignore))
    assert len(found) == count


def test_the_score_of_a_thing_is_the_mean_of_its_tokens() -> None:
    rows = np.log(np.array([[0.1, 0.9, 0.0001], [0.2, 0.0001, 0.8]], np.float32))
    (found,) = spans(TEXT, pieces([0, 1]), rows, BIO[:3], Aggregation.SIMPLE)
    assert found.score == pytest.approx(0.85, abs=1e-3)


def test_a_text_of_no_tokens_has_no_spans() -> None:
    for aggregation in Aggregation:
        assert spans(" ", pieces([]), np.zeros((0, 5), np.float32), BIO, aggregation) == []


def test_spans_of_nothing_but_spaces_are_left_out() -> None:
    places = ((0, 2), (2, 3), (3, 5))
    tokens = Pieces((0, 1, 2), places, (0, 1, 2), ("",) * 3)
    found = spans(TEXT, tokens, sure(BIO, ["O", "B-PER", "O"]), BIO, Aggregation.NONE)
    assert found == []


@pytest.mark.parametrize(
    ("span", "expected"), [((2, 5), (3, 5)), ((2, 6), (3, 5)), ((2, 3), (3, 3)), ((0, 2), (0, 2))]
)
def test_spaces_are_no_part_of_a_span(span: tuple[int, int], expected: tuple[int, int]) -> None:
    item = trimmed(TEXT, Found(*span, "PER", 0.5))
    assert (item.start, item.end) == expected
