"""Which inputs of a call are computed together: decisions on lengths alone."""

from collections.abc import Hashable, Iterator, Sequence

WASTE = 0.15
"""Largest share of padding in a group of unequal inputs."""
NEARLY = 0.97
"""Steps are worth no more tokens once they run at this share of the best speed."""
TEXT = 64
"""Tokens of a text in a trial of speed: about what short inputs have."""


def by_budget(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Indices in groups of at most `budget` tokens, by length; a longer input is alone."""
    groups: list[list[int]] = []
    tokens = budget + 1
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        tokens += lengths[index]
        if tokens > budget:
            groups.append([])
            tokens = lengths[index]
        groups[-1].append(index)
    return groups


def by_padding(
    lengths: Sequence[int], keys: Sequence[Hashable], budget: int, waste: float = WASTE
) -> list[list[int]]:
    """Indices in groups that may be padded to their longest input.

    A group has one key, at most `budget` tokens with its padding (or one input), and at most
    `waste` of them are padding.
    """
    groups: list[list[int]] = []
    for members in _by_key(keys):
        members.sort(key=lengths.__getitem__)
        tokens, fresh = 0, True
        for index in members:
            longest = lengths[index]
            count = 1 if fresh else len(groups[-1]) + 1
            room = longest * count
            if fresh or room > budget or tokens + longest < (1 - waste) * room:
                groups.append([])
                tokens, fresh = 0, False
            groups[-1].append(index)
            tokens += longest
    return groups


def best_budget(trials: Sequence[tuple[int, float]]) -> int:
    """Of (tokens, seconds), the fewest tokens that nearly reach the best speed.

    Fewer tokens a step keep waiting short and intermediate results in the processor's cache.
    """
    best = max(tokens / seconds for tokens, seconds in trials)
    return min(tokens for tokens, seconds in trials if tokens / seconds >= NEARLY * best)


def trial_lengths(tokens: int, longest: int) -> list[int]:
    """Lengths of short texts that have `tokens` tokens together."""
    length = min(TEXT, longest, tokens)
    rest = tokens % length
    return [length] * (tokens // length) + ([rest] if rest else [])


def _by_key(keys: Sequence[Hashable]) -> Iterator[list[int]]:
    members: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        members.setdefault(key, []).append(index)
    yield from members.values()
