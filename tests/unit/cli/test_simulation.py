"""Fleet, oracle and policies on made-up requests."""

from random import Random

import pytest

from lepton_cli.simulation.contest import beginning, entrants, run
from lepton_cli.simulation.oracle import least
from lepton_cli.simulation.run import simulate, turns
from lepton_cli.simulation.shapes import SHAPES, shape
from lepton_cli.simulation.trace import Request, Trace, TraceError, read, write
from lepton_cli.simulation.world import World
from lepton_operator.scaling.hpa import Hpa
from lepton_operator.scaling.lepton import Lepton, own_behavior
from lepton_operator.scaling.values import Bounds, Depth, Inputs, Rule
from lepton_operator.scaling.words import entry

WORLD, BOUNDS = World(), Bounds(0, 8, 6)


def a_trace(seed: int) -> Trace:
    rng = Random(seed)
    times = sorted(rng.uniform(0, 900) for _ in range(400))
    return Trace("random", tuple(Request(at, rng.uniform(10, 600)) for at in times), 900)


@pytest.mark.parametrize("seed", range(5))
def test_each_request_is_served_once_in_order_and_never_for_less_than_the_oracle(seed: int) -> None:
    trace = a_trace(seed)
    for entrant in entrants(WORLD, BOUNDS):
        result = simulate(trace, WORLD, entrant.bounds, entrant.policy)
        assert len(result.starts) == len(trace.requests)
        assert list(result.starts) == sorted(result.starts)
        assert min(result.waits) >= 0
        work = sum(WORLD.service(request) for request in trace.requests) / WORLD.slots
        assert result.replica_seconds >= work
        assert least(trace, WORLD, result.starts, 1) <= result.replica_seconds + 1e-6


def test_the_oracle_bridges_a_gap_that_is_shorter_than_a_cold_start() -> None:
    world = World(slots=1, cold_start=30, pace=1)
    near = Trace("near", (Request(0, 10), Request(20, 10)), 60)
    far = Trace("far", (Request(0, 10), Request(100, 10)), 120)
    assert least(near, world, [0, 20]) == 30 + 10 + 10 + 10
    assert least(far, world, [0, 100]) == 30 + 10 + 30 + 10


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_made_by_its_seed(name: str) -> None:
    assert shape(name, 1, 300) == shape(name, 1, 300) != shape(name, 2, 300)


def test_a_run_is_the_same_each_time() -> None:
    trace = shape("burst", 1, 600)
    some = entrants(WORLD, BOUNDS)
    assert run(trace, WORLD, some) == run(trace, WORLD, some)
    assert beginning(trace, WORLD, BOUNDS) >= 0


def test_a_sleeping_model_wakes_at_its_first_request() -> None:
    trace = Trace("late", (Request(10.25, 50), Request(500, 50)), 500)
    policy = Lepton(Hpa(own_behavior(8)), WORLD.slots)
    result = simulate(trace, WORLD, BOUNDS, policy, initial=0)
    assert result.waits[0] == pytest.approx(WORLD.cold_start)
    assert result.wakes == 2
    awake = [sample.at for sample in result.line if sample.replicas]
    # Idle from 41.25 on: asleep 300 seconds and the look after it later.
    assert 341 <= max(at for at in awake if at < 500) <= 344


def seen(at: float, depth: int | None, replicas: int = 1, unschedulable: int = 0) -> Inputs:
    return Inputs(at, Depth(depth), BOUNDS, replicas, replicas, replicas, unschedulable)


def test_it_never_sleeps_on_an_unknown_queue() -> None:
    policy = Lepton(Hpa(own_behavior(8)), 8, idle_seconds=5)
    state = policy.first()
    for at, depth in enumerate([0, 0, 0, None, 0, 0, 0, 0, 0]):
        decision, state = policy.decide(seen(at, depth), state)
        assert decision.replicas == 1
    decision, state = policy.decide(seen(9, 0), state)
    assert (decision.replicas, decision.rule) == (0, Rule.SLEEP)


def test_it_runs_ahead_of_the_autoscaler_but_not_without_nodes() -> None:
    policy = Lepton(Hpa(own_behavior(8)), 8)
    _, state = policy.decide(seen(0, 6), policy.first())
    assert policy.decide(seen(1, 8), state)[0].replicas == 1
    ahead = policy.decide(seen(1, 20), state)[0]
    assert (ahead.replicas, ahead.rule) == (4, Rule.BURST)
    assert entry(ahead)["wouldChange"][0] == {"field": "queueDepth", "is": "above", "value": 26}
    assert policy.decide(seen(1, 20, unschedulable=1), state)[0].replicas == 1


def test_changes_of_direction_are_counted() -> None:
    assert turns([1, 1, -1, -1, 1]) == 2


def test_a_trace_is_read_as_it_was_written() -> None:
    trace = Trace("t", (Request(1.0, 5.0), Request(2.0, 5.0, 3.0)), 9.0)
    assert read("t", write(trace).splitlines()) == trace


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "t:1: no JSON"),
        ("[]", "t:1: give one object"),
        ('{"at": 1}', "t:1: work is None; give a number"),
        ("", "t: no requests"),
    ],
)
def test_a_bad_trace_is_refused_with_line_and_field(line: str, words: str) -> None:
    with pytest.raises(TraceError, match=words):
        read("t", [line])
