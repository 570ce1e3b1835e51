"""Which rows of a step are computed together."""

import pytest

from lepton_worker.backends.native.rows import CALL, Group, grouped


@pytest.mark.parametrize(
    ("slots", "lengths", "groups"),
    [
        ([], [], []),
        ([3], [7], [Group(0, 1, 3, (7,))]),
        ([0, 1, 2], [5, 5, 9], [Group(0, 3, 0, (5, 5, 9))]),
        ([0, 2], [5, 5], [Group(0, 1, 0, (5,)), Group(1, 2, 2, (5,))]),
        ([0, 1], [5, 6 + CALL], [Group(0, 1, 0, (5,)), Group(1, 2, 1, (6 + CALL,))]),
        ([0, 1], [5, 5 + CALL], [Group(0, 2, 0, (5, 5 + CALL))]),
        (
            [0, 1, 2, 3],
            [50, 4000, 60, 50],
            [Group(0, 1, 0, (50,)), Group(1, 2, 1, (4000,)), Group(2, 4, 2, (60, 50))],
        ),
    ],
)
def test_groups(slots: list[int], lengths: list[int], groups: list[Group]) -> None:
    assert grouped(slots, lengths) == groups
