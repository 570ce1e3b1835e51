"""How a step is divided."""

import pytest

from lepton_worker.request import Caller
from lepton_worker.scheduler.entries import ListEntry, TextEntry
from lepton_worker.scheduler.order import Band
from lepton_worker.scheduler.spans import chunks, fill


def prompts(*rests: int, priorities: tuple[int, ...] = ()) -> list[TextEntry]:
    """Texts with so much left of their prompts; the first ten tokens of each are done."""
    entries = []
    for i, rest in enumerate(rests):
        priority = priorities[i] if priorities else 0
        entries.append(TextEntry(Caller("", priority), 0, None, rest + 10, 5, None))
        entries[-1].computed = 10
    return entries


@pytest.mark.parametrize(
    ("rests", "room", "expected"),
    [
        ((), 100, {}),
        ((50,), 0, {}),
        ((50,), 100, {0: 50}),
        ((500,), 100, {0: 100}),
        ((500, 500), 100, {0: 50, 1: 50}),
        ((500, 20), 100, {0: 80, 1: 20}),  # what the shorter does not need goes to the first
        ((20, 500), 100, {0: 20, 1: 80}),
        ((500, 40, 30), 100, {0: 50, 1: 20, 2: 30}),  # the shortest rest first
        ((500, 48, 30), 80, {0: 50, 2: 30}),  # 10 tokens would be too small a chunk
        ((500, 10, 9), 60, {0: 41, 1: 10, 2: 9}),  # unless they are the rest
        ((500, 500), 20, {0: 20}),
        ((500, 500), 8, {0: 8}),
        ((5, 500), 20, {0: 5}),
        ((5, 500), 21, {0: 5, 1: 16}),
    ],
)
def test_prompts_share_the_room(
    rests: tuple[int, ...], room: int, expected: dict[int, int]
) -> None:
    entries = prompts(*rests)
    given = {entries.index(entry): count for entry, count in chunks(entries, room)}
    assert given == expected


def test_a_worse_class_gets_what_the_better_leaves() -> None:
    entries = prompts(500, 100, 10, priorities=(5, 0, 5))
    assert chunks(entries, 100) == [(entries[1], 100)]
    assert chunks(entries, 150) == [(entries[1], 100), (entries[2], 10), (entries[0], 40)]


def bands(*lists: tuple[str, int, list[int]]) -> tuple[list[Band], list[ListEntry]]:
    """Lists of tenants in classes."""
    by_class: dict[int, Band] = {}
    entries = []
    for tenant, priority, lengths in lists:
        entries.append(ListEntry(Caller(tenant, priority), 0, None, lengths, None))
        by_class.setdefault(priority, Band()).add_list(entries[-1])
    return [by_class[key] for key in sorted(by_class)], entries


@pytest.mark.parametrize(
    ("lists", "room", "force", "expected"),
    [
        ([], 100, True, {}),
        ([("a", 0, [10, 20, 30])], 100, True, {0: [2, 1, 0]}),
        ([("a", 0, [10, 20, 30])], 45, True, {0: [2, 0]}),  # the longest that still fits
        ([("a", 0, [200, 10])], 100, True, {0: [0]}),  # too long for any step: alone
        ([("a", 0, [200, 10])], 100, False, {0: [1]}),
        ([("a", 0, [200])], 100, False, {}),
        ([("a", 0, [200]), ("b", 0, [50])], 100, True, {0: [0]}),
        ([("a", 0, [50] * 9), ("b", 0, [50])], 100, True, {0: [0], 1: [0]}),
        ([("a", 0, [50] * 9), ("a", 0, [50])], 100, True, {0: [0], 1: [0]}),
        (
            [("a", 0, [90]), ("b", 0, [50]), ("b", 0, [60]), ("c", 0, [10])],
            100,
            True,
            {0: [0], 3: [0]},
        ),
        ([("a", 5, [50] * 9), ("b", 0, [50])], 100, True, {1: [0], 0: [0]}),
        ([("a", 5, [50] * 9), ("b", 0, [50] * 9)], 100, True, {1: [0, 1]}),
        ([("a", 0, [1] * 100), ("b", 0, [1] * 100)], 8, True, {0: [0, 1, 2, 3], 1: [0, 1, 2, 3]}),
    ],
)
def test_lists_share_the_room(
    lists: list[tuple[str, int, list[int]]], room: int, force: bool, expected: dict[int, list[int]]
) -> None:
    queue, entries = bands(*lists)
    given = {entries.index(entry): places for entry, places in fill(queue, room, force)}
    assert given == expected


def test_what_is_taken_is_charged() -> None:
    queue, _ = bands(("a", 0, [60, 60]), ("b", 0, [30]))
    fill(queue, 100, force=True)
    assert (queue[0].fairness.counter("a"), queue[0].fairness.counter("b")) == (60, 30)


def test_a_newcomer_waits_for_no_more_than_one_turn_of_a_long_list() -> None:
    queue, (long,) = bands(("a", 0, [64] * 1000))
    for _ in range(10):
        fill(queue, 512, force=True)
    short = ListEntry(Caller("a"), 1, None, [64], None)
    queue[0].add_list(short)
    taken = fill(queue, 512, force=True)
    assert [entry for entry, _ in taken] == [long, short]
