"""Where windows begin and end, and how their answers are joined."""

import numpy as np
import pytest

from lepton_worker.request import Tokens
from lepton_worker.tasks.windows import Window, cuts, mean, owners, rows


def a_window(start: int, stop: int, offset: int = 1) -> Window:
    return Window(Tokens((0,) * (stop - start + 2 * offset)), start, stop, offset)


@pytest.mark.parametrize(
    ("count", "room", "expected"),
    [
        (0, 8, [(0, 0)]),
        (8, 8, [(0, 8)]),
        (9, 8, [(0, 8), (6, 9)]),
        (14, 8, [(0, 8), (6, 14)]),
        (15, 8, [(0, 8), (6, 14), (12, 15)]),
        (5, 1, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]),
        (7, 3, [(0, 3), (3, 6), (6, 7)]),
    ],
)
def test_cuts(count: int, room: int, expected: list[tuple[int, int]]) -> None:
    assert cuts(count, room) == expected


def test_cuts_leave_no_token_out_and_end_where_the_text_does() -> None:
    for count in range(60):
        for room in range(1, 20):
            places = cuts(count, room)
            assert {n for start, stop in places for n in range(start, stop)} == set(range(count))
            assert all(stop - start <= room for start, stop in places)
            assert [stop for _, stop in places].count(count) == 1


def test_the_mean_is_weighted_with_tokens() -> None:
    windows = [a_window(0, 6), a_window(4, 6)]
    vectors = [np.array([1, 4], np.float32), np.array([5, 0], np.float32)]
    assert mean(vectors, windows).tolist() == [2, 3]
    assert mean(vectors[:1], windows[:1]) is vectors[0]


def test_a_token_belongs_to_the_window_with_most_text_around_it() -> None:
    # Of tokens 4 to 7, which both read, the first window has 3, 2, 1, 0 behind them.
    windows = [a_window(0, 8), a_window(4, 12)]
    assert owners(windows) == [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]
    # Of token 6 both have one on its nearer side: the first one it is.
    assert owners([a_window(0, 8), a_window(5, 13)]) == [0] * 7 + [1] * 6
    assert owners([a_window(0, 5)]) == [0] * 5


def test_rows_are_taken_from_the_windows_that_own_them() -> None:
    windows = [a_window(0, 8), a_window(4, 12)]
    vectors = [np.arange(-1.0, 9.0)[:, None] + 100 * number for number in (0, 1)]
    joined = rows([vector.astype(np.float32) for vector in vectors], windows)
    assert joined[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 102, 103, 104, 105, 106, 107]
    alone = rows([vectors[0].astype(np.float32)], windows[:1])
    assert alone[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
