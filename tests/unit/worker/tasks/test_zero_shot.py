"""Labels that a caller makes up: hypotheses, what speaks against, probabilities."""

import numpy as np
import pytest

from lepton_worker.tasks.zero_shot import contradiction, hypotheses, probabilities


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("", ["This example is a {b}.", "This example is c."]),
        ("Über {} und {}", ["Über a {b} und a {b}", "Über c und c"]),
    ],
)
def test_hypotheses(template: str, expected: list[str]) -> None:
    assert hypotheses(template, ["a {b}", "c"]) == expected


@pytest.mark.parametrize(
    ("labels", "entailment", "expected"),
    [
        (("contradiction", "neutral", "entailment"), 2, 0),
        (("ENTAILMENT", "NEUTRAL", "CONTRADICTION"), 0, 2),
        (("neutral", "entailment", "contradiction"), 1, 2),
        (("entailment", "not_entailment"), 0, 1),
        (("no", "entailment"), 1, 0),
        (("entailment", "maybe", "no"), 0, 2),
    ],
)
def test_what_speaks_against(labels: tuple[str, ...], entailment: int, expected: int) -> None:
    assert contradiction(labels, entailment) == expected


def test_probabilities() -> None:
    rows = [np.log(np.array(row, np.float32)) for row in ([0.2, 0.5, 0.3], [0.1, 0.3, 0.6])]
    assert probabilities(rows, 2, 0, False) == pytest.approx([1 / 3, 2 / 3])
    assert probabilities(rows, 2, 0, True) == pytest.approx([0.6, 6 / 7])
    assert probabilities(rows[:1], 2, 0, False) == pytest.approx([0.6])
