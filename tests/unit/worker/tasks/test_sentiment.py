"""Labels of classifiers as places between negative and positive."""

import numpy as np
import pytest

from lepton_worker.tasks.sentiment import mood, scale


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (("NEGATIVE", "POSITIVE"), (-1, 1)),
        (("neg", "neu", "pos"), (-1, 0, 1)),
        (("POS", "NEU", "NEG"), (1, 0, -1)),
        (("positiv", "negativ", "neutral"), (1, -1, 0)),
        (("1 star", "2 stars", "3 stars", "4 stars", "5 stars"), (-1, -0.5, 0, 0.5, 1)),
        (("1_STAR", "2_STARS"), (-1, 1)),
        (
            ("very negative", "negative", "neutral", "positive", "Very Positive"),
            (-1, -0.5, 0, 0.5, 1),
        ),
        (("LABEL_0", "LABEL_1"), None),
        (("LABEL_0", "LABEL_1", "LABEL_2"), None),
        (("economy", "sport"), None),
        (("positive", "sport"), None),
        (("positive", "neutral"), None),
        (("positive",), None),
        (("positive", "pos", "negative"), (1, 1, -1)),
        (("1", "2", "3"), None),
        (("1 star", "3 stars"), None),
        ((), None),
    ],
    ids=str,
)
def test_places(labels: tuple[str, ...], expected: tuple[float, ...] | None) -> None:
    assert scale(labels) == expected


@pytest.mark.parametrize(
    ("probabilities", "places", "expected"),
    [
        ((0.25, 0.75), (-1, 1), (0.75, 0, 0.25, 0.5)),
        ((0.5, 0.3, 0.2), (1, 0, -1), (0.5, 0.3, 0.2, 0.3)),
        ((0.1, 0.1, 0.2, 0.2, 0.4), (-1, -0.5, 0, 0.5, 1), (0.6, 0.2, 0.2, 0.35)),
        ((0.9, 0.9), (-1, 1), (0.5, 0, 0.5, 0)),
        ((0, 0), (-1, 1), (0, 0, 0, 0)),
    ],
)
def test_mood(
    probabilities: tuple[float, ...], places: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    got = mood(np.array(probabilities, np.float32), places)
    assert (got.positive, got.neutral, got.negative, got.polarity) == pytest.approx(expected)
