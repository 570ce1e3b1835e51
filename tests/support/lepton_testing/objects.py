"""Objects as the API server shows them to the operator; a case writes the lines that matter."""

from datetime import UTC, datetime
from typing import Any

from lepton_operator.api import names
from lepton_operator.api.objects import Object
from lepton_operator.settings import Settings

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LONG_AGO = "2026-01-01T00:00:00Z"
TEMPLATE = "template-2"
UID = "model-uid"

SETTINGS = Settings(
    worker_image="example.org/worker:1", worker_image_gpu="example.org/worker-gpu:1"
)


def a_model(name: str = "chat", **spec: Any) -> Object:
    """A LeptonModel with the server's defaults."""
    defaults = {
        "source": "hf://org/model",
        "task": "auto",
        "engine": {
            "backend": "auto",
            "dtype": "auto",
            "maxBatchSize": 8,
            "maxQueueDepth": 256,
        },
        "scaling": {"minReplicas": 1, "maxReplicas": 1, "targetQueueDepth": 8},
        "rollout": {
            "maxSurge": 1,
            "maxUnavailable": 0,
            "drainSeconds": 60,
            "progressDeadlineSeconds": 1800,
        },
    }
    for key, value in spec.items():
        before = defaults.get(key)
        defaults[key] = {**before, **value} if isinstance(before, dict) else value
    head = {"name": name, "namespace": "team", "uid": UID, "generation": 2, "resourceVersion": "10"}
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": head,
        "spec": defaults,
    }


def a_pod(name: str = "chat-a", *, template: str = TEMPLATE, **status: Any) -> Object:
    """A pod of the model `chat`; of the last template when `template` says so."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "team",
            "uid": f"uid-{name}",
            "labels": {**names.selector("chat"), "pod-template-hash": f"hash-{template}"},
            "annotations": {names.ANNOTATION_TEMPLATE: template},
            "creationTimestamp": LONG_AGO,
        },
        "status": {"phase": "Pending", **status},
    }


def a_ready_pod(name: str = "chat-a", since: str = LONG_AGO, **fields: Any) -> Object:
    """A pod that serves."""
    conditions = [
        {"type": "PodScheduled", "status": "True"},
        {"type": "Ready", "status": "True", "lastTransitionTime": since},
    ]
    running = {"name": names.CONTAINER, "state": {"running": {"startedAt": LONG_AGO}}}
    return a_pod(
        name,
        phase="Running",
        podIP="192.0.2.7",
        conditions=conditions,
        containerStatuses=[running],
        **fields,
    )


def a_pod_with(
    state: Object, last: Object | None = None, *, container: str = names.CONTAINER, **fields: Any
) -> Object:
    """A scheduled pod whose container is in this state, after that one."""
    status = {
        "name": container,
        "image": "example.org/worker:1",
        "state": state,
        "lastState": last or {},
    }
    conditions = [
        {"type": "PodScheduled", "status": "True"},
        {"type": "Ready", "status": "False", "reason": "ContainersNotReady"},
    ]
    if container == names.CONTAINER:
        return a_pod(conditions=conditions, containerStatuses=[status], **fields)
    return a_pod(conditions=conditions, initContainerStatuses=[status], **fields)


def an_end(exit_code: int, message: str = "", reason: str = "Error") -> Object:
    """The state of a container that ended."""
    return {"terminated": {"exitCode": exit_code, "reason": reason, "message": message}}


def a_wait(reason: str, message: str = "") -> Object:
    """The state of a container that the kubelet does not start."""
    return {"waiting": {"reason": reason, "message": message}}


RUNNING: Object = {"running": {"startedAt": LONG_AGO}}


def an_unschedulable_pod(message: str, **fields: Any) -> Object:
    """A pod without a node."""
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
    }
    return a_pod(conditions=[condition], **fields)


def a_condition(kind: str, status: str = "True", reason: str = "", message: str = "") -> Object:
    """A condition of any object."""
    return {"type": kind, "status": status, "reason": reason, "message": message}


def a_deployment(
    *conditions: Object,
    replicas: int = 1,
    updated: int = 1,
    ready: int = 0,
    generation: int = 1,
    desired: int = 1,
) -> Object:
    """The Deployment of the model `chat`, all its controller's work done unless told otherwise."""
    given = list(conditions) or [a_condition("Progressing", "True", "NewReplicaSetAvailable")]
    status = {
        "observedGeneration": 1,
        "replicas": replicas,
        "updatedReplicas": updated,
        "readyReplicas": ready,
        "conditions": given,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "chat", "namespace": "team", "uid": "d", "generation": generation},
        "spec": {"replicas": desired},
        "status": status,
    }


def an_autoscaler(*conditions: Object, average: str | None = None, replicas: int = 1) -> Object:
    """Our HorizontalPodAutoscaler; `average` is the metric as it shows it."""
    metric = {"type": "External", "external": {"current": {"averageValue": average}}}
    status: Object = {"currentReplicas": replicas, "desiredReplicas": replicas}
    if average is not None:
        status["currentMetrics"] = [metric]
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "chat", "namespace": "team", "uid": "h"},
        "spec": {},
        "status": {**status, "conditions": list(conditions)},
    }
