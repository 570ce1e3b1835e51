"""Embeddings as numbers: from the wire to a table of similarities."""

import math
import struct
from collections.abc import Sequence

Vector = tuple[float, ...]


def decode(values: bytes) -> Vector:
    """Read float32, little-endian."""
    return struct.unpack(f"<{len(values) // 4}f", values)


def cosine(one: Vector, other: Vector) -> float:
    """Similarity of direction, from -1 to 1."""
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return product / (math.hypot(*one) * math.hypot(*other))


def similarities(vectors: Sequence[Vector]) -> list[list[float]]:
    """Similarity of each with each."""
    return [[cosine(one, other) for other in vectors] for one in vectors]


def closest(matrix: Sequence[Sequence[float]]) -> tuple[int, int]:
    """Indices of the most similar pair of different vectors."""
    pairs = [(row, column) for column in range(len(matrix)) for row in range(column)]
    return max(pairs, key=lambda pair: matrix[pair[0]][pair[1]])


def table(texts: Sequence[str], matrix: Sequence[Sequence[float]]) -> list[str]:
    """Lines of the lower triangle, one a text; what is above it is the same again."""
    width = max(map(len, texts))
    lines = [
        f"{number}  {text:<{width}}  " + "  ".join(f"{value:5.2f}" for value in row[:number])
        for number, (text, row) in enumerate(zip(texts, matrix, strict=True), start=1)
    ]
    numbers = "  ".join(f"{number:>5}" for number in range(1, len(texts) + 1))
    return [" " * (width + 5) + numbers, *lines]
