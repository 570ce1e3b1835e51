"""A classifier's own labels brought to positive, neutral and negative."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lepton_worker.request import Vector
from lepton_worker.tasks.embed import TINY

NAMES = {
    -1.0: "negative neg negativ negativo negativa négatif very_negative extremely_negative "
    "strongly_negative",
    -0.5: "somewhat_negative slightly_negative rather_negative weakly_negative",
    0.0: "neutral neu neutro neutre neutrale neutraal mixed",
    0.5: "somewhat_positive slightly_positive rather_positive weakly_positive",
    1.0: "positive pos positiv positivo positiva positif very_positive extremely_positive "
    "strongly_positive",
}
POLARITY = {name: polarity for polarity, names in NAMES.items() for name in names.split()}
STRONG = ("very", "extremely", "strongly")
STARS = re.compile(r"(\d+)[ _-]?(?:stars?)?")


@dataclass(frozen=True)
class Mood:
    """Probabilities, and their expectation on a scale from -1 to 1."""

    positive: float
    neutral: float
    negative: float
    polarity: float


def scale(labels: Sequence[str]) -> tuple[float, ...] | None:
    """Where each label stands between -1 and 1; None for labels that speak of something else.

    Names say it ("POSITIVE", "neg", "Very Negative") or a number of stars ("1 star" to "5 stars");
    LABEL_0 says nothing.
    """
    names = [re.sub(r"[ -]+", "_", label.strip().lower()) for label in labels]
    found = _by_stars(names) or _by_names(names)
    if not found or min(found) >= 0 or max(found) <= 0:
        return None
    return found


def _by_stars(names: Sequence[str]) -> tuple[float, ...] | None:
    matches = [STARS.fullmatch(name) for name in names]
    numbers = [int(match[1]) for match in matches if match]
    if not any("star" in name for name in names) or len(numbers) < 2:
        return None
    if sorted(numbers) != list(range(1, len(names) + 1)):
        return None
    middle = (len(numbers) + 1) / 2
    return tuple((number - middle) / (middle - 1) for number in numbers)


def _by_names(names: Sequence[str]) -> tuple[float, ...] | None:
    if not all(name in POLARITY for name in names) or len(set(names)) < len(names):
        return None
    # Beside "very positive" a plain "positive" is the weaker one.
    return tuple(
        POLARITY[name] / 2
        if {f"{adverb}_{name}" for adverb in STRONG} & set(names)
        else POLARITY[name]
        for name in names
    )


def mood(probabilities: Vector, places: Sequence[float]) -> Mood:
    """Probabilities of labels that stand at `places`, as one mood.

    Those of a model for several labels at once are scaled to add up to 1.
    """
    values = np.asarray(probabilities, np.float64)
    values = values / max(float(values.sum()), TINY)
    at = np.asarray(places)
    return Mood(
        positive=float(values[at > 0].sum()),
        neutral=float(values[at == 0].sum()),
        negative=float(values[at < 0].sum()),
        polarity=float(values @ at),
    )
