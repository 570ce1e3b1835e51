"""What Kubernetes objects say, in the words of the demo. Pure: objects in, values out."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Object = dict[str, Any]


class Stage(StrEnum):
    """Where a worker pod is in its life."""

    PENDING = "pending"
    LOADING = "loading"
    READY = "ready"
    TERMINATING = "terminating"
    OVER = "over"


def stage(pod: Object) -> Stage:
    """Where this pod is: waiting for a node or its image, loading the model, serving, or ending."""
    phase = pod.get("status", {}).get("phase", "Pending")
    if phase in ("Succeeded", "Failed"):
        return Stage.OVER
    if "deletionTimestamp" in pod["metadata"]:
        return Stage.TERMINATING
    if phase != "Running":
        return Stage.PENDING
    return Stage.READY if _condition(pod, "Ready").get("status") == "True" else Stage.LOADING


@dataclass(frozen=True)
class Health:
    """A LeptonModel as its Ready condition describes it."""

    ready: bool
    failed: bool
    reason: str
    message: str


NOT_SEEN = Health(False, False, "NotSeenYet", "the operator has not written a status yet")


def health(model: Object | None) -> Health:
    """What the operator says of a model; of the present generation only."""
    if model is None:
        return NOT_SEEN
    status, condition = model.get("status", {}), _condition(model, "Ready")
    if not condition or condition.get("observedGeneration") != model["metadata"].get("generation"):
        return NOT_SEEN
    return Health(
        ready=condition["status"] == "True",
        failed=status.get("phase") == "Failed",
        reason=condition.get("reason", ""),
        message=condition.get("message", ""),
    )


@dataclass(frozen=True)
class Autoscaler:
    """A HorizontalPodAutoscaler in figures."""

    fewest: int
    most: int
    target: float | None
    """Queue depth that each worker shall have on average."""

    current: int
    desired: int


def autoscaler(hpa: Object | None) -> Autoscaler | None:
    """What the autoscaler wants; None when there is none."""
    if hpa is None:
        return None
    spec, status = hpa["spec"], hpa.get("status", {})
    metrics = (item["external"] for item in spec.get("metrics", []) if "external" in item)
    metric: Object = next(metrics, {})
    average = metric.get("target", {}).get("averageValue")
    return Autoscaler(
        fewest=spec.get("minReplicas", 1),
        most=spec["maxReplicas"],
        target=quantity(average) if average is not None else None,
        current=status.get("currentReplicas", 0),
        desired=status.get("desiredReplicas", 0),
    )


def quantity(text: str | int) -> float:
    """Read a count as the metrics API writes it: `17`, `1500m`, `2k`."""
    scales = {"m": 1e-3, "k": 1e3, "M": 1e6}
    written = str(text)
    if written and written[-1] in scales:
        return float(written[:-1]) * scales[written[-1]]
    return float(written)


def metric_total(answer: Object | None) -> float | None:
    """Sum of an ExternalMetricValueList, as the autoscaler adds it up; None when nobody knows."""
    items = (answer or {}).get("items") or []
    return sum(quantity(item["value"]) for item in items) if items else None


def ready_addresses(slices: Sequence[Object]) -> list[str]:
    """Addresses (host:port) of the endpoints that are ready, in a stable order."""
    found: set[str] = set()
    for item in slices:
        port = _port(item.get("ports") or [])
        for endpoint in item.get("endpoints") or []:
            if port is not None and endpoint.get("conditions", {}).get("ready", True):
                found.update(f"{_host(address)}:{port}" for address in endpoint["addresses"])
    return sorted(found)


def service_address(service: Object) -> str:
    """Address (host:port) of a Service inside the cluster."""
    return f"{_host(service['spec']['clusterIP'])}:{_port(service['spec']['ports'])}"


def is_rolled_out(deployment: Object) -> bool:
    """Say whether every pod that a Deployment wants is of its newest form and available."""
    status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    counts = {status.get(f"{kind}eplicas", 0) for kind in ("r", "updatedR", "availableR")}
    seen = status.get("observedGeneration") == deployment["metadata"]["generation"]
    return seen and counts == {wanted}


def container_complaint(pod: Object) -> str:
    """Return why a container of this pod does not run, as the kubelet says it; else nothing."""
    for container in pod.get("status", {}).get("containerStatuses", []):
        for state in ("waiting", "terminated"):
            said = container.get("state", {}).get(state, {})
            if said.get("reason"):
                return f"{said['reason']} {said.get('message', '')}".strip()
    return str(_condition(pod, "PodScheduled").get("message", ""))


def _port(ports: Sequence[Object]) -> int | None:
    named = [port["port"] for port in ports if port.get("name") == "grpc"]
    return named[0] if named else next((port["port"] for port in ports), None)


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _condition(thing: Object, kind: str) -> Object:
    conditions = thing.get("status", {}).get("conditions") or []
    return next((item for item in conditions if item["type"] == kind), {})
