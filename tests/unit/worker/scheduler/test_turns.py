"""What is put into a step beside quiet tenants."""

import pytest

from lepton_worker.request import Caller
from lepton_worker.scheduler.costs import Rates
from lepton_worker.scheduler.entries import TextEntry
from lepton_worker.scheduler.turns import Allowance, reserved, shield

RATES = Rates(overhead=30, prefill=1, decode=3)


def a_text(
    rest: int, turn: int = 0, tenant: str = "", priority: int = 0, at: float = 0
) -> TextEntry:
    entry = TextEntry(Caller(tenant, priority), at, None, rest, 50, None)
    entry.turn = turn
    return entry


def taken(allowance: Allowance, *texts: TextEntry, forced: bool = False) -> list[tuple[int, int]]:
    """Places of the texts that have a turn, and their tokens."""
    spans = allowance.take_turns(texts, forced)
    return [(texts.index(entry), count) for entry, count in spans]


@pytest.mark.parametrize(
    ("room", "seconds", "rests", "expected"),
    [
        (64, 9, [1, 1, 1, 1], [(0, 1), (1, 1), (2, 1)]),
        (64, 100, [1, 1, 1, 1], [(0, 1), (1, 1), (2, 1), (3, 1)]),
        (64, 2, [1, 1], []),
        (64, 10, [500, 1, 1], []),  # saved for the first one
        (0, 10, [500, 1, 1], [(1, 1), (2, 1)]),  # for which there is no room at all
        (64, 40, [500], [(0, 40)]),
        (64, 400, [500], [(0, 64)]),  # no more than there is room
        (64, 15, [500], []),  # never less than a chunk
        (64, 5, [5], [(0, 5)]),
        (7, 7, [500], [(0, 7)]),
        (0, 100, [500], []),
        (64, 20, [1, 500], [(0, 1), (1, 17)]),
        (64, 18, [1, 500], [(0, 1)]),  # what is left is too little for a chunk
        (64, 18, [1, 500, 1], [(0, 1), (2, 1)]),
        (64, 18, [1, 5], [(0, 1), (1, 5)]),  # the rest is not too little
        (64, 40, [500, 1], [(0, 40)]),
        (64, 90, [50, 50], [(0, 50)]),  # nor is there room for a whole chunk
    ],
)
def test_what_fits_into_room_and_time(
    room: int, seconds: float, rests: list[int], expected: list[tuple[int, int]]
) -> None:
    allowance = Allowance(room, seconds, RATES)
    assert taken(allowance, *(a_text(rest) for rest in rests)) == expected


@pytest.mark.parametrize(
    ("room", "seconds", "rests", "expected"),
    [
        (64, 0, [1, 1], [(0, 1)]),
        (64, -50, [1, 1], [(0, 1)]),
        (64, 0, [500], [(0, 16)]),
        (64, 0, [5], [(0, 5)]),
        (7, 0, [500], [(0, 7)]),
        (64, 10, [500, 1], [(0, 16)]),
    ],
)
def test_who_is_forced_to_gives_the_first_one_something(
    room: int, seconds: float, rests: list[int], expected: list[tuple[int, int]]
) -> None:
    allowance = Allowance(room, seconds, RATES)
    assert taken(allowance, *(a_text(rest) for rest in rests), forced=True) == expected


def test_the_last_turn_longest_ago_goes_first() -> None:
    texts = [a_text(1, turn=7), a_text(1, turn=3), a_text(1, turn=5)]
    assert taken(Allowance(64, 6, RATES), *texts) == [(1, 1), (2, 1)]


def test_a_text_of_many_rows_costs_as_many() -> None:
    wide = a_text(1)
    wide.rows = 4
    allowance = Allowance(64, 14, RATES)
    assert taken(allowance, wide, a_text(1)) == [(0, 1)]
    assert allowance.seconds == 2


def test_where_tokens_cost_no_time_only_the_room_counts() -> None:
    free = Rates(overhead=30, prefill=0, decode=0)
    assert taken(Allowance(64, 0, free), *(a_text(rest) for rest in (1, 1, 50, 50))) == [
        (0, 1),
        (1, 1),
        (2, 50),
    ]


@pytest.mark.parametrize(("room", "kept"), [(256, 32), (64, 16), (20, 10), (1, 0)])
def test_room_is_kept_for_the_others(room: int, kept: int) -> None:
    assert reserved(room) == kept


def test_a_shield_covers_quiet_tenants_and_better_classes() -> None:
    quiet = [a_text(1, tenant="q", priority=5, at=7), a_text(1, tenant="q", priority=3, at=9)]
    found = shield({"q", "r"}, [*quiet, a_text(1, tenant="l", at=2)])
    assert found is not None
    assert (found.best, found.since) == (3, 7)
    for tenant, priority, covered in [("q", 9, True), ("l", 2, True), ("l", 3, False)]:
        assert found.covers(Caller(tenant, priority)) is covered
    assert shield({"r"}, quiet) is None
