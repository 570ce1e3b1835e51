"""Who is let in, who is refused, and with what word."""

import random

import pytest

from lepton_worker.errors import (
    ContextLengthExceeded,
    DeadlineExceeded,
    DeadlineUnattainable,
    QueueFull,
)
from lepton_worker.request import Caller
from lepton_worker.scheduler.admission import ANYONE, LONGEST, TOLERANCE, Admission, Bounds, Permit
from lepton_worker.scheduler.costs import Rates, Report, Work

RATES = Rates(overhead=0.1, prefill=0.001, decode=0.01, typical_new=100)
"""A text of 100 tokens takes, alone, 0.2 s for its prompt and 0.11 s for each token."""
NOTHING = Work()
SOMEONE = Caller("r")


def measured(bounds: Bounds, left: Work = NOTHING) -> Admission:
    admission = Admission(bounds)
    admission.observe(Report(RATES, left, 0.0), 0.0)
    return admission


def running(admission: Admission, count: int, caller: Caller = SOMEONE) -> list[Permit]:
    permits = [admission.admit(10, 10, None, 0, caller) for _ in range(count)]
    for permit in permits:
        admission.begun(permit)
    return permits


# ------------------------------------------------------------------ places
@pytest.mark.parametrize(
    ("runs", "waiting", "enters"),
    [(0, 0, True), (0, 5, True), (0, 6, False), (2, 3, True), (2, 4, False), (9, 4, False)],
)
def test_only_so_many_wait_beyond_the_free_slots(runs: int, waiting: int, enters: bool) -> None:
    admission = Admission(Bounds(max_waiting=4, cache_tokens=0, slots=2))
    running(admission, runs)
    if enters:
        admission.enter(waiting, Caller())
        return
    with pytest.raises(QueueFull, match=f"{waiting} requests wait") as caught:
        admission.enter(waiting, Caller())
    assert caught.value.metadata == {"max_queue_depth": "4"}
    assert caught.value.retry_after == 1.0  # nothing is known yet


def crowded(*queues: tuple[str, int, int]) -> Admission:
    """Sixteen places, one slot that is taken; queues are tenant, class and count."""
    admission = Admission(Bounds(max_waiting=16, cache_tokens=0, slots=1))
    running(admission, 1)
    for tenant, priority, count in queues:
        for _ in range(count):
            admission.admit(10, 10, None, 0, Caller(tenant, priority))
    return admission


@pytest.mark.parametrize(
    ("queues", "caller", "waiting", "enters"),
    [
        ([("a", 0, 16)], Caller("a"), 16, False),
        ([("a", 0, 16)], Caller("b"), 16, True),  # its share would be half
        ([("a", 0, 16)], Caller("b"), 18, False),  # but the places above the bound are few
        ([("a", 0, 8), ("b", 0, 8)], Caller("b"), 16, False),
        ([("a", 0, 13), ("b", 0, 3)], Caller("b"), 16, True),
        ([("a", 5, 16)], Caller("a", 0), 16, True),  # a better class
        ([("a", 5, 16)], Caller("a", 5), 16, False),
        ([("a", 0, 16)], Caller("a", 5), 16, False),
    ],
)
def test_a_few_places_are_for_those_whom_others_crowd_out(
    queues: list[tuple[str, int, int]], caller: Caller, waiting: int, enters: bool
) -> None:
    admission = crowded(*queues)
    if enters:
        admission.enter(waiting, caller)
    else:
        with pytest.raises(QueueFull):
            admission.enter(waiting, caller)


def test_retry_when_half_of_the_queue_will_have_gone() -> None:
    admission = measured(Bounds(max_waiting=4, cache_tokens=0, slots=2))
    running(admission, 2)
    for _ in range(4):
        admission.admit(1000, 100, None, 0)
    # each 1 s of prompt and 100 tokens of 0.01 + 0.1 / 2 s
    assert admission.estimate() == pytest.approx(4 * 7.0)
    with pytest.raises(QueueFull) as caught:
        admission.enter(4, Caller())
    assert caught.value.retry_after == pytest.approx(14.0)
    for _ in range(100):
        admission.admit(1000, 100, None, 0)
    with pytest.raises(QueueFull) as caught:
        admission.enter(4, Caller())
    assert caught.value.retry_after == LONGEST


def test_under_overload_the_worst_class_is_refused() -> None:
    admission = Admission(Bounds(100, 0, 1))
    for priority in (0, 5):
        admission.admit(10, 10, None, 0, Caller("", priority))
    for step in range(4):
        admission.observe(Report(None, Work(), 60.0), step)
    admission.enter(2, Caller("", 0))
    with pytest.raises(QueueFull, match="class 5"):
        admission.enter(2, Caller("", 5))
    admission.observe(Report(None, Work(), 0.0), 5)
    admission.enter(2, Caller("", 5))


# ------------------------------------------------------------------ what can never be
def test_what_could_never_fit_is_refused() -> None:
    admission = Admission(Bounds(4, cache_tokens=100, slots=1))
    admission.admit(50, 50, None, 0)
    admission.admit(500, 0, None, 0)  # a list keeps nothing
    with pytest.raises(ContextLengthExceeded):
        admission.admit(50, 51, None, 0)
    assert admission.in_hand == 2


def test_a_deadline_that_has_passed_is_refused_even_when_nothing_is_known() -> None:
    admission = Admission(Bounds(4, 0, 1))
    admission.admit(10**6, 10**6, deadline=5.1, now=5.0)
    with pytest.raises(DeadlineExceeded):
        admission.admit(1, 1, deadline=5.0, now=5.0)


# ------------------------------------------------------------------ deadlines
def attainable(admission: Admission, prefill: int, new: int, caller: Caller = ANYONE) -> float:
    """Seconds that the answer is expected to take, found by trying deadlines."""
    low, high = 1e-6, 1e6
    while high / low > 1.0001:
        middle = (low * high) ** 0.5
        try:
            permit = admission.admit(prefill, new, middle, 0.0, caller)
        except DeadlineUnattainable:
            low = middle
        else:
            admission.leave(permit)
            high = middle
    return high * TOLERANCE


def test_alone_a_request_takes_its_own_time() -> None:
    admission = measured(Bounds(10, 0, slots=2))
    assert attainable(admission, 100, 50) == pytest.approx(0.2 + 50 * 0.11, rel=0.01)
    assert attainable(admission, 100, 0) == pytest.approx(0.2, rel=0.01)
    # three of four texts end within 100 tokens
    assert attainable(admission, 100, 10_000) == pytest.approx(0.2 + 100 * 0.11, rel=0.01)


def test_while_slots_are_free_only_prompts_are_in_the_way() -> None:
    admission = measured(Bounds(10, 0, slots=4))
    admission.admit(1000, 100, None, 0)
    expected = 1.0 + 0.2 + 50 * 0.12  # two side by side
    assert attainable(admission, 100, 50) == pytest.approx(expected, rel=0.01)


def test_without_a_free_slot_the_queue_and_the_next_slot_count() -> None:
    admission = measured(Bounds(10, 0, slots=2), left=Work(prefill=500, decode=40))
    running(admission, 2)
    admission.admit(1000, 100, None, 0)
    wait = (1.0 + 100 * 0.06) + (0.5 + 20 * 0.06)
    assert admission.estimate() == pytest.approx(wait)
    assert attainable(admission, 100, 50) == pytest.approx(wait + 0.2 + 50 * 0.12, rel=0.01)


@pytest.mark.parametrize(
    ("shields", "held", "waits"),
    [(True, 0, False), (True, 1, True), (False, 0, True)],
)
def test_who_gets_a_slot_from_a_neighbour_waits_for_none(
    shields: bool, held: int, waits: bool
) -> None:
    """Of four slots for two tenants, a second one is not below half of them."""
    admission = Admission(Bounds(10, 0, slots=4))
    admission.observe(Report(RATES, Work(500, 400), 0.0, shields), 0.0)
    running(admission, 4, Caller("loud"))
    running(admission, held, Caller("quiet"))
    alone = 0.2 + 50 * (0.1 + 0.01 * 4)
    next_slot = 0.5 + 100 * (0.01 + 0.1 / 4)
    found = attainable(admission, 100, 50, Caller("quiet"))
    assert found == pytest.approx(alone + next_slot * waits, rel=0.01)


def test_the_refusal_says_how_long_it_would_take() -> None:
    admission = measured(Bounds(10, 0, slots=2))
    with pytest.raises(DeadlineUnattainable, match=r"about 11\.2 s.* leaves 4\.0 s") as caught:
        admission.admit(100, 100, 14.0, 10.0)
    assert caught.value.metadata == {"estimated_seconds": "11.2", "remaining_seconds": "4.0"}
    assert caught.value.retry_after == pytest.approx(7.2)
    assert admission.in_hand == 0


def test_the_first_token_is_estimated_without_those_behind_it() -> None:
    admission = measured(Bounds(10, 0, slots=2))
    admission.admit(100, 100, None, 10.0, first_by=10 + 1.2 / TOLERANCE + 0.01)
    with pytest.raises(DeadlineUnattainable, match=r"first token would take about .* objective"):
        admission.admit(100, 100, None, 10.0, first_by=10.1)
    admission.admit(100, 0, None, 10.0, first_by=10.1)  # a list has no tokens to wait for


def test_an_estimate_a_little_too_long_is_no_reason_to_refuse() -> None:
    admission = measured(Bounds(10, 0, slots=2))
    admission.admit(100, 100, 11.2 / TOLERANCE + 0.01, 0.0)
    with pytest.raises(DeadlineUnattainable):
        admission.admit(100, 100, 11.2 / TOLERANCE - 0.1, 0.0)


@pytest.mark.parametrize(
    ("other", "caller", "wait"),
    [
        (Caller("a", 0), Caller("a", 0), 100.0),  # its own are in front
        (Caller("a", 0), Caller("b", 0), 1.0),  # others get no more than it does
        (Caller("a", 0), Caller("b", 5), 100.0),  # better classes go first
        (Caller("a", 5), Caller("b", 0), 0.0),  # worse ones do not
    ],
)
def test_only_who_goes_first_is_waited_for(other: Caller, caller: Caller, wait: float) -> None:
    admission = measured(Bounds(1000, 0, slots=2))
    running(admission, 2)
    for _ in range(100):
        admission.admit(1000, 1, None, 0, other)
    own = 0.1 + 1.0 + 0.12
    decodes = {100.0: 100 * 0.06, 1.0: 0.06}.get(wait, 0.0)
    assert attainable(admission, 1000, 1, caller) == pytest.approx(wait + own + decodes, rel=0.01)


def test_a_short_list_does_not_wait_for_all_of_a_long_one() -> None:
    admission = measured(Bounds(1000, 0, slots=1))
    running(admission, 1)
    admission.admit(1_000_000, 0, None, 0)
    assert attainable(admission, 100, 0) == pytest.approx(0.1 + 0.2, rel=0.01)


def test_what_has_begun_or_left_is_not_waited_for() -> None:
    admission = measured(Bounds(1000, 0, slots=1))
    permits = [admission.admit(1000, 100, None, 0) for _ in range(3)]
    before = admission.estimate()
    admission.begun(permits[0])
    admission.begun(permits[0])
    assert (admission.waiting, admission.in_hand) == (2, 3)
    assert admission.estimate() == pytest.approx(before * 2 / 3)
    for permit in permits * 2:
        admission.leave(permit)
    assert (admission.waiting, admission.in_hand) == (0, 0)
    assert admission.estimate() == 0


def test_before_any_measurement_nothing_is_estimated() -> None:
    admission = Admission(Bounds(10, 0, 1))
    admission.admit(1000, 1000, None, 0)
    assert admission.estimate() == 0


def test_the_books_are_right_after_anything() -> None:
    rng, admission = random.Random(1), measured(Bounds(10, 0, 2))
    permits: list[Permit] = []
    for _ in range(2000):
        caller = Caller(rng.choice("abc"), rng.randrange(3))
        permits.append(admission.admit(rng.randint(1, 99), rng.randint(0, 99), None, 0, caller))
        if rng.random() < 0.6:
            admission.begun(rng.choice(permits))
        if rng.random() < 0.9:
            admission.leave(permits.pop(rng.randrange(len(permits))))
    assert admission.in_hand == len(permits)
    assert admission.waiting == sum(permit.waits for permit in permits)
    for permit in permits:
        admission.leave(permit)
    assert (admission.waiting, admission.in_hand, admission.estimate()) == (0, 0, 0)
