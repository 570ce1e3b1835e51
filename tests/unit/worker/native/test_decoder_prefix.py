"""Slots: who gets which, what stays in them, and what makes way."""

import random

import pytest

from lepton_worker.backends.native.prefix import WORTH, NoRoom, SlotTable, Trim, common

A, B = list(range(100)), list(range(200, 300))


def filled(table: SlotTable, owner: str, ids: list[int], adapter: str = "") -> int:
    """Begin a text and compute all of it; its slot."""
    placed = table.begin(owner, ids, adapter, len(ids) - 1)
    table.reserve({placed.slot: len(ids)})
    placed.slot.known = len(ids)
    return placed.slot.index


@pytest.mark.parametrize("shared", [0, 1, WORTH - 1, WORTH, WORTH + 1, 37, 99])
def test_common_prefixes(shared: int) -> None:
    other = [*A[:shared], *B]
    found = shared if shared >= WORTH else 0
    assert common(A, other, 1000) == found
    assert common(other, A, 1000) == found
    assert common(A, list(A), shared) == found


def test_common_prefixes_of_random_texts() -> None:
    drawn = random.Random(0)
    for _ in range(300):
        first = [drawn.choice([1, 1, 1, 2]) for _ in range(60)]
        second = list(first)
        for _ in range(drawn.randint(0, 3)):
            second[drawn.randrange(60)] = 3
        same = next((i for i in range(60) if first[i] != second[i]), 60)
        assert common(first, second, 60) == (same if same >= WORTH else 0)


def test_running_texts_take_the_first_slots() -> None:
    table = SlotTable(8, 4, 1000)
    assert [filled(table, name, [number] * 20) for number, name in enumerate("abcd")] == [
        0,
        1,
        2,
        3,
    ]
    with pytest.raises(NoRoom, match="4 of 4"):
        table.begin("e", A, "", 99)


def test_a_text_does_not_begin_twice() -> None:
    table = SlotTable(8, 4, 1000)
    filled(table, "a", A)
    with pytest.raises(NoRoom):
        table.begin("a", A, "", 99)


def test_a_whole_cached_prefix_is_gone_on_with_in_its_slot() -> None:
    table = SlotTable(4, 2, 1000)
    first = filled(table, "a", A)
    table.end("a")
    placed = table.begin("b", [*A, 1, 2], "", 101)
    assert (placed.slot.index, placed.source, placed.slot.known) == (first, None, 100)


@pytest.mark.parametrize("ended", [False, True])
def test_part_of_a_text_is_copied_to_another_slot(ended: bool) -> None:
    table = SlotTable(4, 2, 1000)
    first = filled(table, "a", A)
    if ended:
        table.end("a")
    placed = table.begin("b", [*A[:50], *B], "", 149)
    assert (placed.slot.index, placed.source, placed.slot.known) == (1, first, 50)
    assert table.held == 150


def test_never_all_of_a_text_is_known() -> None:
    table = SlotTable(4, 2, 1000)
    filled(table, "a", A)
    table.end("a")
    assert table.begin("b", list(A), "", 99).slot.known == 99


def test_other_adapters_share_nothing() -> None:
    table = SlotTable(4, 2, 1000)
    filled(table, "a", A, "x")
    table.end("a")
    assert table.begin("b", [*A, 1], "y", 100).slot.known == 0


def test_prefixes_of_an_adapter_can_be_dropped() -> None:
    table = SlotTable(4, 2, 1000)
    for name, ids, adapter in (("a", A, "x"), ("b", B, "")):
        filled(table, name, ids, adapter)
        table.end(name)
    assert table.forget("x") == [Trim(0, 0, 100)]
    assert table.begin("a", [*A, 1], "x", 100).slot.known == 0
    assert table.begin("b", [*B, 1], "", 100).slot.known == 100


def test_short_states_are_not_kept() -> None:
    table = SlotTable(4, 2, 1000)
    filled(table, "a", A[: WORTH - 1])
    table.end("a")
    assert table.begin("b", [*A[: WORTH - 1], 1, 2], "", 50).slot.known == 0


def test_a_spoilt_slot_is_emptied() -> None:
    table = SlotTable(4, 2, 1000)
    filled(table, "a", A)
    assert table.end("a", keep=False) == Trim(0, 0, 100)
    assert table.held == 0
    assert table.begin("b", [*A, 1], "", 100).slot.known == 0


def test_the_longest_unused_prefix_makes_way_for_memory() -> None:
    table = SlotTable(8, 4, 250)
    for name, ids in (("a", A), ("b", B)):
        filled(table, name, ids)
        table.end(name)
    filled(table, "a", [*A, 1])
    table.end("a")
    placed = table.begin("c", [5] * 80, "", 79)
    assert table.reserve({placed.slot: 80}) == [Trim(1, 0, 100)]
    assert table.held == 181


def test_memory_that_no_text_uses_goes_first() -> None:
    table = SlotTable(2, 2, 200)
    filled(table, "a", A)
    table.end("a")
    filled(table, "b", B)
    # The only slot left is the one with the prefix, which is cut to what is shared.
    assert table.begin("c", [*A[:40], 1, 2, 3], "", 42).slot.known == 40
    slot = table.of("b")
    assert slot is not None
    assert table.reserve({slot: 140}) == [Trim(0, 40, 100)]


def test_without_anything_to_drop_nothing_changes() -> None:
    table = SlotTable(4, 2, 150)
    filled(table, "a", A)
    placed = table.begin("b", B, "", 99)
    with pytest.raises(NoRoom, match="50 tokens"):
        table.reserve({placed.slot: 100})
    assert table.held == 100
    assert table.reserve({placed.slot: 50}) == []


def test_without_memory_for_a_copy_the_prefix_itself_is_used() -> None:
    table = SlotTable(4, 2, 120)
    filled(table, "a", A)
    table.end("a")
    placed = table.begin("b", [*A[:50], *B], "", 149)
    assert (placed.slot.index, placed.source, placed.slot.known) == (0, None, 50)


def test_without_memory_for_a_copy_of_a_running_text_nothing_is_known() -> None:
    table = SlotTable(4, 2, 120)
    filled(table, "a", A)
    placed = table.begin("b", [*A[:50], *B], "", 149)
    assert (placed.slot.index, placed.source, placed.slot.known) == (1, None, 0)


def test_a_cut_that_loses_less_than_another_prefix_is_preferred() -> None:
    table = SlotTable(2, 1, 1000)
    for name, ids in (("a", A), ("b", B)):
        filled(table, name, ids)
        table.end(name)
    placed = table.begin("b", list(B), "", 99)
    assert (placed.slot.index, placed.slot.known) == (1, 99)
    table.end("b")
    assert table.begin("a", list(A), "", 99).slot.known == 99


def test_memory_is_counted_right_through_random_lives() -> None:
    drawn = random.Random(2)
    table = SlotTable(6, 3, 200)
    running: list[int] = []
    for owner in range(500):
        if len(running) < 3 and drawn.random() < 0.6:
            ids = [*A[: drawn.choice([0, 20, 45])], *[owner] * drawn.randint(1, 40)]
            table.begin(owner, ids, drawn.choice(["", "x"]), len(ids) - 1)
            running.append(owner)
        for owned in running:
            slot = table.of(owned)
            assert slot is not None
            try:
                table.reserve({slot: len(slot.ids)})
            except NoRoom:
                continue
            slot.known = len(slot.ids)
        if running and drawn.random() < 0.5:
            table.end(running.pop(drawn.randrange(len(running))), keep=drawn.random() < 0.8)
        assert table.held == sum(slot.written for slot in table.slots) <= 200
        assert all(slot.known <= slot.written for slot in table.slots)
        assert sum(slot.owner is not None for slot in table.slots) == len(running) == table.owned
