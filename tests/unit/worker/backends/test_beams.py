"""Which partial answers of a beam search go on, which whole ones are kept, and when it is over."""

from typing import Any

import pytest

from lepton_worker.backends.sampling.beams import DEAD, BeamSearch, Candidate
from lepton_worker.request import Beams

END = 9
Step = list[tuple[float, int, int]]


def search(count: int = 2, most: int = 9, ends: Any = (END,), **asked: Any) -> BeamSearch:
    return BeamSearch(Beams(count, **asked), frozenset(ends), most)


def take(one: BeamSearch, *candidates: tuple[float, int, int]) -> list[int]:
    return one.take([Candidate(*item) for item in candidates])


FIRST: Step = [(-1.0, 0, 3), (-1.5, 0, 4), (-2.0, 0, 5), (-3.0, 0, 6)]


def test_in_the_beginning_only_one_counts() -> None:
    one = search(3)
    assert (one.scores, one.beams, one.steps) == ([0.0, DEAD, DEAD], [(), (), ()], 0)
    assert one.wanted == 6
    assert search(3, ends=(1, 2, 3)).wanted == 12
    assert search(3, ends=()).wanted == 6


def test_the_best_go_on_from_their_parents() -> None:
    one = search()
    assert take(one, *FIRST) == [0, 0]
    assert one.beams == [(3,), (4,)]
    assert one.scores == [-1.0, -1.5]
    assert take(one, (-1.75, 1, 7), (-2.0, 1, 8), (-2.5, 0, 7), (-3.0, 0, 8)) == [1, 1]
    assert one.beams == [(4, 7), (4, 8)]
    assert (one.steps, one.done, one.best) == (2, False, (4, 7))


def test_a_whole_answer_is_kept_and_does_not_go_on() -> None:
    one = search()
    take(one, *FIRST)
    assert take(one, (-1.5, 0, END), (-2.0, 1, 8), (-2.5, 0, 7), (-3.0, 0, 8)) == [1, 0]
    assert one.beams == [(4, 8), (3, 7)]
    assert one.best == (3, END)
    assert not one.done


def test_an_end_that_is_not_among_the_best_is_no_answer() -> None:
    one = search()
    take(one, *FIRST)
    take(one, (-1.5, 0, 7), (-2.0, 1, 8), (-2.5, 0, END), (-3.0, 0, 8))
    assert one.best == (3, 7)  # still on its way


@pytest.mark.parametrize(
    ("penalty", "best"), [(0.0, (END,)), (1.0, (3, 4, END)), (-1.0, (END,)), (0.3, (END,))]
)
def test_scores_are_by_length(penalty: float, best: tuple[int, ...]) -> None:
    one = search(most=3, length_penalty=penalty, early_stopping="never")
    take(one, (-1.0, 0, END), (-1.25, 0, 3), (-5.0, 0, 5), (-6.0, 0, 6))
    for token in (4, END):
        if not one.done:
            take(one, (-1.5, 0, token), (-7.0, 1, 5), (-8.0, 1, 6), (-9.0, 1, 7))
    assert one.best == best


ENDED: Step = [(-2.0, 0, END), (-2.5, 1, END), (-2.6, 0, 7), (-2.7, 1, 7)]


@pytest.mark.parametrize(
    ("asked", "over"),
    [
        ({"early_stopping": True}, True),
        # -2.6 over 2 tokens is worse than -2.5 over 2: no running answer is better now.
        ({"early_stopping": False}, True),
        # -2.6 over 9 tokens would be better.
        ({"early_stopping": "never"}, False),
        ({"early_stopping": "never", "length_penalty": 0.0}, True),
        ({"early_stopping": "never", "length_penalty": -1.0}, True),
    ],
)
def test_when_it_is_over(asked: dict[str, Any], over: bool) -> None:
    one = search(**asked)
    take(one, *FIRST)
    take(one, *ENDED)
    assert one.done is over
    assert one.best == (3, END)


def test_without_early_stopping_a_better_running_answer_keeps_it_going() -> None:
    one, early = search(early_stopping=False), search(early_stopping=True)
    for either in (one, early):
        take(either, *FIRST)
        take(either, (-1.5, 0, END), (-9.0, 1, END), (-2.6, 0, 7), (-2.7, 1, 7))
    assert (one.done, early.done) == (False, True)
    take(one, (-2.7, 0, END), (-3.0, 1, 5), (-3.1, 0, 5), (-3.2, 0, 6))
    assert one.done  # both kept ones are better than -3.0 over 3 now
    assert one.best == (3, END)


def test_the_greatest_length_ends_all() -> None:
    one = search(most=2)
    take(one, *FIRST)
    assert one.last
    take(one, (-1.5, 0, 7), (-2.0, 1, 8), (-2.5, 0, 8), (-3.0, 0, 6))
    assert one.done
    assert one.best == (3, 7)


def test_what_is_impossible_is_never_an_answer() -> None:
    one = search(most=1)
    take(one, (-1.0, 0, END), (float("-inf"), 0, 1), (float("-inf"), 0, 2), (float("-inf"), 0, 3))
    assert one.best == (END,)


def test_given_tokens_are_in_front() -> None:
    one = BeamSearch(Beams(2), frozenset({END}), 5, given=(70,))
    take(one, *FIRST)
    assert one.best == (70, 3)


def test_sums_are_those_of_float32() -> None:
    one = search()
    take(one, *FIRST)
    take(one, (-1.5, 0, END), (-1.7, 1, END), (-2.0, 0, END), (-30.5, 0, 3))
    # A dead candidate loses what is smaller than the next number of float32.
    assert one.scores == [-30.5, DEAD]
