"""The queue: admission, order, batches, deadlines, leaving."""

import pytest

from lepton_worker.errors import DeadlineExceeded, QueueFull
from lepton_worker.scheduler.scheduler import Limits, Scheduler, Ticket, share


def a_scheduler(max_running: int = 2, max_waiting: int = 3) -> Scheduler[str]:
    return Scheduler(Limits(max_running, max_waiting))


def admitted(scheduler: Scheduler[str], *jobs: str) -> list[Ticket[str]]:
    tickets = []
    for job in jobs:
        tickets.append(scheduler.admit(None, 0))
        scheduler.prepare(tickets[-1], job)
    return tickets


def jobs(tickets: list[Ticket[str]]) -> list[str | None]:
    return [ticket.job for ticket in tickets]


def test_first_come_first_served_as_far_as_there_is_room() -> None:
    scheduler = a_scheduler()
    first, _, _ = admitted(scheduler, "a", "b", "c")
    assert jobs(scheduler.next_batch()) == ["a", "b"]
    assert (scheduler.waiting, scheduler.running) == (1, 2)
    scheduler.leave(first, 1)
    assert jobs(scheduler.next_batch()) == ["b", "c"]


def test_a_request_joins_the_ones_that_run_already() -> None:
    scheduler = a_scheduler()
    admitted(scheduler, "a")
    scheduler.next_batch()
    admitted(scheduler, "b")
    assert jobs(scheduler.next_batch()) == ["a", "b"]


def test_an_unprepared_request_keeps_its_place_and_holds_up_nobody() -> None:
    scheduler = a_scheduler(max_running=1)
    early = scheduler.admit(None, 0)
    admitted(scheduler, "late")
    assert jobs(scheduler.next_batch()) == ["late"]
    assert scheduler.prepare(early, "early") == 0
    assert scheduler.waiting == 1


def test_the_position_counts_who_waits_in_front() -> None:
    scheduler = a_scheduler(max_running=1)
    positions = []
    for job in "abc":
        ticket = scheduler.admit(None, 0)
        positions.append(scheduler.prepare(ticket, job))
        scheduler.next_batch()
    assert positions == [0, 0, 1]


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    scheduler = a_scheduler(max_running=1, max_waiting=2)
    admitted(scheduler, "a")
    scheduler.next_batch()
    admitted(scheduler, "b", "c")
    with pytest.raises(QueueFull) as caught:
        scheduler.admit(None, 0)
    assert caught.value.metadata == {"max_queue_depth": "2"}
    assert caught.value.retry_after == 1.0  # nothing is known of the pace yet
    assert (scheduler.waiting, scheduler.running) == (2, 1)


def test_the_hint_follows_the_pace() -> None:
    scheduler = a_scheduler(max_running=1, max_waiting=4)
    for number, job in enumerate("abcd"):
        admitted(scheduler, job)
        if number >= 2:
            scheduler.leave(scheduler.next_batch()[0], number * 3.0)
        scheduler.next_batch()
    admitted(scheduler, "e", "f", "g")
    with pytest.raises(QueueFull) as caught:
        scheduler.admit(None, 10)
    assert caught.value.retry_after == pytest.approx(6.0)  # half of 4 wait, 3 s each


def test_a_deadline_in_the_past_is_refused_before_any_work() -> None:
    scheduler = a_scheduler()
    with pytest.raises(DeadlineExceeded):
        scheduler.admit(deadline=5.0, now=5.0)
    assert scheduler.in_hand == []


def test_expired_requests_leave_wherever_they_are() -> None:
    scheduler = a_scheduler(max_running=1)
    running, waiting, patient = (scheduler.admit(deadline, 0) for deadline in (2.0, 1.0, None))
    for ticket in (running, waiting, patient):
        scheduler.prepare(ticket, "x")
    scheduler.next_batch()
    assert scheduler.expire(0.5) == []
    assert scheduler.expire(1.0) == [waiting]
    assert scheduler.expire(9.0) == [running]
    assert scheduler.in_hand == [patient]
    assert scheduler.expire(9.0) == []


def test_who_has_left_does_not_expire() -> None:
    scheduler = a_scheduler()
    ticket = scheduler.admit(1.0, 0)
    scheduler.leave(ticket, 0.5)
    assert scheduler.expire(2.0) == []


def test_leaving_twice_is_leaving_once() -> None:
    scheduler = a_scheduler()
    first, second = admitted(scheduler, "a", "b")
    scheduler.next_batch()
    scheduler.leave(first, 1)
    scheduler.leave(first, 1)
    assert scheduler.in_hand == [second]
    assert first not in scheduler


@pytest.mark.parametrize(
    ("pending", "limit", "shares"),
    [
        ([], 4, []),
        ([1, 1], 4, [1, 1]),
        ([5, 1], 4, [3, 1]),
        ([9, 9, 9], 4, [2, 1, 1]),
        ([0, 2], 1, [0, 1]),
        ([3], 8, [3]),
    ],
)
def test_a_step_is_shared_in_turn(pending: list[int], limit: int, shares: list[int]) -> None:
    assert share(pending, limit) == shares
