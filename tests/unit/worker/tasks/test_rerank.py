"""The order of documents."""

import numpy as np
import pytest

from lepton_worker.tasks.rerank import cosine, order, prompt


@pytest.mark.parametrize(
    ("scores", "top_n", "expected"),
    [
        ([0.1, 0.9, 0.5], 0, [1, 2, 0]),
        ([0.1, 0.9, 0.5], 2, [1, 2]),
        ([0.5, 0.5, 0.9], 0, [2, 0, 1]),
        ([None, 0.1, None, 0.2], 0, [3, 1, 0, 2]),
        ([None, 0.1, None, 0.2], 1, [3, 0, 2]),
        ([-0.5, None], 5, [0, 1]),
        ([], 0, []),
    ],
)
def test_order(scores: list[float | None], top_n: int, expected: list[int]) -> None:
    assert order(scores, top_n) == expected


@pytest.mark.parametrize(
    ("prompts", "names", "expected"),
    [
        ({}, ("query",), ""),
        ({"": "text: "}, ("query",), "text: "),
        ({"": "text: ", "query": "query: "}, ("query",), "query: "),
        ({"passage": "passage: "}, ("document", "passage"), "passage: "),
    ],
)
def test_prompt(prompts: dict[str, str], names: tuple[str, ...], expected: str) -> None:
    assert prompt(prompts, names) == expected


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [((1, 0), (5, 0), 1), ((1, 0), (0, 2), 0), ((1, 1), (-2, -2), -1), ((0, 0), (1, 1), 0)],
)
def test_cosine(left: tuple[float, ...], right: tuple[float, ...], expected: float) -> None:
    got = cosine(np.array(left, np.float32), np.array(right, np.float32))
    assert got == pytest.approx(expected)
    assert -1 <= got <= 1
