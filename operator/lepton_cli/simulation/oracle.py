"""The least that a fleet could cost whose requests begin at given times: it knows the future.

At any time as many workers have to be ready as the running requests need, `slots` to each. The
k-th worker is needed while more than (k-1) * slots run. Between two needs it either stays, which
costs the gap, or ends and starts again, which costs a cold start: the oracle takes the cheaper
(offline ski rental, as in Lin, Wierman et al., "Dynamic right-sizing for power-proportional data
centers", 2011). Requests may move between workers, which real ones cannot, so no fleet whose
requests begin at the same times costs less.
"""

from collections.abc import Sequence

from lepton_cli.simulation.run import simulate
from lepton_cli.simulation.trace import Trace
from lepton_cli.simulation.world import World
from lepton_operator.scaling.values import Bounds, Decision, Inputs, Rule


class Warm:
    """Always the most workers: nobody waits longer than the bounds make them."""

    period = 60.0

    def first(self) -> None:
        """Nothing to remember."""

    def wake(self, inputs: Inputs, state: None) -> None:
        """It never sleeps."""

    def decide(self, inputs: Inputs, state: None) -> tuple[Decision, None]:
        """The most."""
        return Decision(inputs.bounds.high, Rule.MAXIMUM, inputs), None


def least(trace: Trace, world: World, starts: Sequence[float], initial: int = 0) -> float:
    """Replica-seconds without which the requests cannot begin at `starts` (seconds).

    `initial` workers are warm at the begin and have cost no cold start.
    """
    spans = [(at, at + world.service(r)) for at, r in zip(starts, trace.requests, strict=True)]
    steps = sorted([(end, -1) for _, end in spans] + [(begin, 1) for begin, _ in spans])
    total, running, last = 0.0, 0, dict.fromkeys(range(1, initial + 1), 0.0)
    since: dict[int, float] = {}
    for at, change in steps:
        before, running = -(-running // world.slots), running + change
        after = -(-running // world.slots)
        if after > before:
            gap = at - last[after] if after in last else world.cold_start
            total += min(gap, world.cold_start)
            since[after] = at
        elif after < before:
            total += at - since[before]
            last[before] = at
    return total


def oracle(trace: Trace, world: World, high: int, initial: int = 0) -> float:
    """Replica-seconds of the oracle: its requests begin as if `high` workers were always warm."""
    ideal = simulate(trace, world, Bounds(high, high, 1), Warm(), initial=high)
    return least(trace, world, ideal.starts, initial)
