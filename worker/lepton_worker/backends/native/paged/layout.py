"""How the rows of a packed step are handed to attention over pages: numbers alone, no tensors."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Query:
    """The last `count` of a text's `seen` tokens attend to all of them, in `pages`."""

    count: int
    seen: int
    pages: Sequence[int]


@dataclass(frozen=True)
class Layout:
    """Queries side by side, as variable-length attention takes them.

    Text t has the rows `starts[t]` up to `starts[t + 1]` and sees `seen[t]` tokens, whose sums are
    `totals`; `table` has its pages, filled up to the width of the longest one. `most` is the
    largest number of rows of a text.
    """

    starts: list[int]
    seen: list[int]
    totals: list[int]
    table: list[list[int]]
    most: int


def layout(queries: Sequence[Query], filler: int, width: int = 0) -> Layout:
    """Queries in their order; tables have at least `width` pages, `filler` where there is none."""
    starts, totals = [0], [0]
    for query in queries:
        starts.append(starts[-1] + query.count)
        totals.append(totals[-1] + query.seen)
    width = max([width, *(len(query.pages) for query in queries)])
    table = [[*query.pages, *[filler] * (width - len(query.pages))] for query in queries]
    seen = [query.seen for query in queries]
    return Layout(starts, seen, totals, table, max(query.count for query in queries))


def places(pages: Sequence[int], page: int, start: int, end: int) -> list[int]:
    """Where tokens `start` up to `end` of a text are among all tokens of all pages."""
    found: list[int] = []
    while start < end:
        number, offset = divmod(start, page)
        stop = min(end, (number + 1) * page)
        first = pages[number] * page + offset
        found += range(first, first + stop - start)
        start = stop
    return found


def buckets(most: int) -> list[int]:
    """Sizes of batches for which a graph is kept: powers of two up to 8, then every eighth."""
    small = [size for size in (1, 2, 4, 8) if size < most]
    return [*small, *range(16, most, 8), most]
