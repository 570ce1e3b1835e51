"""Limits, texts and lists as the scheduler sees them."""

import pytest

from lepton_worker.errors import ContextLengthExceeded, InvalidRequest
from lepton_worker.request import Caller
from lepton_worker.scheduler.entries import (
    Limits,
    ListEntry,
    Share,
    TextEntry,
    check_growth,
    check_inputs,
)


def a_list(*lengths: int) -> ListEntry:
    return ListEntry(Caller(), 0, None, lengths, None)


@pytest.mark.parametrize(
    "limits", [(0, 1, 1, 0), (1, 0, 1, 0), (1, 1, 0, 0), (1, 1, 1, -1), (-1, 1, 1, 0)]
)
def test_limits_within_which_nothing_runs_are_refused(limits: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="nothing could ever run"):
        Limits(*limits)


def test_a_new_text_is_its_prompt() -> None:
    text = TextEntry(Caller(), 0, None, prompt=7, most_new=3, job="x")
    assert (text.length, text.computed, text.generated, text.growth) == (7, 0, 0, 10)
    assert not text.seated


def test_equal_entries_are_still_two() -> None:
    assert len({a_list(1), a_list(1)}) == 2


def test_the_longest_input_is_first() -> None:
    entry = a_list(3, 9, 1, 9)
    assert [entry.take(None) for _ in range(4)] == [1, 3, 0, 2]
    assert entry.pending_tokens == 0
    assert entry.take(None) is None


@pytest.mark.parametrize(
    ("room", "place", "left"),
    [(100, 1, 13), (9, 1, 13), (8, 3, 14), (7, 0, 19), (3, 0, 19), (2, 2, 21), (0, None, 22)],
)
def test_the_longest_input_that_fits_is_taken(room: int, place: int | None, left: int) -> None:
    entry = a_list(3, 9, 1, 8, 1)
    assert entry.take(room) == place
    assert entry.pending_tokens == left


@pytest.mark.parametrize(
    ("prompt", "most_new", "cache", "fits"),
    [(5, 5, 10, True), (5, 6, 10, False), (500, 500, 0, True), (11, 0, 10, False)],
)
def test_a_text_has_to_fit_alone(prompt: int, most_new: int, cache: int, fits: bool) -> None:
    if fits:
        check_growth(prompt, most_new, cache)
        return
    with pytest.raises(ContextLengthExceeded, match=f"{cache} tokens that fit") as caught:
        check_growth(prompt, most_new, cache)
    assert caught.value.metadata["cache_tokens"] == str(cache)


def test_a_list_has_inputs() -> None:
    check_inputs(a_list(1))
    with pytest.raises(InvalidRequest, match="inputs"):
        check_inputs(a_list())


def test_a_plan_is_true_when_there_is_work_in_it() -> None:
    assert not Share([], [], 0, 0)
    assert Share([], [(a_list(1), [0])], 1, 0)
