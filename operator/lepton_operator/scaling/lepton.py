"""Lepton's own policy: the autoscaler from 1 to N, we at 0 and ahead of it in a burst."""

from dataclasses import dataclass, replace

from lepton_operator.api.behavior import default_behavior
from lepton_operator.scaling import hpa
from lepton_operator.scaling.behavior import Behavior, behavior
from lepton_operator.scaling.hpa import Hpa
from lepton_operator.scaling.values import Decision, Inputs, Rule


def own_behavior(high: int) -> Behavior:
    """The `behavior` of a LeptonModel that gives none, for at most `high` workers."""
    return behavior(default_behavior(high))


@dataclass(frozen=True)
class State:
    """What is remembered between two looks; times in seconds."""

    autoscaler: hpa.State
    next_sync: float = 0.0
    idle_since: float | None = None
    """Since when every depth was a fresh 0."""


@dataclass(frozen=True)
class Lepton:
    """Looks every second; the autoscaler in it every 15 seconds, as in a cluster."""

    autoscaler: Hpa
    slots: int
    """Requests that a worker computes at once."""
    idle_seconds: float = 300.0
    """How long no request is in hand before the last worker ends, if 0 workers are allowed."""
    period: float = 1.0

    def first(self) -> State:
        """Nothing is known."""
        return State(self.autoscaler.first())

    def wake(self, inputs: Inputs, state: State) -> tuple[Decision, State] | None:
        """The gateway holds a request: as many workers as the queue asks for."""
        depth = inputs.depth.known
        if not depth:
            return None
        least = max(1, inputs.floor.replicas)
        replicas = min(inputs.bounds.high, max(least, inputs.bounds.wanted(depth)))
        return Decision(replicas, Rule.WAKE, inputs), replace(state, idle_since=None)

    def decide(self, inputs: Inputs, state: State) -> tuple[Decision, State]:
        """Wake or sleep, else the autoscaler when it is due, else ahead of it in a burst."""
        state = _idle(inputs, state)
        if inputs.replicas == 0:
            return self._asleep(inputs, state)
        if self._may_sleep(inputs, state):
            return Decision(0, Rule.SLEEP, inputs), state
        if inputs.at >= state.next_sync:
            state = replace(state, next_sync=inputs.at + self.autoscaler.period)
            decision, after = self._synced(inputs, state.autoscaler)
            return decision, replace(state, autoscaler=after)
        return self._ahead(inputs, state), state

    def _asleep(self, inputs: Inputs, state: State) -> tuple[Decision, State]:
        if woken := self.wake(inputs, state):
            return woken
        if inputs.floor.replicas:
            return Decision(inputs.floor.replicas, Rule.FLOOR, inputs), state
        return Decision(0, Rule.ASLEEP, inputs), state

    def _may_sleep(self, inputs: Inputs, state: State) -> bool:
        since = state.idle_since
        long = since is not None and inputs.at - since >= self.idle_seconds
        return long and inputs.floor.replicas == 0

    def _synced(self, inputs: Inputs, state: hpa.State) -> tuple[Decision, hpa.State]:
        """As the autoscaler decides, under the bounds that we write into it."""
        low = max(1, min(inputs.floor.replicas, inputs.bounds.high))
        stuck = inputs.unschedulable > 0 and inputs.replicas >= low
        high = min(inputs.bounds.high, inputs.replicas) if stuck else inputs.bounds.high
        bounds = replace(inputs.bounds, low=min(low, high), high=high)
        found, after = self.autoscaler.decide(replace(inputs, bounds=bounds), state)
        rule = found.rule
        if rule == Rule.MINIMUM and inputs.floor.source != "minReplicas":
            rule = Rule.FLOOR
        if rule == Rule.MAXIMUM and stuck:
            rule = Rule.UNSCHEDULABLE
        return Decision(found.replicas, rule, inputs), after

    def _ahead(self, inputs: Inputs, state: State) -> Decision:
        """Never against the autoscaler: only upwards, and only to what it would compute now.

        Only when more is in hand than the workers have slots, those that load included: a smaller
        excess may be gone at the next sync, and the autoscaler would take back what we gave.
        """
        found, _ = self._synced(inputs, state.autoscaler)
        needed = inputs.floor.replicas > inputs.replicas or (
            (inputs.depth.known or 0) > self.slots * inputs.existing
        )
        if not needed or found.replicas <= inputs.replicas:
            return replace(found, replicas=inputs.replicas)
        rule = found.rule if found.rule in (Rule.FLOOR, Rule.MINIMUM) else Rule.BURST
        return Decision(found.replicas, rule, inputs)


def _idle(inputs: Inputs, state: State) -> State:
    if inputs.depth.known != 0:
        return replace(state, idle_since=None)
    return state if state.idle_since is not None else replace(state, idle_since=inputs.at)
