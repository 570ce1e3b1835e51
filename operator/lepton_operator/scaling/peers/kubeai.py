"""KubeAI's rule with its defaults.

Source: kubeai.org, concepts/autoscaling, and internal/modelautoscaler. Every 10 s the mean of the
active requests over 10 minutes, divided by the target and rounded up. A smaller number has to come
up for `scaleDownDelaySeconds` (30) in a row. A request that finds no pod asks for one at once.
"""

import math
from dataclasses import dataclass, replace

from lepton_operator.scaling.values import Decision, Inputs, Rule


@dataclass(frozen=True)
class State:
    """The last samples, and how often in a row fewer pods were asked for."""

    samples: tuple[int, ...] = ()
    smaller: int = 0


@dataclass(frozen=True)
class KubeAI:
    """Times in seconds."""

    window: float = 600.0
    delay: float = 30.0
    period: float = 10.0

    def first(self) -> State:
        """No sample; the first one then stands for the whole window, as its saved state would."""
        return State()

    def wake(self, inputs: Inputs, state: State) -> tuple[Decision, State]:
        """The proxy's first request."""
        return Decision(max(1, inputs.bounds.low), Rule.WAKE, inputs), state

    def decide(self, inputs: Inputs, state: State) -> tuple[Decision, State]:
        """One interval."""
        depth = inputs.depth.known
        if depth is None:
            return Decision(inputs.replicas, Rule.UNKNOWN, inputs), state
        count = math.ceil(self.window / self.period)
        samples = (*(state.samples or (depth,) * (count - 1)), depth)[-count:]
        number = inputs.bounds.within(math.ceil(sum(samples) / count / inputs.bounds.target))
        state = replace(state, samples=samples)
        if number >= inputs.replicas:
            return Decision(number, Rule.QUEUE, inputs), replace(state, smaller=0)
        if state.smaller < math.ceil(self.delay / self.period):
            decision = Decision(inputs.replicas, Rule.STABILIZED, inputs)
            return decision, replace(state, smaller=state.smaller + 1)
        return Decision(number, Rule.QUEUE, inputs), state
