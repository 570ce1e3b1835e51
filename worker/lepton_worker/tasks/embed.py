"""Embedding behind the model: scaling of vectors."""

import numpy as np

from lepton_worker.request import Vector

TINY = 1e-12


def scaled(vector: Vector, normalize: bool) -> Vector:
    """The vector, scaled to length 1 if asked to; a vector of zeros stays one."""
    if not normalize:
        return vector
    return vector / max(float(np.linalg.norm(vector)), TINY)


def cut(vector: Vector, dimensions: int | None) -> Vector:
    """The first numbers of a vector, for models trained so (Kusupati et al. 2022, Matryoshka)."""
    return vector if dimensions is None else vector[:dimensions]
