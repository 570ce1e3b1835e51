"""Names of tensors: those that a model wants, and those that its files have."""

from collections.abc import Set


def missing(expected: Set[str], tied: Set[str], found: Set[str]) -> list[str]:
    """Names that are not there; none where files name tensors differently than modules do."""
    if not found <= expected:
        return []
    return sorted(expected - tied - found)
