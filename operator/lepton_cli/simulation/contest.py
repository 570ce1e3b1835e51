"""Which policies are compared, under which conditions, and how they did."""

from dataclasses import dataclass
from typing import Any

from lepton_cli.simulation.oracle import oracle
from lepton_cli.simulation.run import Result, simulate
from lepton_cli.simulation.trace import Trace
from lepton_cli.simulation.world import World
from lepton_operator.scaling.hpa import Hpa
from lepton_operator.scaling.lepton import Lepton, own_behavior
from lepton_operator.scaling.peers.keda import Keda
from lepton_operator.scaling.peers.knative import Knative
from lepton_operator.scaling.peers.kubeai import KubeAI
from lepton_operator.scaling.values import Bounds, Policy

LEPTON = "lepton"


@dataclass(frozen=True)
class Entrant:
    """A policy and the bounds that it keeps."""

    name: str
    policy: Policy[Any]
    bounds: Bounds


def entrants(world: World, bounds: Bounds) -> list[Entrant]:
    """Lepton and its peers; a plain autoscaler cannot go below 1."""
    awake = Bounds(max(1, bounds.low), bounds.high, bounds.target)
    return [
        Entrant(LEPTON, Lepton(Hpa(own_behavior(bounds.high)), world.slots), bounds),
        Entrant("hpa", Hpa(), awake),
        Entrant("keda", Keda(), bounds),
        Entrant("knative", Knative(world.slots), bounds),
        Entrant("kubeai", KubeAI(), bounds),
    ]


def beginning(trace: Trace, world: World, bounds: Bounds) -> int:
    """Workers that the first minute needs on average: the run begins in the midst of its life."""
    early = [request for request in trace.requests if request.at < 60]
    busy = sum(world.service(request) for request in early) / 60
    return bounds.within(-(-int(busy * 1000) // (bounds.target * 1000)))


def run(
    trace: Trace, world: World, some: list[Entrant], phase: float = 0.5
) -> tuple[dict[str, Result], float]:
    """Results by name, and the replica-seconds of the oracle."""
    initial = max(beginning(trace, world, entrant.bounds) for entrant in some)
    results = {
        entrant.name: simulate(
            trace, world, entrant.bounds, entrant.policy, initial=initial, phase=phase
        )
        for entrant in some
    }
    high = max(entrant.bounds.high for entrant in some)
    return results, oracle(trace, world, high, initial)
