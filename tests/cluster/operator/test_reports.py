"""What a model says of itself, with a real scheduler, real controllers, and pods by our hand."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from lepton.v1 import control_pb2, control_pb2_grpc
from lepton_operator.api.names import ANNOTATION_TEMPLATE, METRICS_GROUP, METRICS_VERSION
from lepton_operator.api.objects import Object
from lepton_testing.operator_process import OperatorProcess
from lepton_testing.space import Space

pytestmark = pytest.mark.cluster

WORKER_HOST = "127.71.80.84"
"""An address of this machine that nobody else listens on."""

WORDS = json.dumps({"reason": "WeightsMissing", "message": "no weights in /models/x; bring some"})


@pytest.fixture(autouse=True)
def node(space: Space) -> Iterator[None]:
    """A node without a kubelet, so that pods are scheduled and then stay as we write them."""
    capacity = {"cpu": "64", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "110"}
    space.cluster.add_node(space.namespace, capacity)
    yield
    space.cluster.kubectl("delete", "node", space.namespace)


def a_pod(space: Space, model: str, count: int = 1) -> Object:
    """A pod of the model's current spec, once there are so many in all and it has a node."""

    def scheduled() -> Object | None:
        # In this order: where the last of so many pods is there, its Deployment says so.
        found = space.pods(model)
        template = space.get("deployment", model)["spec"]["template"]
        wanted = template["metadata"]["annotations"][ANNOTATION_TEMPLATE]
        for pod in found if len(found) == count else []:
            if pod["metadata"]["annotations"][ANNOTATION_TEMPLATE] == wanted:
                return pod if "nodeName" in pod["spec"] else None
        return None

    return space.eventually(scheduled, f"{count} scheduled pods of {model}")


def report(space: Space, pod: Object, state: Object, last: Object | None = None) -> None:
    """As the kubelet would report the worker's container."""
    ready = "running" in state and last is None
    status = {
        "name": "worker",
        "image": pod["spec"]["containers"][0]["image"],
        "imageID": "",
        "ready": ready,
        "restartCount": 1 if last else 0,
        "state": state,
        "lastState": last or {},
    }
    truth = "True" if ready else "False"
    conditions = [
        {"type": "PodScheduled", "status": "True"},
        {"type": "Initialized", "status": "True"},
        {"type": "ContainersReady", "status": truth},
        {"type": "Ready", "status": truth, "lastTransitionTime": "2026-01-01T00:00:00Z"},
    ]
    full: dict[str, Any] = {
        "phase": "Running" if ready else "Pending",
        "podIP": WORKER_HOST,
        "podIPs": [{"ip": WORKER_HOST}],
        "conditions": conditions,
        "containerStatuses": [status],
    }
    name = pod["metadata"]["name"]
    space.patch("pod", name, {"status": full}, "--subresource=status")


RUNNING: Object = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}


def waiting(reason: str, message: str) -> Object:
    return {"waiting": {"reason": reason, "message": message}}


def ended(code: int, message: str, reason: str = "Error") -> Object:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


def test_a_model_from_its_first_pod_to_serving(space: Space, operator: OperatorProcess) -> None:
    space.model("chat")
    pod = a_pod(space, "chat")
    space.await_condition("chat", "Ready=False/Loading")
    assert space.get("lm", "chat")["status"]["phase"] == "Activating"
    report(space, pod, RUNNING)
    space.await_condition("chat", "Ready=True/Serving")
    space.await_condition("chat", "Progressing=True/RolledOut")

    def counted() -> bool:
        return bool(space.get("lm", "chat")["status"]["readyReplicas"] == 1)

    space.eventually(counted, "the worker to be counted")
    status = space.get("lm", "chat")["status"]
    assert status["phase"] == "Serving"
    assert status["url"] == f"chat.{space.namespace}.svc:9000"
    assert "reason" not in status
    assert ("Normal", "Serving") in space.events("chat")


CASES: list[tuple[str, Object, Object | None, str, str]] = [
    ("weights", RUNNING, ended(1, WORDS), "ModelReady=False/WeightsMissing", "bring some"),
    (
        "memory",
        waiting("CrashLoopBackOff", "back-off"),
        ended(137, "", "OOMKilled"),
        "ModelReady=False/OutOfMemory",
        "spec.resources.limits.memory",
    ),
    (
        "crash",
        waiting("CrashLoopBackOff", "back-off"),
        ended(1, "one\nthe left wing fell off\n"),
        "ModelReady=False/CrashLoop",
        "exit code 1: the left wing fell off",
    ),
    (
        "image",
        waiting("ImagePullBackOff", 'Back-off pulling image "x": ErrImagePull: not found'),
        None,
        "Available=False/ImagePull",
        "not found",
    ),
    (
        "secret",
        waiting("CreateContainerConfigError", 'secret "hub" not found'),
        None,
        "Available=False/ContainerConfig",
        'secret "hub" not found',
    ),
]


def test_each_failure_of_a_pod_is_told_and_ends_with_its_cause(
    space: Space, operator: OperatorProcess
) -> None:
    for name, *_ in CASES:
        space.model(name)
    for name, state, last, claim, words in CASES:
        pod = a_pod(space, name)
        report(space, pod, state, last)
        found = space.await_condition(name, claim)
        assert words in found["message"]
        reason = found["reason"]
        assert space.await_condition(name, f"Ready=False/{reason}")["message"] == found["message"]
        assert space.get("lm", name)["status"]["reason"] == reason
        space.eventually(
            lambda name=name, reason=reason: ("Warning", reason) in space.events(name),  # type: ignore[misc]
            f"the event {reason}",
        )
        report(space, pod, RUNNING)
        space.await_condition(name, "Ready=True/Serving")
        assert "reason" not in space.get("lm", name)["status"]


def test_a_pod_without_a_node_names_what_is_missing(
    space: Space, operator: OperatorProcess
) -> None:
    space.model("chat", resources={"gpu": {"count": 1}})
    found = space.await_condition("chat", "Available=False/Unschedulable")
    assert "Insufficient nvidia.com/gpu" in found["message"]
    assert space.get("lm", "chat")["status"]["phase"] == "Activating"
    space.cluster.set_gpus(1, node=space.namespace)
    report(space, a_pod(space, "chat"), RUNNING)
    space.await_condition("chat", "Ready=True/Serving")


def test_a_claim_that_does_not_exist_is_told_as_a_missing_source(
    space: Space, operator: OperatorProcess
) -> None:
    space.model("chat", source="pvc://nowhere/x")
    found = space.await_condition("chat", "ModelReady=False/SourceNotFound")
    assert 'there is no PersistentVolumeClaim "nowhere" in this namespace' in found["message"]
    space.await_condition("chat", "Ready=False/SourceNotFound")


def test_pods_refused_by_quota(space: Space, operator: OperatorProcess) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}}
    space.apply({**quota, "spec": {"hard": {"pods": "0"}}})
    space.eventually(
        lambda: space.get("resourcequota", "few").get("status", {}).get("hard"), "the quota"
    )
    space.model("chat")
    found = space.await_condition("chat", "Available=False/PodRejected")
    assert "exceeded quota: few" in found["message"]


def test_a_new_spec_that_fails_is_told_while_the_old_one_serves(
    space: Space, operator: OperatorProcess
) -> None:
    space.model("chat")
    report(space, a_pod(space, "chat"), RUNNING)
    space.await_condition("chat", "Ready=True/Serving")
    space.model("chat", source="hf://org/other")
    report(space, a_pod(space, "chat", count=2), RUNNING, ended(1, WORDS))
    space.await_condition("chat", "ModelReady=False/WeightsMissing")
    conditions = space.conditions("chat")
    assert conditions["Available"]["status"] == "True"
    assert conditions["Ready"]["reason"] == "WeightsMissing"
    assert space.get("lm", "chat")["status"]["phase"] == "Serving"

    # Back to the spec that worked: its worker is still there.
    space.model("chat")
    space.await_condition("chat", "Ready=True/Serving")


def test_a_stuck_rollout(space: Space, operator: OperatorProcess) -> None:
    space.model("chat", rollout={"progressDeadlineSeconds": 30})
    a_pod(space, "chat")
    found = space.await_condition("chat", "Progressing=False/RolloutStuck")
    assert "did not become ready in time" in found["message"]
    assert space.get("lm", "chat")["status"]["phase"] == "Failed"
    report(space, a_pod(space, "chat"), RUNNING)
    space.await_condition("chat", "Progressing=True/RolledOut")


def test_a_deployment_scaled_to_zero_by_hand(space: Space, operator: OperatorProcess) -> None:
    space.model("chat")
    a_pod(space, "chat")
    space.kubectl("scale", "deployment/chat", "--replicas=0")
    found = space.await_condition("chat", "Available=False/Stopped")
    assert "kubectl scale deployment/chat --replicas=1" in found["message"]
    space.kubectl("scale", "deployment/chat", "--replicas=1")
    report(space, a_pod(space, "chat"), RUNNING)
    space.await_condition("chat", "Ready=True/Serving")


@contextmanager
def a_control_service(info: control_pb2.ModelInfo) -> Iterator[list[str]]:
    """A worker's Control service on WORKER_HOST; the block gets the list of its callers."""
    callers: list[str] = []

    class Servicer(control_pb2_grpc.ControlServicer):
        def GetModelInfo(  # noqa: N802
            self, request: control_pb2.GetModelInfoRequest, context: grpc.ServicerContext
        ) -> control_pb2.ModelInfo:
            callers.append(context.peer())
            return info

    server = grpc.server(ThreadPoolExecutor(2))
    control_pb2_grpc.add_ControlServicer_to_server(Servicer(), server)
    server.add_insecure_port(f"{WORKER_HOST}:9000")
    server.start()
    try:
        yield callers
    finally:
        server.stop(None).wait()


def test_what_a_worker_says_of_itself_comes_into_the_status(
    space: Space, operator: OperatorProcess
) -> None:
    info = control_pb2.ModelInfo(
        name="chat",
        state=control_pb2.ModelInfo.STATE_SERVING,
        task="embed",
        backend="transformers",
        device="cpu",
        dtype="float32",
        architecture="BertModel",
        max_length=512,
    )
    space.model("chat")
    report(space, a_pod(space, "chat"), RUNNING)
    # Nobody answers yet: the model serves all the same.
    space.await_condition("chat", "Ready=True/Serving")
    assert "engine" not in space.get("lm", "chat")["status"]
    with a_control_service(info) as callers:
        space.eventually(lambda: space.get("lm", "chat")["status"].get("engine"), "an answer")
        status = space.get("lm", "chat")["status"]
        assert status["task"] == "embed"
        assert status["engine"] == {
            "backend": "transformers",
            "device": "cpu",
            "dtype": "float32",
            "architecture": "BertModel",
            "maxLength": 512,
        }
        space.model("chat", scaling={"maxReplicas": 2})
        space.await_children("chat", 6)
        assert len(callers) == 1
    assert space.get("lm", "chat")["status"]["task"] == "embed"


def test_a_dead_metrics_api_and_its_recovery(space: Space, operator: OperatorProcess) -> None:
    name = f"{METRICS_VERSION}.{METRICS_GROUP}"
    space.model("chat", scaling={"maxReplicas": 3})
    found = space.await_condition("chat", "Scaling=False/MetricsAPIUnavailable")
    assert "there is no APIService" in found["message"]
    spec = {
        "group": METRICS_GROUP,
        "version": METRICS_VERSION,
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "insecureSkipTLSVerify": True,
        "service": {"namespace": space.namespace, "name": "nowhere", "port": 443},
    }
    api = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService"}
    space.cluster.apply({**api, "metadata": {"name": name}, "spec": spec})
    try:
        space.eventually(
            lambda: "ServiceNotFound" in space.conditions("chat")["Scaling"]["message"],
            "the API server's words",
        )
    finally:
        space.cluster.kubectl("delete", "apiservice", name)
