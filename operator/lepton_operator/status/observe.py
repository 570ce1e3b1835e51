"""What the conditions are decided on, as one frozen value, and how it is read from objects."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lepton_operator.api.conditions import Condition
from lepton_operator.api.objects import Object, deep
from lepton_operator.api.quantity import number
from lepton_operator.status.workers import Worker


@dataclass(frozen=True)
class Statement:
    """A condition of somebody else's object."""

    status: str
    reason: str = ""
    message: str = ""


@dataclass(frozen=True)
class Rollout:
    """The Deployment, as far as it tells how its pods come and go."""

    caught_up: bool = False
    """Whether its controller has seen the current spec."""

    desired: int = 1
    replicas: int = 0
    updated: int = 0
    ready: int = 0
    progressing: Statement | None = None
    rejected: str | None = None
    """Why pods cannot be created."""


@dataclass(frozen=True)
class Autoscaler:
    """The HorizontalPodAutoscaler that we made."""

    statements: Mapping[str, Statement] = field(default_factory=dict)
    desired: int | None = None
    depth: int | None = None
    """Requests in hand of all workers."""


@dataclass(frozen=True)
class MetricsApi:
    """The APIService of external metrics; `available` None when we may not look."""

    available: bool | None = None
    message: str = ""


@dataclass(frozen=True)
class Observed:
    """What was seen of one model in one pass."""

    model: Object
    """The LeptonModel itself."""

    now: datetime
    refused: Condition | None = None
    """Set when the spec could not be carried out."""

    rollout: Rollout | None = None
    workers: tuple[Worker, ...] = ()
    autoscaler: Autoscaler | None = None
    foreign: str | None = None
    """Name of somebody else's autoscaler on our Deployment."""

    metrics_api: MetricsApi = MetricsApi()
    claim: str | None = None
    """PersistentVolumeClaim that the source names."""

    @property
    def name(self) -> str:
        """Name of the model."""
        return str(self.model["metadata"]["name"])

    @property
    def spec(self) -> Mapping[str, Any]:
        """Spec of the model, with the server's defaults."""
        spec: Mapping[str, Any] = self.model["spec"]
        return spec

    @property
    def current(self) -> tuple[Worker, ...]:
        """Workers of the current spec."""
        return tuple(worker for worker in self.workers if worker.current)

    @property
    def ready(self) -> tuple[Worker, ...]:
        """Workers that serve, of whatever spec."""
        return tuple(worker for worker in self.workers if worker.ready)


def rollout(deployment: Object | None) -> Rollout | None:
    """What the Deployment says; None when there is none."""
    if deployment is None:
        return None
    status = deployment.get("status") or {}
    found = statements(deployment)
    failure = found.get("ReplicaFailure")
    return Rollout(
        caught_up=status.get("observedGeneration", 0)
        >= deployment["metadata"].get("generation", 1),
        desired=_default(deep(deployment, "spec", "replicas"), 1),
        replicas=status.get("replicas", 0),
        updated=status.get("updatedReplicas", 0),
        ready=status.get("readyReplicas", 0),
        progressing=found.get("Progressing"),
        rejected=failure.message if failure and failure.status == "True" else None,
    )


def autoscaler(item: Object | None) -> Autoscaler | None:
    """What our autoscaler says; None when there is none."""
    if item is None:
        return None
    status, found = item.get("status") or {}, statements(item)
    # Before its controller could decide, the wanted number is 0 and means nothing.
    return Autoscaler(found, status.get("desiredReplicas") or None, _depth(status))


def _depth(status: Mapping[str, Any]) -> int | None:
    """Requests in hand: the average that the autoscaler shows, times the workers it divided by.

    With no worker to divide by it shows the smallest 64-bit number, which says nothing.
    """
    for metric in status.get("currentMetrics") or []:
        average = number(deep(metric, "external", "current", "averageValue"))
        if average is not None and average >= 0:
            return round(average * (status.get("currentReplicas") or 0))
    return None


def metrics_api(item: Object | None, *, allowed: bool) -> MetricsApi:
    """What the APIService says; `allowed` tells whether we could see it at all."""
    if not allowed:
        return MetricsApi()
    if item is None:
        return MetricsApi(False, "there is no APIService for external.metrics.k8s.io")
    found = statements(item).get("Available")
    if found is None:
        return MetricsApi(False, "the API server has not looked at it yet")
    return MetricsApi(found.status == "True", f"{found.reason}: {found.message}".rstrip(": "))


def statements(item: Object) -> dict[str, Statement]:
    """Conditions of an object by their type."""
    return {
        entry["type"]: Statement(entry["status"], entry.get("reason", ""), entry.get("message", ""))
        for entry in deep(item, "status", "conditions") or []
    }


def _default(value: Any, default: int) -> int:
    return default if value is None else int(value)
