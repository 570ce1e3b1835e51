"""KEDA's rule with its defaults, for one external trigger that is polled.

Source: keda.sh, concepts/scaling-deployments (ScaledObject), KEDA 2.20. Polled every
`pollingInterval` (30 s): an active trigger takes 0 workers to 1, and `cooldownPeriod` (300 s)
after the last activity 1 or more go to 0. Between 1 and N the autoscaler that KEDA makes decides,
which has no `behavior`. A trigger that cannot be read changes nothing.
"""

from dataclasses import dataclass, field, replace

from lepton_operator.scaling import hpa
from lepton_operator.scaling.hpa import Hpa
from lepton_operator.scaling.values import Decision, Inputs, Rule


@dataclass(frozen=True)
class State:
    """What KEDA and its autoscaler remember; times in seconds."""

    autoscaler: hpa.State
    active: float | None = None
    next_poll: float = 0.0


@dataclass(frozen=True)
class Keda:
    """Looks as often as its autoscaler, and polls at its own interval; seconds."""

    autoscaler: Hpa = field(default_factory=Hpa)
    polling: float = 30.0
    cooldown: float = 300.0
    period: float = 15.0

    def first(self) -> State:
        """Nothing was active yet."""
        return State(self.autoscaler.first())

    def wake(self, inputs: Inputs, state: State) -> None:
        """Only polling finds a waiting request."""
        return None

    def decide(self, inputs: Inputs, state: State) -> tuple[Decision, State]:
        """Poll when it is due, then the autoscaler."""
        depth = inputs.depth.known
        if inputs.at >= state.next_poll and depth is not None:
            state = replace(state, next_poll=inputs.at + self.polling)
            if depth or state.active is None:
                state = replace(state, active=inputs.at)
            if depth and inputs.replicas == 0:
                return Decision(max(1, inputs.bounds.low), Rule.WAKE, inputs), state
            idle = inputs.at - (state.active or 0.0)
            if inputs.bounds.low == 0 and inputs.replicas and idle > self.cooldown:
                return Decision(0, Rule.SLEEP, inputs), state
        bounds = replace(inputs.bounds, low=max(1, inputs.bounds.low))
        found, after = self.autoscaler.decide(replace(inputs, bounds=bounds), state.autoscaler)
        return replace(found, inputs=inputs), replace(state, autoscaler=after)
