"""Which model is due when."""

import pytest

from lepton_operator.api.objects import Key
from lepton_operator.reconcile.backlog import LONGEST_PAUSE, SPACING, Backlog

A, B, C = Key("n", "a"), Key("n", "b"), Key("n", "c")


@pytest.fixture
def backlog() -> Backlog:
    return Backlog(jitter=lambda: 1.0)


def test_the_longest_due_comes_first(backlog: Backlog) -> None:
    backlog.add(B, 2.0)
    backlog.add(A, 1.0)
    backlog.add(C, 9.0)
    assert [backlog.take(5.0), backlog.take(5.0), backlog.take(5.0)] == [A, B, None]
    assert backlog.next_due() == 9.0


def test_added_many_times_it_is_due_once(backlog: Backlog) -> None:
    for at in (3.0, 1.0, 2.0, 1.0):
        backlog.add(A, at)
    assert backlog.next_due() == 1.0
    assert [backlog.take(3.0), backlog.take(3.0)] == [A, None]
    backlog.succeeded(A, 3.0)
    assert backlog.next_due() is None
    assert len(backlog) == 0


def test_it_is_never_in_hand_twice(backlog: Backlog) -> None:
    backlog.add(A, 0.0)
    assert backlog.take(0.0) == A
    backlog.add(A, 0.0)
    assert backlog.take(100.0) is None
    assert backlog.next_due() is None
    backlog.succeeded(A, 100.0)
    assert backlog.next_due() == 100.0 + SPACING
    assert backlog.take(100.0 + SPACING) == A


def test_not_even_when_added_for_a_time_that_was_given_up_before(backlog: Backlog) -> None:
    backlog.add(A, 5.0)
    backlog.add(A, 3.0)
    assert backlog.take(3.0) == A
    backlog.add(A, 5.0)
    assert backlog.take(9.0) is None


def test_passes_keep_their_distance_whatever_comes_in(backlog: Backlog) -> None:
    backlog.add(A, 0.0)
    backlog.take(0.0)
    backlog.succeeded(A, 1.0)
    backlog.add(A, 1.0)
    assert backlog.take(1.0) is None
    assert backlog.take(1.0 + SPACING) == A


def test_pauses_after_failures_grow_to_a_limit_and_success_resets_them(backlog: Backlog) -> None:
    pauses, now = [], 0.0
    for _ in range(12):
        backlog.add(A, now)
        backlog.take(now + 1)
        pauses.append(backlog.failed(A, now + 1))
        now = backlog.next_due() or 0.0
    assert pauses[:4] == [0.5, 1.0, 2.0, 4.0]
    assert pauses[-1] == LONGEST_PAUSE
    backlog.take(now)
    backlog.succeeded(A, now)
    backlog.add(A, now + 1)
    backlog.take(now + 1)
    assert backlog.failed(A, now + 1) == 0.5


def test_a_caller_may_set_a_shorter_limit(backlog: Backlog) -> None:
    pause = 0.0
    for now in range(0, 10_000, 1_000):
        backlog.add(A, float(now))
        backlog.take(float(now) + 500)
        pause = backlog.failed(A, float(now) + 500, longest=60.0)
    assert pause == 60.0


def test_an_event_does_not_wait_for_the_pause_to_end(backlog: Backlog) -> None:
    backlog.add(A, 0.0)
    backlog.take(0.0)
    for _ in range(8):
        backlog.failed(A, 0.0)
        backlog.take(10_000.0)
    backlog.failed(A, 10_000.0)
    backlog.add(A, 10_001.0)
    assert backlog.take(10_001.0) == A


def test_pauses_are_spread() -> None:
    backlog = Backlog(jitter=lambda: 0.5)
    backlog.add(A, 0.0)
    backlog.take(0.0)
    assert backlog.failed(A, 0.0) == 0.25


def test_a_stuck_pass_shows(backlog: Backlog) -> None:
    assert backlog.longest_in_hand(5.0) == 0.0
    backlog.add(A, 1.0)
    backlog.add(B, 3.0)
    backlog.take(1.0)
    backlog.take(3.0)
    assert backlog.longest_in_hand(5.0) == 4.0


def test_nothing_is_kept_of_a_model_that_is_gone(backlog: Backlog) -> None:
    backlog.add(A, 0.0)
    backlog.take(0.0)
    backlog.failed(A, 0.0)
    backlog.take(10.0)
    backlog.succeeded(A, 10.0)
    backlog.forget(A)
    assert len(backlog) == 0
    backlog.add(A, 10.0)
    assert backlog.take(10.0) == A
