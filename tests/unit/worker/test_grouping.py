"""Which inputs an encoder computes together."""

import random

import pytest

from lepton_worker.backends.native.grouping import (
    WASTE,
    best_budget,
    by_budget,
    by_padding,
    trial_lengths,
)


@pytest.mark.parametrize(
    ("lengths", "groups"),
    [
        ([], []),
        ([4], [[0]]),
        ([11], [[0]]),
        ([5, 5], [[0, 1]]),
        ([5, 6], [[0], [1]]),
        ([5, 5, 1], [[2, 0], [1]]),
        ([12, 3, 12, 3], [[1, 3], [0], [2]]),
    ],
    ids=["none", "one", "over", "exactly", "one-more", "by-length", "long-ones-alone"],
)
def test_rows_stay_within_the_budget(lengths: list[int], groups: list[list[int]]) -> None:
    assert by_budget(lengths, 10) == groups


@pytest.mark.parametrize(
    ("lengths", "groups"),
    [
        ([], []),
        ([30], [[0]]),
        ([4, 4, 4], [[0, 1, 2]]),
        ([9, 10], [[0, 1]]),
        ([5, 10], [[0], [1]]),
        ([10, 10, 10], [[0, 1], [2]]),
        ([10, 9, 2], [[2], [1, 0]]),
    ],
    ids=["none", "over", "equal", "nearly-equal", "unequal", "full", "by-length"],
)
def test_padded_groups_waste_little(lengths: list[int], groups: list[list[int]]) -> None:
    assert by_padding(lengths, [""] * len(lengths), 20) == groups


def test_padded_groups_have_one_key() -> None:
    assert by_padding([4, 4, 4, 4], ["a", "b", "a", "b"], 20) == [[0, 2], [1, 3]]


@pytest.mark.parametrize("seed", range(20))
def test_each_input_is_in_one_group_that_keeps_the_bounds(seed: int) -> None:
    source = random.Random(seed)
    lengths = [source.randint(1, 300) for _ in range(source.randint(1, 60))]
    keys = [source.choice("ab") for _ in lengths]
    rows, padded = by_budget(lengths, 256), by_padding(lengths, keys, 256)
    for groups in (rows, padded):
        assert sorted(index for group in groups for index in group) == [*range(len(lengths))]
    for group in rows:
        assert sum(lengths[index] for index in group) <= 256 or len(group) == 1
    for group in padded:
        room = len(group) * max(lengths[index] for index in group)
        assert room <= 256 or len(group) == 1
        assert sum(lengths[index] for index in group) >= (1 - WASTE) * room
        assert len({keys[index] for index in group}) == 1


@pytest.mark.parametrize(
    ("trials", "budget"),
    [
        ([(256, 1.0)], 256),
        ([(256, 1.0), (512, 1.5)], 512),
        ([(256, 1.0), (512, 1.99)], 256),
        ([(256, 1.0), (512, 1.5), (1024, 4.0)], 512),
    ],
    ids=["one", "faster", "hardly-faster", "slower-again"],
)
def test_the_smallest_step_of_nearly_the_best_speed(
    trials: list[tuple[int, float]], budget: int
) -> None:
    assert best_budget(trials) == budget


@pytest.mark.parametrize(
    ("tokens", "longest", "lengths"),
    [(128, 512, [64, 64]), (100, 512, [64, 36]), (20, 8, [8, 8, 4]), (5, 512, [5])],
)
def test_trials_of_speed_have_short_texts(tokens: int, longest: int, lengths: list[int]) -> None:
    assert trial_lengths(tokens, longest) == lengths
