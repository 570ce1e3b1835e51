"""The status as a whole, and the events that its changes are worth."""

from typing import Any

import pytest

from lepton_operator.api.objects import Object
from lepton_operator.api.types import Status
from lepton_operator.status import Info, status_of
from lepton_operator.status.news import News, news
from lepton_operator.status.observe import MetricsApi, Observed, autoscaler, rollout
from lepton_operator.status.workers import workers
from lepton_testing.objects import (
    NOW,
    TEMPLATE,
    a_condition,
    a_deployment,
    a_model,
    a_ready_pod,
    an_autoscaler,
)

INFO = Info("generate", {"backend": "transformers", "device": "cpu"})


def observed(before: Object | None = None, **fields: Any) -> Observed:
    model = a_model(scaling={"maxReplicas": 4})
    scaler = an_autoscaler(
        a_condition("ScalingActive", "True", "ValidMetricFound"), average="2500m", replicas=2
    )
    given: dict[str, Any] = {
        "model": {**model, "status": before} if before else model,
        "now": NOW,
        "rollout": rollout(a_deployment(replicas=2, updated=2, ready=1)),
        "workers": workers([a_ready_pod()], TEMPLATE),
        "autoscaler": autoscaler(scaler),
        "metrics_api": MetricsApi(True),
        **fields,
    }
    return Observed(**given)


def test_a_model_that_serves() -> None:
    found = status_of(observed(), INFO)
    conditions = found.pop("conditions")
    assert found == {
        "observedGeneration": 2,
        "phase": "Serving",
        "replicas": 2,
        "readyReplicas": 1,
        "desiredReplicas": 2,
        "queueDepth": 5,
        "url": "chat.team.svc:9000",
        "task": "generate",
        "engine": {"backend": "transformers", "device": "cpu"},
    }
    assert [(entry["type"], entry["status"]) for entry in conditions] == [
        ("Accepted", "True"),
        ("ModelReady", "True"),
        ("Available", "True"),
        ("Progressing", "True"),
        ("Scaling", "True"),
        ("Ready", "True"),
    ]


def test_it_fits_the_types_that_the_crd_is_made_of() -> None:
    Status.model_validate(status_of(observed(), INFO), extra="forbid")


def test_the_same_sight_gives_the_same_status() -> None:
    first = status_of(observed(), INFO)
    assert status_of(observed(first), None) == first


def test_what_workers_said_goes_with_a_new_spec() -> None:
    first = status_of(observed(), INFO)
    later = observed({**first, "observedGeneration": 1})
    assert "task" not in status_of(later, None)
    assert "engine" not in status_of(later, None)


def a_said(kind: str, status: str, reason: str, message: str = "m") -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message}


LOADING = a_said("ModelReady", "False", "Loading")
MISSING = a_said("ModelReady", "False", "WeightsMissing", "no weights")
LOADED = a_said("ModelReady", "True", "Loaded")
NOT_READY = a_said("Ready", "False", "WeightsMissing")
SERVING = a_said("Ready", "True", "Serving", "the model serves")
METRIC = a_said("Scaling", "False", "MetricUnavailable", "no metric")
UNKNOWN = a_said("Scaling", "Unknown", "NotYetScaled")
FOLLOWS = a_said("Scaling", "True", "ScalingActive", "follows")
ACCEPTED = a_said("Accepted", "True", "Valid", "valid")


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        pytest.param([], [LOADING, UNKNOWN, ACCEPTED], [], id="a model that begins"),
        pytest.param([], [MISSING], [News("Warning", "WeightsMissing", "no weights")], id="begins"),
        pytest.param(
            [LOADING, NOT_READY],
            [MISSING, NOT_READY],
            [News("Warning", "WeightsMissing", "no weights")],
            id="trouble, told once by its own condition",
        ),
        pytest.param([MISSING], [{**MISSING, "message": "other"}], [], id="only other words"),
        pytest.param(
            [MISSING, NOT_READY],
            [LOADED, SERVING],
            [News("Normal", "Serving", "the model serves")],
            id="mended",
        ),
        pytest.param(
            [FOLLOWS], [METRIC], [News("Warning", "MetricUnavailable", "no metric")], id="m"
        ),
        pytest.param([METRIC], [FOLLOWS], [News("Normal", "ScalingActive", "follows")], id="n"),
        pytest.param([UNKNOWN], [FOLLOWS], [], id="the autoscaler begins"),
        pytest.param(
            [a_said("Accepted", "False", "NameConflict")],
            [ACCEPTED],
            [News("Normal", "Valid", "valid")],
            id="a conflict is over",
        ),
    ],
)
def test_changes_worth_an_event(before: list[Object], now: list[Object], told: list[News]) -> None:
    assert news(before, now) == told
