"""The autoscaler's algorithm, against numbers worked out by hand from upstream's rules."""

import pytest

from lepton_operator.scaling.behavior import Behavior, Direction, Limit, behavior
from lepton_operator.scaling.hpa import Hpa, State
from lepton_operator.scaling.values import Bounds, Depth, Inputs, Rule

FAST = Behavior(Direction((Limit("Pods", 100, 15),), 0), Direction((Limit("Percent", 100, 15),), 0))

BOUNDS = Bounds(1, 10, 5)


def seen(
    depth: int | None,
    replicas: int,
    *,
    at: float = 1000.0,
    bounds: Bounds = BOUNDS,
    age: float = 0.0,
    existing: int | None = None,
) -> Inputs:
    there = replicas if existing is None else existing
    return Inputs(at, Depth(depth, age), bounds, replicas, there, there)


@pytest.mark.parametrize(
    ("inputs", "replicas", "rule"),
    [
        (seen(17, 1), 4, Rule.QUEUE),
        (seen(11, 2), 2, Rule.TOLERANCE),  # 1.1 exactly
        (seen(12, 2), 3, Rule.QUEUE),
        (seen(9, 2), 2, Rule.TOLERANCE),  # 0.9 exactly
        (seen(99, 4), 10, Rule.MAXIMUM),
        (seen(0, 1), 1, Rule.MINIMUM),
        (seen(None, 3), 3, Rule.UNKNOWN),
        (seen(50, 3, age=10.5), 3, Rule.UNKNOWN),
        (seen(50, 0), 0, Rule.ASLEEP),
        (seen(None, 12), 10, Rule.MAXIMUM),
        (seen(None, 1, bounds=Bounds(2, 9, 5)), 2, Rule.MINIMUM),
        (seen(20, 4, existing=2), 4, Rule.QUEUE),  # over those that exist, not those asked for
        (seen(7, 0, bounds=Bounds(0, 9, 5)), 2, Rule.QUEUE),
    ],
)
def test_one_sync(inputs: Inputs, replicas: int, rule: Rule) -> None:
    found, _ = Hpa(FAST).decide(inputs, State())
    assert (found.replicas, found.rule) == (replicas, rule)


def followed(hpa: Hpa, steps: list[tuple[float, int]], start: int) -> list[int]:
    """Numbers after each (time, depth)."""
    state, now, found = State(), start, []
    for at, depth in steps:
        decision, state = hpa.decide(seen(depth, now, at=at, bounds=Bounds(1, 100, 5)), state)
        now = decision.replicas
        found.append(now)
    return found


def test_without_behavior_it_doubles_and_reaches_four_at_once() -> None:
    assert followed(Hpa(), [(0, 500), (15, 500), (30, 500)], 1) == [4, 8, 16]


def test_it_shrinks_only_when_the_window_has_forgotten_the_higher_number() -> None:
    steps = [(0.0, 50), (15.0, 10), (300.0, 10), (301.0, 10)]
    assert followed(Hpa(), steps, 10) == [10, 10, 10, 2]


def test_the_default_behavior_grows_by_the_larger_of_four_pods_and_all() -> None:
    hpa = Hpa(behavior({"scaleUp": {}}))
    # The second sync is within the first one's period, which then has no pods left to give.
    assert followed(hpa, [(0, 500), (10, 500), (15, 500), (30, 500)], 2) == [6, 6, 12, 24]


def test_a_limit_per_minute_counts_what_was_given_in_that_minute() -> None:
    rules = {"scaleDown": {"stabilizationWindowSeconds": 0}}
    rules["scaleDown"]["policies"] = [{"type": "Percent", "value": 50, "periodSeconds": 60}]  # type: ignore[assignment]
    steps = [(0.0, 0), (15.0, 0), (59.0, 0), (60.0, 0)]
    assert followed(Hpa(behavior(rules)), steps, 20) == [10, 10, 10, 5]


def test_growing_waits_for_the_lowest_number_of_its_window() -> None:
    up = Direction((Limit("Pods", 100, 15),), 60)
    hpa = Hpa(Behavior(up, FAST.down))
    assert followed(hpa, [(0, 50), (30, 50), (61, 50)], 2) == [2, 2, 10]


def test_a_disabled_direction_stays() -> None:
    hpa = Hpa(behavior({"scaleUp": {"selectPolicy": "Disabled"}}))
    assert followed(hpa, [(0, 500)], 2) == [2]


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"scaleUp": {"selectPolicy": "Most"}}, "scaleUp.selectPolicy: 'Most'; give Max"),
        ({"scaleDown": {"policies": [{"type": "Share"}]}}, "give Pods or Percent"),
        ({"scaleDown": {"policies": [{"type": "Pods", "value": 1}]}}, "from 1 to 1800"),
    ],
)
def test_a_wrong_behavior_is_refused_with_the_remedy(
    section: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        behavior(section)
