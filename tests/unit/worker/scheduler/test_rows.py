"""Texts that are searched with beams count as many times as they have rows."""

import pytest

from lepton_worker.errors import ContextLengthExceeded, DeadlineUnattainable
from lepton_worker.request import Beams, Caller, Sampling
from lepton_worker.scheduler.admission import Admission, Bounds
from lepton_worker.scheduler.costs import Costs, Rates, Report, Work
from lepton_worker.scheduler.entries import Limits, TextEntry, check_growth
from lepton_worker.scheduler.planner import Planner


def entry(name: str, rows: int, prompt: int = 10, most_new: int = 5) -> TextEntry:
    return TextEntry(Caller(), 0, None, prompt, most_new, name, rows)


def seated(slots: int, cache: int, *entries: TextEntry) -> str:
    planner = Planner(Limits(slots, 64, 64, cache), Costs())
    for item in entries:
        planner.add(item)
    return "".join(str(item.job) for item in planner.seat(0).begin)


@pytest.mark.parametrize(
    ("slots", "cache", "rows", "begin"),
    [
        (8, 0, [4, 4, 1], "ab"),
        (9, 0, [4, 4, 1], "abc"),
        (5, 0, [4, 4, 1], "ac"),
        (2, 0, [4, 1, 1], "a"),  # more rows than there are slots take all of them
        (8, 60, [4, 1, 1], "a"),  # 4 x 15 tokens are all that there is room for
        (8, 75, [4, 2, 1], "ac"),
    ],
)
def test_slots_and_memory_for_each_row(slots: int, cache: int, rows: list[int], begin: str) -> None:
    texts = [entry(name, count) for name, count in zip("abc", rows, strict=True)]
    assert seated(slots, cache, *texts) == begin


def test_a_text_that_leaves_gives_all_of_its_slots_back() -> None:
    planner = Planner(Limits(4, 64, 64, 0), Costs())
    first, second = entry("a", 4), entry("b", 3)
    planner.add(first)
    planner.add(second)
    assert planner.seat(0).begin == [first]
    planner.remove(first)
    assert planner.seat(0).begin == [second]
    assert planner.cache_reserved == 3 * 15


def test_a_step_counts_the_rows_of_what_goes_on() -> None:
    planner = Planner(Limits(8, 64, 64, 0), Costs())
    texts = [entry("a", 4), entry("b", 1)]
    for item in texts:
        planner.add(item)
    planner.seat(0)
    for item in texts:
        item.computed, item.length = 10, 11
    share = planner.share(0)
    assert (share.prefill, share.decode) == (0, 5)
    assert planner.cache_used == 50


def test_what_never_fits_is_told_with_its_beams() -> None:
    check_growth(10, 5, 60, 4)
    with pytest.raises(ContextLengthExceeded, match="for each of 5 beams, can grow to more"):
        check_growth(10, 5, 60, 5)


def test_rows_of_a_request() -> None:
    assert Sampling(4, beams=Beams(3)).rows == 3
    assert Sampling(0, beams=Beams(3)).rows == 1
    assert Sampling(4).rows == 1


def test_a_deadline_is_held_against_the_work_of_all_rows() -> None:
    rates = Rates(overhead=0.1, prefill=0.001, decode=0.01, typical_new=100)
    admission = Admission(Bounds(max_waiting=9, cache_tokens=0, slots=8))
    admission.observe(Report(rates, Work(), 0.0), 0.0)
    # 0.11 s for the prompt, and 20 steps: of 0.11 s for one row, of 0.14 s for four.
    admission.leave(admission.admit(10, 20, deadline=2.31 / 1.5 + 0.01, now=0))
    with pytest.raises(DeadlineUnattainable, match=r"about 2\.9 s"):
        admission.admit(10, 20, deadline=2.91 / 1.5 - 0.01, now=0, rows=4)
    permit = admission.admit(10, 20, deadline=2.91 / 1.5 + 0.01, now=0, rows=4)
    assert permit.work == Work(10, 80)


def test_what_never_fits_is_refused_before_it_waits() -> None:
    admission = Admission(Bounds(max_waiting=9, cache_tokens=60, slots=8))
    admission.admit(10, 5, None, 0, rows=4)
    with pytest.raises(ContextLengthExceeded, match="5 beams"):
        admission.admit(10, 5, None, 0, rows=5)
