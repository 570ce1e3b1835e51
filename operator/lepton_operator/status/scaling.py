"""Scaling: does the number of workers follow the queue."""

from dataclasses import replace
from datetime import datetime, timedelta

from lepton_operator.api.conditions import Condition, Reason, Type
from lepton_operator.status import availability
from lepton_operator.status.observe import Observed, Statement
from lepton_operator.status.say import fine, waiting, wrong

_KIND = Type.SCALING

GRACE = timedelta(seconds=60)
"""How long after the first worker is ready a missing metric is no complaint: the metrics API asks
each second, but the autoscaler looks only every 15 seconds, later with many of them."""


def scaling(seen: Observed) -> Condition:
    """The condition."""
    complaints = (check(seen) for check in CHAIN)
    return next(filter(None, complaints), None) or _active(seen)


def look_again(seen: Observed) -> timedelta | None:
    """When the condition may change although nothing else does: the end of the grace."""
    since = _serving_since(seen)
    if since is None or scaling(seen).reason != Reason.NOT_YET_SCALED:
        return None
    left = since + GRACE - seen.now
    return left if left > timedelta(0) else None


def foreign(seen: Observed) -> Condition | None:
    """Two autoscalers on one Deployment would both stop."""
    if seen.foreign is None:
        return None
    text = f"HorizontalPodAutoscaler {seen.foreign} scales the workers, so that ours stands back"
    return wrong(_KIND, Reason.FOREIGN_AUTOSCALER, text)


def fixed(seen: Observed) -> Condition | None:
    """There is nothing to scale."""
    low, high = _bounds(seen)
    if low != high:
        return None
    return fine(_KIND, Reason.SCALING_ACTIVE, f"the number of workers is fixed at {low}")


def stopped(seen: Observed) -> Condition | None:
    """At 0 replicas the autoscaler stands back."""
    found = availability.stopped(seen)
    return replace(found, type=_KIND) if found else None


def metrics_api_unavailable(seen: Observed) -> Condition | None:
    """Nobody serves external metrics."""
    if seen.metrics_api.available is not False:
        return None
    text = f"external.metrics.k8s.io is not available: {seen.metrics_api.message}"
    return wrong(_KIND, Reason.METRICS_API_UNAVAILABLE, text)


def not_yet(seen: Observed) -> Condition | None:
    """The autoscaler has not looked, or there was nothing to see for it yet."""
    active = _statement(seen, "ScalingActive")
    if active is not None and (active.status == "True" or not _in_grace(seen)):
        return None
    text = "the autoscaler starts once a worker serves"
    return waiting(_KIND, Reason.NOT_YET_SCALED, text, status=None)


def ambiguous(seen: Observed) -> Condition | None:
    """The autoscaler itself noticed another one on the same pods."""
    active = _statement(seen, "ScalingActive")
    if active is None or active.reason != "AmbiguousSelector":
        return None
    return wrong(_KIND, Reason.FOREIGN_AUTOSCALER, active.message)


def metric_unavailable(seen: Observed) -> Condition | None:
    """The autoscaler cannot read the metric."""
    active = _statement(seen, "ScalingActive")
    if active is None or active.status == "True":
        return None
    return wrong(_KIND, Reason.METRIC_UNAVAILABLE, f"the autoscaler says: {active.message}")


def cannot_scale(seen: Observed) -> Condition | None:
    """The autoscaler cannot write the number."""
    able = _statement(seen, "AbleToScale")
    if able is None or able.status != "False":
        return None
    return wrong(_KIND, Reason.CANNOT_SCALE, f"the autoscaler says: {able.message}")


CHAIN = (
    foreign,
    fixed,
    stopped,
    metrics_api_unavailable,
    not_yet,
    ambiguous,
    metric_unavailable,
    cannot_scale,
)


def _active(seen: Observed) -> Condition:
    low, high = _bounds(seen)
    text = f"the number of workers follows the queue, from {low} to {high}"
    return fine(_KIND, Reason.SCALING_ACTIVE, text)


def _bounds(seen: Observed) -> tuple[int, int]:
    spec = seen.spec.get("scaling") or {}
    return spec.get("minReplicas", 1), spec.get("maxReplicas", 1)


def _statement(seen: Observed, kind: str) -> Statement | None:
    return seen.autoscaler.statements.get(kind) if seen.autoscaler else None


def _in_grace(seen: Observed) -> bool:
    since = _serving_since(seen)
    return since is None or seen.now < since + GRACE


def _serving_since(seen: Observed) -> datetime | None:
    times = [worker.ready_since for worker in seen.ready if worker.ready_since]
    return datetime.fromisoformat(min(times)) if times else None
