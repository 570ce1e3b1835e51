"""Documents in the order of their relevance to a query."""

from collections.abc import Sequence

import numpy as np

from lepton_worker.request import Vector
from lepton_worker.tasks.embed import TINY

QUERY_PROMPTS = ("query",)
DOCUMENT_PROMPTS = ("document", "passage", "corpus")
"""Names under which sentence encoders declare what goes in front of either."""


def prompt(prompts: dict[str, str], names: Sequence[str]) -> str:
    """The first of the named prompts that a model declares, or its usual one."""
    return next((prompts[name] for name in names if name in prompts), prompts.get("", ""))


def cosine(left: Vector, right: Vector) -> float:
    """Cosine of two vectors, 0 for one of zeros."""
    a, b = left.astype(np.float64), right.astype(np.float64)
    lengths = max(float(np.linalg.norm(a) * np.linalg.norm(b)), TINY)
    return float(np.clip(a @ b / lengths, -1.0, 1.0))


def order(scores: Sequence[float | None], top_n: int) -> list[int]:
    """Places of the best documents first, equal ones as they came; those without a score last.

    `top_n` 0 is all of them; it counts only documents with a score.
    """
    ranked = [(-score, place) for place, score in enumerate(scores) if score is not None]
    best = [place for _, place in sorted(ranked)]
    failed = [place for place, score in enumerate(scores) if score is None]
    return [*(best[:top_n] if top_n else best), *failed]
