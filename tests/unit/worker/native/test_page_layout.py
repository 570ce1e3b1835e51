"""What attention over pages is told of a step, in numbers."""

import pytest

from lepton_worker.backends.native.paged.layout import Query, buckets, layout, places


def test_queries_side_by_side() -> None:
    found = layout([Query(1, 9, [4, 7]), Query(3, 3, [2]), Query(2, 20, [5, 6, 8])], filler=0)
    assert found.starts == [0, 1, 4, 6]
    assert found.seen == [9, 3, 20]
    assert found.totals == [0, 9, 12, 32]
    assert found.table == [[4, 7, 0], [2, 0, 0], [5, 6, 8]]
    assert found.most == 3


def test_tables_may_be_wider_than_any_text() -> None:
    assert layout([Query(1, 1, [3])], filler=9, width=4).table == [[3, 9, 9, 9]]


@pytest.mark.parametrize(
    ("start", "end", "found"),
    [
        (0, 0, []),
        (0, 3, [20, 21, 22]),
        (3, 5, [23, 8]),
        (4, 8, [8, 9, 10, 11]),
        (2, 9, [22, 23, 8, 9, 10, 11, 36]),
        (11, 12, [39]),
    ],
)
def test_places_of_tokens(start: int, end: int, found: list[int]) -> None:
    assert places([5, 2, 9], 4, start, end) == found


@pytest.mark.parametrize(
    ("most", "sizes"),
    [
        (1, [1]),
        (3, [1, 2, 3]),
        (8, [1, 2, 4, 8]),
        (12, [1, 2, 4, 8, 12]),
        (16, [1, 2, 4, 8, 16]),
        (33, [1, 2, 4, 8, 16, 24, 32, 33]),
    ],
)
def test_buckets_end_with_the_largest_batch(most: int, sizes: list[int]) -> None:
    assert buckets(most) == sizes
