"""Numbers behind the model: scores of labels, scaling of vectors."""

import numpy as np
import pytest

from lepton_worker.request import Vector
from lepton_worker.tasks.classify import best, scores
from lepton_worker.tasks.embed import scaled


def vector(*numbers: float) -> Vector:
    return np.array(numbers, np.float32)


@pytest.mark.parametrize(
    ("logits", "scoring", "expected"),
    [
        (vector(0, 0), "softmax", [0.5, 0.5]),
        (vector(1, 2, 3), "softmax", [0.09003057, 0.24472848, 0.66524094]),
        (vector(1000, -1000), "softmax", [1, 0]),
        (vector(0, 2, -2), "sigmoid", [0.5, 0.880797, 0.119203]),
        (vector(-1000, 1000), "sigmoid", [0, 1]),
        (vector(3.5), "none", [3.5]),
    ],
)
def test_scores(logits: Vector, scoring: str, expected: list[float]) -> None:
    assert scores(logits, scoring) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("top_k", "names"),
    [(0, ["b", "a", "c"]), (1, ["b"]), (2, ["b", "a"]), (9, ["b", "a", "c"])],
)
def test_the_best_come_first_and_equal_ones_in_order(top_k: int, names: list[str]) -> None:
    chosen = best(vector(0.25, 0.5, 0.25), ("a", "b", "c"), top_k)
    assert [name for name, _ in chosen] == names


def test_scaling_to_length_one() -> None:
    assert scaled(vector(3, 4), True) == pytest.approx([0.6, 0.8])
    assert scaled(vector(3, 4), False) == pytest.approx([3, 4])
    assert scaled(vector(0, 0), True) == pytest.approx([0, 0])
