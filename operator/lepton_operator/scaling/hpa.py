"""The HorizontalPodAutoscaler's own algorithm, for one External metric with an AverageValue.

After pkg/controller/podautoscaler (horizontal.go, replica_calculator.go) of Kubernetes 1.33 to
1.37. Such a metric looks at no pod: pods that load or lack a metric change nothing, and a metric
that cannot be read leaves the number as it is. One difference: what left every window is forgotten
at once, where upstream overwrites it later; it counts for nothing in either.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from lepton_operator.scaling.behavior import Behavior, Direction
from lepton_operator.scaling.values import Decision, Inputs, Rule

Timed = tuple[tuple[float, int], ...]
"""Pairs of a time and a number."""

LARGEST = 2**31 - 1


@dataclass(frozen=True)
class State:
    """What the controller keeps in memory for one autoscaler."""

    recommendations: Timed = ()
    ups: Timed = ()
    downs: Timed = ()


@dataclass(frozen=True)
class Hpa:
    """One autoscaler and the cluster's settings for all of them; times in seconds."""

    behavior: Behavior | None = None
    """None is a spec without it: other limits then, at most twice as many pods and at least 4."""
    tolerance: float = 0.1
    window: float = 300.0
    """The cluster's stabilization for shrinking."""
    period: float = 15.0

    def first(self) -> State:
        """The controller has just started."""
        return State()

    def wake(self, inputs: Inputs, state: State) -> None:
        """The autoscaler leaves 0 replicas alone."""
        return None

    def decide(self, inputs: Inputs, state: State) -> tuple[Decision, State]:
        """One sync."""
        now = inputs.replicas
        if not state.recommendations:
            state = replace(state, recommendations=((inputs.at, now),))
        if now == 0 and inputs.bounds.low > 0:
            return Decision(0, Rule.ASLEEP, inputs), state
        if now > inputs.bounds.high:
            replicas, rule = inputs.bounds.high, Rule.MAXIMUM
        elif now < inputs.bounds.low:
            replicas, rule = inputs.bounds.low, Rule.MINIMUM
        elif inputs.depth.known is None:
            return Decision(now, Rule.UNKNOWN, inputs), state
        else:
            replicas, rule, state = self._followed(inputs, inputs.depth.known, state)
        return Decision(replicas, rule, inputs), self._remembered(inputs.at, now, replicas, state)

    def _followed(self, inputs: Inputs, depth: int, state: State) -> tuple[int, Rule, State]:
        proposed, rule = self._proposed(inputs, depth)
        if self.behavior is None:
            stable, state = self._stable_plainly(inputs.at, proposed, state)
            ceiling = max(2 * inputs.replicas, 4)
            lowest, highest = inputs.bounds.low, min(inputs.bounds.high, ceiling)
        else:
            stable, state = self._stable(inputs, proposed, state, self.behavior)
            lowest, highest = _allowed(inputs, state, self.behavior)
        if stable != proposed:
            rule = Rule.STABILIZED
        if stable > highest:
            return highest, Rule.MAXIMUM if highest == inputs.bounds.high else Rule.RATE, state
        if stable < lowest:
            return lowest, Rule.MINIMUM if lowest == inputs.bounds.low else Rule.RATE, state
        return stable, rule, state

    def _proposed(self, inputs: Inputs, depth: int) -> tuple[int, Rule]:
        if inputs.existing:
            ratio = depth / (inputs.bounds.target * inputs.existing)
            up = self._tolerance(self.behavior.up) if self.behavior else self.tolerance
            down = self._tolerance(self.behavior.down) if self.behavior else self.tolerance
            if 1.0 - down <= ratio <= 1.0 + up:
                return inputs.existing, Rule.TOLERANCE
        return inputs.bounds.wanted(depth), Rule.QUEUE

    def _tolerance(self, direction: Direction) -> float:
        return self.tolerance if direction.tolerance is None else direction.tolerance

    def _stable_plainly(self, at: float, proposed: int, state: State) -> tuple[int, State]:
        recent = tuple(one for one in state.recommendations if one[0] >= at - self.window)
        highest = max([proposed, *(number for _, number in recent)])
        return highest, replace(state, recommendations=(*recent, (at, proposed)))

    def _stable(
        self, inputs: Inputs, proposed: int, state: State, behavior: Behavior
    ) -> tuple[int, State]:
        """The present number, moved no further than all recommendations of both windows agree."""
        at = inputs.at
        windows = [
            self.window if direction.window is None else direction.window
            for direction in (behavior.up, behavior.down)
        ]
        lower, upper = (
            [proposed, *(n for time, n in state.recommendations if time > at - window)]
            for window in windows
        )
        stable = min(max(inputs.replicas, min(lower)), max(upper))
        kept = tuple(one for one in state.recommendations if one[0] >= at - max(windows))
        return stable, replace(state, recommendations=(*kept, (at, proposed)))

    def _remembered(self, at: float, before: int, after: int, state: State) -> State:
        if self.behavior is None or before == after:
            return state
        if after > before:
            return replace(state, ups=_added(state.ups, at, after - before, self.behavior.up))
        return replace(state, downs=_added(state.downs, at, before - after, self.behavior.down))


def _added(events: Timed, at: float, change: int, direction: Direction) -> Timed:
    # Both lists serve the limits of both directions; half an hour is the longest period there is.
    kept = tuple(event for event in events if event[0] > at - 1800)
    return (*kept, (at, change))


def _allowed(inputs: Inputs, state: State, behavior: Behavior) -> tuple[int, int]:
    now, bounds = inputs.replicas, inputs.bounds
    most = max(now, _reach(inputs, state, behavior.up, up=True))
    fewest = min(now, _reach(inputs, state, behavior.down, up=False))
    return max(bounds.low, fewest), min(bounds.high, most)


def _reach(inputs: Inputs, state: State, direction: Direction, *, up: bool) -> int:
    """As far as the limits let the number go in one direction."""
    if direction.select == "Disabled":
        return inputs.replicas
    furthest: Callable[[list[int]], int] = max if up == (direction.select == "Max") else min
    proposals = []
    for limit in direction.limits:
        start = (
            inputs.replicas
            - _sum(state.ups, inputs.at - limit.period)
            + _sum(state.downs, inputs.at - limit.period)
        )
        if limit.type == "Pods":
            proposals.append(start + limit.value if up else start - limit.value)
        elif up:
            proposals.append(min(LARGEST, math.ceil(start * (1 + limit.value / 100))))
        else:
            proposals.append(int(start * (1 - limit.value / 100)))
    return furthest(proposals)


def _sum(events: Timed, since: float) -> int:
    return sum(change for at, change in events if at > since)
