"""Classification behind the model: logits to labels with scores."""

import numpy as np

from lepton_worker.request import Vector


def scores(logits: Vector, scoring: str) -> Vector:
    """One score per label: `softmax` and `sigmoid` give probabilities, `none` the number itself."""
    if scoring == "none":
        return logits
    if scoring == "sigmoid":
        # The form that cannot overflow for large negative logits.
        return np.exp(-np.logaddexp(np.float32(0), -logits)).astype(np.float32)
    shifted = np.exp(logits - logits.max())
    probabilities: Vector = (shifted / shifted.sum()).astype(np.float32)
    return probabilities


def best(values: Vector, labels: tuple[str, ...], top_k: int) -> list[tuple[str, float]]:
    """The best labels first, equal ones in the model's order; `top_k` 0 is all of them."""
    order = np.argsort(-values, kind="stable")
    chosen = order[:top_k] if top_k else order
    return [(labels[index], float(values[index])) for index in chosen]
