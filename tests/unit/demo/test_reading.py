"""What Kubernetes objects say."""

from typing import Any

import pytest

from lepton_demo import reading
from lepton_demo.reading import Stage


def pod(phase: str, *, ready: bool = False, deleted: bool = False) -> dict[str, Any]:
    metadata = {"name": "p", **({"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleted else {})}
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {"metadata": metadata, "status": {"phase": phase, "conditions": conditions}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (pod("Pending"), Stage.PENDING),
        (pod("Running"), Stage.LOADING),
        (pod("Running", ready=True), Stage.READY),
        (pod("Running", ready=True, deleted=True), Stage.TERMINATING),
        (pod("Pending", deleted=True), Stage.TERMINATING),
        (pod("Failed"), Stage.OVER),
        (pod("Succeeded", deleted=True), Stage.OVER),
        ({"metadata": {"name": "new"}}, Stage.PENDING),
    ],
)
def test_a_pod_is_in_one_stage(given: dict[str, Any], expected: Stage) -> None:
    assert reading.stage(given) is expected


def model(status: str, *, generation: int = 2, observed: int = 2, phase: str = "") -> Any:
    condition = {
        "type": "Ready",
        "status": status,
        "reason": "Loading",
        "message": "one worker loads",
        "observedGeneration": observed,
    }
    return {
        "metadata": {"generation": generation},
        "status": {"phase": phase, "conditions": [condition]},
    }


def test_the_ready_condition_speaks_for_a_model() -> None:
    assert reading.health(model("True")).ready
    loading = reading.health(model("False"))
    assert (loading.ready, loading.failed) == (False, False)
    assert (loading.reason, loading.message) == ("Loading", "one worker loads")
    assert reading.health(model("False", phase="Failed")).failed


def test_a_condition_of_an_older_spec_says_nothing() -> None:
    assert reading.health(model("True", generation=3)) == reading.NOT_SEEN


@pytest.mark.parametrize("given", [None, {"metadata": {"generation": 1}}])
def test_a_model_without_status_is_not_seen_yet(given: Any) -> None:
    assert reading.health(given) == reading.NOT_SEEN


def hpa() -> dict[str, Any]:
    return {
        "spec": {
            "minReplicas": 1,
            "maxReplicas": 3,
            "metrics": [
                {
                    "type": "External",
                    "external": {"target": {"type": "AverageValue", "averageValue": "4"}},
                }
            ],
        },
        "status": {"currentReplicas": 1, "desiredReplicas": 3},
    }


def test_an_autoscaler_in_figures() -> None:
    assert reading.autoscaler(hpa()) == reading.Autoscaler(1, 3, 4.0, 1, 3)
    assert reading.autoscaler(None) is None


def test_an_autoscaler_that_has_not_looked_yet_wants_nothing() -> None:
    found = reading.autoscaler({"spec": {"maxReplicas": 2}})
    assert found == reading.Autoscaler(1, 2, None, 0, 0)


@pytest.mark.parametrize(
    ("text", "value"), [("17", 17), ("1500m", 1.5), ("2k", 2000), (3, 3), ("0", 0)]
)
def test_quantities(text: str | int, value: float) -> None:
    assert reading.quantity(text) == pytest.approx(value)


def test_the_metric_is_the_sum_of_its_items() -> None:
    answer = {"items": [{"value": "3"}, {"value": "500m"}]}
    assert reading.metric_total(answer) == pytest.approx(3.5)


@pytest.mark.parametrize("answer", [None, {}, {"items": []}])
def test_no_item_is_unknown_and_not_zero(answer: Any) -> None:
    assert reading.metric_total(answer) is None


def endpoint(address: str, **conditions: bool) -> dict[str, Any]:
    return {"addresses": [address], "conditions": conditions}


def test_only_ready_endpoints_take_calls() -> None:
    ports = [{"name": "metrics", "port": 9090}, {"name": "grpc", "port": 9000}]
    slices: list[dict[str, Any]] = [
        {
            "ports": ports,
            "endpoints": [
                endpoint("10.0.0.2", ready=True),
                endpoint("10.0.0.1", ready=True),
                endpoint("10.0.0.3", ready=False, serving=True, terminating=True),
            ],
        },
        {"ports": ports, "endpoints": [endpoint("fd00::7")]},
        {"ports": None, "endpoints": None},
    ]
    assert reading.ready_addresses(slices) == ["10.0.0.1:9000", "10.0.0.2:9000", "[fd00::7]:9000"]


def test_the_address_of_a_service() -> None:
    service = {"spec": {"clusterIP": "10.96.0.5", "ports": [{"name": "grpc", "port": 9000}]}}
    assert reading.service_address(service) == "10.96.0.5:9000"


@pytest.mark.parametrize(
    ("status", "rolled_out"),
    [
        ({}, False),
        ({"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2}, False),
        (
            {
                "observedGeneration": 3,
                "replicas": 2,
                "updatedReplicas": 2,
                "availableReplicas": 2,
            },
            True,
        ),
        (
            {
                "observedGeneration": 2,
                "replicas": 2,
                "updatedReplicas": 2,
                "availableReplicas": 2,
            },
            False,
        ),
        (
            {
                "observedGeneration": 3,
                "replicas": 3,
                "updatedReplicas": 2,
                "availableReplicas": 2,
            },
            False,
        ),
    ],
)
def test_a_rollout_is_over_when_only_new_pods_are_left(
    status: dict[str, int], rolled_out: bool
) -> None:
    deployment = {"metadata": {"generation": 3}, "spec": {"replicas": 2}, "status": status}
    assert reading.is_rolled_out(deployment) is rolled_out


def test_a_pod_says_why_it_does_not_run() -> None:
    waiting = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    assert (
        reading.container_complaint({"status": {"containerStatuses": [waiting]}})
        == "ImagePullBackOff no such image"
    )
    unscheduled = {"type": "PodScheduled", "status": "False", "message": "Insufficient cpu"}
    assert reading.container_complaint({"status": {"conditions": [unscheduled]}}) == (
        "Insufficient cpu"
    )
    assert reading.container_complaint({}) == ""
