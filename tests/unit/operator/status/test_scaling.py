"""Does the number of workers follow the queue."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from lepton_operator.api.conditions import Reason
from lepton_operator.api.objects import Object
from lepton_operator.status.observe import (
    MetricsApi,
    Observed,
    autoscaler,
    metrics_api,
    rollout,
)
from lepton_operator.status.scaling import GRACE, look_again, scaling
from lepton_operator.status.workers import workers
from lepton_testing.objects import (
    NOW,
    TEMPLATE,
    a_condition,
    a_deployment,
    a_model,
    a_pod,
    a_ready_pod,
    an_autoscaler,
)

UP = MetricsApi(True)
ACTIVE = a_condition("ScalingActive", "True", "ValidMetricFound")
NO_METRIC = a_condition(
    "ScalingActive",
    "False",
    "FailedGetExternalMetric",
    "the HPA was unable to compute the replica count: unable to get external metric "
    "team/lepton_queue_depth: no metrics returned from external metrics API",
)


def observed(*conditions: Object, pod: Object | None = None, **fields: Any) -> Observed:
    given: dict[str, Any] = {
        "model": a_model(scaling={"minReplicas": 1, "maxReplicas": 4}),
        "now": NOW,
        "rollout": rollout(a_deployment(ready=1)),
        "workers": workers([pod or a_ready_pod()], TEMPLATE),
        "autoscaler": autoscaler(an_autoscaler(*conditions)),
        "metrics_api": UP,
        **fields,
    }
    return Observed(**given)


def at(seconds: float) -> datetime:
    """So long after the worker became ready."""
    return datetime.fromisoformat("2026-01-01T00:00:00Z") + timedelta(seconds=seconds)


CASES = [
    ("follows", observed(ACTIVE), True, Reason.SCALING_ACTIVE, "from 1 to 4"),
    (
        "foreign autoscaler",
        observed(ACTIVE, foreign="keda-hpa-chat", autoscaler=None),
        False,
        Reason.FOREIGN_AUTOSCALER,
        "HorizontalPodAutoscaler keda-hpa-chat scales the workers",
    ),
    (
        "fixed number",
        observed(NO_METRIC, model=a_model(), metrics_api=MetricsApi(False)),
        True,
        Reason.SCALING_ACTIVE,
        "fixed at 1",
    ),
    (
        "metrics API down",
        observed(ACTIVE, metrics_api=MetricsApi(False, "MissingEndpoints: no endpoints")),
        False,
        Reason.METRICS_API_UNAVAILABLE,
        "MissingEndpoints: no endpoints",
    ),
    ("no autoscaler yet", observed(autoscaler=None), None, Reason.NOT_YET_SCALED, ""),
    ("not looked yet", observed(), None, Reason.NOT_YET_SCALED, ""),
    (
        "no worker that could be asked",
        observed(NO_METRIC, pod=a_pod()),
        None,
        Reason.NOT_YET_SCALED,
        "once a worker serves",
    ),
    ("just ready", observed(NO_METRIC, now=at(59)), None, Reason.NOT_YET_SCALED, ""),
    (
        "metric unreadable",
        observed(NO_METRIC, now=at(60)),
        False,
        Reason.METRIC_UNAVAILABLE,
        "no metrics returned from external metrics API",
    ),
    (
        "we may not look at APIServices",
        observed(NO_METRIC, metrics_api=MetricsApi()),
        False,
        Reason.METRIC_UNAVAILABLE,
        "no metrics returned",
    ),
    (
        "two autoscalers on the same pods",
        observed(a_condition("ScalingActive", "False", "AmbiguousSelector", "pods by selector")),
        False,
        Reason.FOREIGN_AUTOSCALER,
        "pods by selector",
    ),
    (
        "cannot write",
        observed(ACTIVE, a_condition("AbleToScale", "False", "FailedUpdateScale", "conflict")),
        False,
        Reason.CANNOT_SCALE,
        "conflict",
    ),
]


@pytest.mark.parametrize(
    ("seen", "status", "reason", "words"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_the_condition(seen: Observed, status: bool | None, reason: Reason, words: str) -> None:
    found = scaling(seen)
    assert (found.status, found.reason) == (status, reason)
    assert words in found.message


def test_it_is_looked_at_again_when_the_grace_ends() -> None:
    assert look_again(observed(NO_METRIC, now=at(20))) == GRACE - timedelta(seconds=20)
    assert look_again(observed(NO_METRIC, now=at(60))) is None
    assert look_again(observed(ACTIVE, now=at(20))) is None
    assert look_again(observed(NO_METRIC, pod=a_pod())) is None


@pytest.mark.parametrize(
    ("average", "replicas", "depth"),
    [
        ("2500m", 4, 10),
        ("2334m", 3, 7),
        ("0", 3, 0),
        ("7", 1, 7),
        ("-9223372036854775808m", 0, None),
        (None, 1, None),
    ],
)
def test_the_queue_as_the_autoscaler_shows_it(
    average: str | None, replicas: int, depth: int | None
) -> None:
    found = autoscaler(an_autoscaler(average=average, replicas=replicas))
    assert found is not None
    assert found.depth == depth


@pytest.mark.parametrize(
    ("item", "allowed", "available", "words"),
    [
        (None, False, None, ""),
        (None, True, False, "there is no APIService"),
        ({"status": {}}, True, False, "has not looked"),
        (
            {
                "status": {
                    "conditions": [a_condition("Available", "False", "MissingEndpoints", "x")]
                }
            },
            True,
            False,
            "MissingEndpoints: x",
        ),
        ({"status": {"conditions": [a_condition("Available", "True", "Passed")]}}, True, True, ""),
    ],
)
def test_the_metrics_api(
    item: Object | None, allowed: bool, available: bool | None, words: str
) -> None:
    found = metrics_api(item, allowed=allowed)
    assert found.available is available
    assert words in found.message
