"""Knative's rule (KPA) with its defaults.

Source: knative.dev, serving/autoscaling, and pkg/autoscaler/scaling of Knative 1.23. Mean
concurrency over 60 s (stable) and 6 s (panic), sampled every second and judged every 2; target
70 % of the pod's concurrency; panic from twice the ready pods on, without shrinking until 60 s
after; at most 1000 times up and half down of the ready pods; 0 after a stable window without
requests and 30 s of grace. A request that finds no pod is told to the autoscaler at once.
"""

import math
from dataclasses import dataclass, replace

from lepton_operator.scaling.values import Decision, Inputs, Rule


@dataclass(frozen=True)
class State:
    """Samples of the last stable window, and when panic and idleness began; seconds."""

    samples: tuple[int, ...] = ()
    panic: float | None = None
    most: int = 0
    idle_since: float | None = None
    next_tick: float = 0.0


@dataclass(frozen=True)
class Knative:
    """`concurrency` is what one pod takes at once; seconds otherwise."""

    concurrency: int
    stable: int = 60
    panic: int = 6
    threshold: float = 2.0
    utilization: float = 0.7
    up: float = 1000.0
    down: float = 2.0
    grace: float = 30.0
    tick: float = 2.0
    period: float = 1.0

    def first(self) -> State:
        """No sample yet."""
        return State()

    def wake(self, inputs: Inputs, state: State) -> tuple[Decision, State]:
        """The activator's report of its first request."""
        return self._judged(inputs, self._sampled(inputs, state))

    def decide(self, inputs: Inputs, state: State) -> tuple[Decision, State]:
        """Take a sample, and judge at every other one."""
        state = self._sampled(inputs, state)
        if inputs.at < state.next_tick:
            return Decision(inputs.replicas, Rule.STABILIZED, inputs), state
        return self._judged(inputs, replace(state, next_tick=inputs.at + self.tick))

    def _sampled(self, inputs: Inputs, state: State) -> State:
        if inputs.depth.known is None:
            return state
        samples = (*state.samples, inputs.depth.known)[-self.stable :]
        return replace(state, samples=samples)

    def _judged(self, inputs: Inputs, state: State) -> tuple[Decision, State]:
        if not state.samples:
            return Decision(inputs.replicas, Rule.UNKNOWN, inputs), state
        ready = max(1, inputs.ready)
        means = [_mean(state.samples), _mean(state.samples[-self.panic :])]
        wanted = [math.ceil(mean / (self.utilization * self.concurrency)) for mean in means]
        low, high = math.floor(ready / self.down), math.ceil(self.up * ready)
        stable, panicking = (min(high, max(low, number)) for number in wanted)
        state = self._alarmed(inputs.at, wanted[1] / ready >= self.threshold, state)
        if state.panic is not None:
            state = replace(state, most=max(state.most, stable, panicking))
            stable = state.most
        return self._bounded(inputs, stable, state)

    def _alarmed(self, at: float, over: bool, state: State) -> State:
        if over:
            return replace(state, panic=at)
        if state.panic is not None and state.panic + self.stable < at:
            return replace(state, panic=None, most=0)
        return state

    def _bounded(self, inputs: Inputs, number: int, state: State) -> tuple[Decision, State]:
        number = inputs.bounds.within(number)
        since = None
        if number == 0 and any(state.samples):
            number = 1
        if number == 0 and inputs.replicas:
            since = inputs.at if state.idle_since is None else state.idle_since
            number = 0 if inputs.at - since >= self.grace else 1
        rule = Rule.QUEUE if number else Rule.SLEEP
        return Decision(number, rule, inputs), replace(state, idle_since=since)


def _mean(values: tuple[int, ...]) -> float:
    return sum(values) / len(values)
