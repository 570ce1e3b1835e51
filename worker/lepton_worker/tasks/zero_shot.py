"""Labels that a caller makes up, by a model that knows what follows from what.

Yin et al. 2019 ("Benchmarking zero-shot text classification"): a text is the premise, and each
label becomes a hypothesis.
"""

from collections.abc import Sequence

import numpy as np

from lepton_worker.request import Vector
from lepton_worker.tasks.classify import scores

HYPOTHESIS = "This example is {}."
PLACE = "{}"
AGAINST = ("contra", "not_entail", "not entail", "non_entail", "non-entail", "not-entail")


def hypotheses(template: str, labels: Sequence[str]) -> list[str]:
    """One sentence for each label."""
    return [(template or HYPOTHESIS).replace(PLACE, label) for label in labels]


def contradiction(labels: Sequence[str], entailment: int) -> int:
    """The label against entailment: by its name, else the one at the other end."""
    named = (n for n, label in enumerate(labels) if label.lower().startswith(AGAINST))
    return next(named, len(labels) - 1 if entailment == 0 else 0)


def probabilities(
    logits: Sequence[Vector], entailment: int, against: int, multi_label: bool
) -> Vector:
    """One for each label, from the logits of its hypothesis; a single label stands by itself."""
    rows = np.stack(logits)
    if multi_label or len(rows) == 1:
        pair = rows[:, [against, entailment]]
        return scores(pair[:, 1] - pair[:, 0], "sigmoid")
    return scores(rows[:, entailment], "softmax")
