"""Who is quiet beside whom."""

import pytest

from lepton_worker.request import Caller
from lepton_worker.scheduler.entries import Limits, ListEntry, TextEntry
from lepton_worker.scheduler.neighbours import ALONE, WINDOW, Neighbours

LIMITS = Limits(slots=8, step_tokens=256, prefill_tokens=64, cache_tokens=0)


def a_text(tenant: str, rows: int = 1) -> TextEntry:
    return TextEntry(Caller(tenant), 0, None, 10, 5, None, rows)


def a_list(tenant: str, *lengths: int) -> ListEntry:
    return ListEntry(Caller(tenant), 0, None, lengths, None)


def neighbours(texts: dict[str, int], limits: Limits = LIMITS) -> Neighbours:
    found = Neighbours(limits)
    for tenant, count in texts.items():
        for _ in range(count):
            found.add(a_text(tenant))
    return found


@pytest.mark.parametrize(
    ("texts", "quiet"),
    [
        ({}, ""),
        ({"a": 3}, ""),  # alone
        ({"a": 3, "b": 3}, ""),
        ({"a": 1, "b": 2}, "a"),
        ({"a": 8, "b": 800}, ""),  # both could fill a step
        ({"a": 7, "b": 800}, "a"),
        ({"a": 1, "b": 3, "c": 800}, "ab"),
        ({"a": 1, "b": 5, "c": 8}, "a"),
    ],
)
def test_who_could_use_less_than_an_equal_share(texts: dict[str, int], quiet: str) -> None:
    assert neighbours(texts).standing().quiet == set(quiet)


def test_rows_count_like_texts_and_inputs_by_their_tokens() -> None:
    found = neighbours({"a": 3})
    found.add(a_text("b", rows=4))
    assert found.standing().quiet == {"a"}
    listed = a_list("a", 2, 3)
    found.add(listed)
    assert found.standing().quiet == {"b"}  # 2 x 4 against 2 x 3 + 5
    found.served("b", 100)
    found.took(listed, 3)
    assert found.standing().quiet == frozenset()
    listed.take(None)
    found.remove(listed)
    assert found.standing().quiet == {"a"}


def test_nobody_is_quiet_when_that_is_turned_off() -> None:
    off = Limits(8, 256, 64, 0, neighbour_factor=0)
    assert neighbours({"a": 1, "b": 8}, off).standing() == ALONE


def test_who_left_counts_no_more() -> None:
    found = Neighbours(LIMITS)
    texts = [a_text("a"), a_text("b"), a_text("b")]
    for text in texts:
        found.add(text)
    assert found.standing().tenants == 2
    found.remove(texts[0])
    assert found.standing() == ALONE


@pytest.mark.parametrize(
    ("got_a", "got_b", "quiet"),
    [(0, 0, "a"), (0, 100, "a"), (50, 100, "a"), (60, 100, ""), (100, 100, ""), (100, 10, "")],
)
def test_who_got_as_much_is_not_quiet(got_a: int, got_b: int, quiet: str) -> None:
    """At most 0.7 times the mean: 50 of 75, but not 60 of 80."""
    found = neighbours({"a": 1, "b": 8})
    found.served("a", got_a)
    found.served("b", got_b)
    assert found.standing().quiet == set(quiet)


def test_what_was_got_fades() -> None:
    found = neighbours({"a": 1, "b": 8})
    found.pass_to(5.0)
    found.served("a", 100)
    found.pass_to(5.0 + WINDOW)  # 37 are left
    found.served("b", 100)
    assert found.standing().quiet == {"a"}
    found.served("a", 30)
    assert found.standing().quiet == frozenset()


def test_what_nobody_else_wanted_does_not_count() -> None:
    found = neighbours({"a": 1})
    for second in range(100):
        found.pass_to(second)
        found.served("a", 100)
    for _ in range(8):
        found.add(a_text("b"))
    assert found.standing().quiet == {"a"}


def test_who_was_there_lately_wanted_something() -> None:
    found = neighbours({"b": 8})
    text = a_text("a")
    for second in range(100):
        found.pass_to(second)
        found.add(text)
        found.served("a", 60)
        found.remove(text)
        found.served("b", 50)
    found.add(text)
    assert found.standing().quiet == frozenset()
    for second in range(100, 120):  # alone, but not for long
        found.pass_to(second)
        found.served("b", 100)
    assert found.standing().quiet == {"a"}


def test_who_is_gone_is_forgotten_and_no_number_grows_for_ever() -> None:
    found = neighbours({"a": 1, "b": 8})
    for number in range(3000):
        found.pass_to(number)
        found.served(f"gone {number}", 1)
        found.served("a", 10)
        found.served("b", 100)
    assert len(found._got) <= WINDOW + 3
    assert max(found._got.values()) < 1e14
    assert found.standing().quiet == {"a"}
    found.pass_to(1e6)
    assert found.standing().quiet == {"a"}
