"""Decisions in words: why, and what would change them."""

import math
from dataclasses import asdict
from typing import Any

from lepton_operator.scaling.values import Decision, Rule

TOLERANCE = 0.1
"""What the autoscaler ignores, unless a behavior says otherwise."""

_WHY = {
    Rule.ASLEEP: "there are 0 workers, and no request asks for one",
    Rule.WAKE: "{depth} requests wait and there are 0 workers",
    Rule.SLEEP: "no request was in hand for the whole idle time",
    Rule.BURST: "{replicas} workers cannot take {depth} requests: the autoscaler's next number",
    Rule.UNKNOWN: "the queue depth is unknown, which is not zero: the number stays",
    Rule.TOLERANCE: "{depth} requests are near enough to {target} for each of {existing} workers",
    Rule.QUEUE: "{depth} requests at {target} for each worker",
    Rule.STABILIZED: "lately another number was asked for, within the stabilization window",
    Rule.RATE: "behavior allows no faster change",
    Rule.MAXIMUM: "more than maxReplicas {high} are not allowed",
    Rule.MINIMUM: "fewer than minReplicas {low} are not allowed",
    Rule.FLOOR: "{source} asks for at least {floor}",
    Rule.UNSCHEDULABLE: "{unschedulable} workers find no node: more would find none either",
}


def entry(decision: Decision) -> dict[str, Any]:
    """A decision as it fits into `status.decisions`: plain data, words included."""
    return {
        "replicas": decision.replicas,
        "rule": decision.rule.value,
        "message": message(decision),
        "wouldChange": changes(decision),
        "inputs": asdict(decision.inputs),
    }


def message(decision: Decision) -> str:
    """Why, in one sentence."""
    seen = decision.inputs
    depth = seen.depth.known
    return _WHY[decision.rule].format(
        depth="an unknown number of" if depth is None else depth,
        replicas=seen.replicas,
        existing=seen.existing,
        target=seen.bounds.target,
        low=seen.bounds.low,
        high=seen.bounds.high,
        source=seen.floor.source,
        floor=seen.floor.replicas,
        unschedulable=seen.unschedulable,
    )


def changes(decision: Decision) -> list[dict[str, Any]]:
    """What would change it: a field, whether it has to go above or below, and the value."""
    seen, now = decision.inputs, decision.replicas
    if seen.depth.known is None:
        return [{"field": "queueDepth", "is": "known"}]
    found: list[dict[str, Any]] = []
    if seen.unschedulable:
        found.append({"field": "unschedulable", "is": "below", "value": 1})
    if now < seen.bounds.high:
        above = math.floor(now * seen.bounds.target * (1 + TOLERANCE)) if now else 0
        found.append({"field": "queueDepth", "is": "above", "value": above})
    else:
        found.append({"field": "maxReplicas", "is": "above", "value": now})
    if now > seen.floor.replicas:
        below = math.ceil(now * seen.bounds.target * (1 - TOLERANCE))
        found.append({"field": "queueDepth", "is": "below", "value": below})
    elif now:
        found.append({"field": seen.floor.source, "is": "below", "value": now})
    return found
