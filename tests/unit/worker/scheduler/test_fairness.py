"""Virtual token counters: who is served next, and who is lifted."""

import random

from lepton_worker.scheduler.fairness import REMEMBERED, Fairness, Rotation


def entered(*tenants: str) -> Fairness:
    fairness = Fairness()
    for tenant in tenants:
        fairness.enter(tenant)
    return fairness


def test_the_one_with_less_service_is_next() -> None:
    fairness = entered("a", "b")
    fairness.charge("a", 10)
    fairness.charge("b", 9)
    assert min("ab", key=fairness.rank) == "b"


def test_among_equals_the_one_chosen_longest_ago_is_next() -> None:
    fairness = entered("a", "b", "c")
    for tenant in "abc":
        fairness.chosen(tenant)
    fairness.chosen("a")
    assert sorted("abc", key=fairness.rank) == ["b", "c", "a"]


def test_who_comes_back_is_lifted_to_the_smallest_that_waits() -> None:
    fairness = entered("a", "b", "c")
    fairness.leave("c")
    fairness.charge("a", 100)
    fairness.charge("b", 70)
    fairness.enter("c")
    assert fairness.counter("c") == 70


def test_nobody_is_lowered_on_coming_back() -> None:
    fairness = entered("a", "b")
    fairness.charge("b", 50)
    fairness.leave("b")
    fairness.enter("b")
    assert fairness.counter("b") == 50


def test_a_second_request_does_not_lift() -> None:
    fairness = entered("a", "b")
    fairness.charge("a", 50)
    fairness.enter("b")
    assert fairness.counter("b") == 0


def test_when_nothing_waits_the_last_one_gone_sets_the_level() -> None:
    fairness = entered("a")
    fairness.leave("a")
    fairness.charge("a", 40)  # its text runs on
    fairness.enter("b")
    assert fairness.counter("b") == 40


def test_what_was_not_needed_is_given_back() -> None:
    fairness = entered("a")
    fairness.charge("a", 40)
    fairness.charge("a", -30)
    assert fairness.counter("a") == 10


def test_idle_tenants_are_forgotten_the_smallest_first() -> None:
    fairness = entered("waits")
    for number in range(5 * REMEMBERED):
        tenant = f"tenant {number}"
        fairness.enter(tenant)
        fairness.charge(tenant, number)
        fairness.leave(tenant)
    assert len(fairness) <= REMEMBERED + 2
    assert fairness.counter("tenant 0") == 0
    assert fairness.counter(tenant) == number
    assert fairness.rank("waits") == (0.0, 0)
    fairness.charge("tenant 0", 5)
    assert fairness.counter("tenant 0") == 0


def test_lists_in_rotation_get_equal_tokens() -> None:
    rng = random.Random(1)
    rotation, got = Rotation(), dict.fromkeys("abc", 0)
    tags = dict.fromkeys("abc", rotation.time)
    for _ in range(1000):
        name = min(tags, key=lambda name: tags[name])
        tokens = rng.randint(1, 100)
        tags[name] += tokens
        got[name] += tokens
        rotation.served(tokens, len(tags))
    assert max(got.values()) - min(got.values()) <= 100
    assert min(tags.values()) <= rotation.time <= max(tags.values())
