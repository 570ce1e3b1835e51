"""Pods as they are seen → workers: which spec they run, and what keeps them from serving."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lepton_operator.api.names import ANNOTATION_TEMPLATE, CONTAINER
from lepton_operator.api.objects import Object, deep

_HASH = "pod-template-hash"


@dataclass(frozen=True)
class Waiting:
    """Why the kubelet does not start a container."""

    reason: str
    message: str
    image: str


@dataclass(frozen=True)
class Ended:
    """How a container ended last; `message` is its termination message or the end of its log."""

    container: str
    exit_code: int
    reason: str
    message: str


@dataclass(frozen=True)
class Worker:
    """One pod."""

    name: str
    current: bool
    """Whether it runs the current pod template."""

    ready: bool
    ready_since: str | None = None
    address: str | None = None
    unschedulable: str | None = None
    """The scheduler's words."""

    waiting: Waiting | None = None
    ended: Ended | None = None
    """Set only when it failed, and has not been ready since."""

    rejected: str | None = None
    """The node's words when it refused or evicted the pod."""


def workers(pods: Iterable[Object], template: str | None) -> tuple[Worker, ...]:
    """Workers that are not being deleted, oldest first, so that the same one is blamed each time.

    `template` is the digest of the wanted pod template. A restart by hand (`kubectl rollout
    restart`) leaves it as it is; among the pods that carry it the newest replica set is current.
    """
    alive = [pod for pod in pods if not deep(pod, "metadata", "deletionTimestamp")]
    alive.sort(key=lambda pod: (_created(pod), pod["metadata"]["name"]))
    newest = _newest_hash([pod for pod in alive if template and _digest(pod) == template])
    return tuple(_worker(pod, newest) for pod in alive)


def _newest_hash(pods: Sequence[Object]) -> str | None:
    """Hash of the replica set that began last."""
    begun: dict[str, str] = {}
    for pod in pods:
        begun.setdefault(_hash(pod), _created(pod))
    return max(begun, key=lambda name: begun[name]) if begun else None


def _worker(pod: Object, newest: str | None) -> Worker:
    conditions = {entry["type"]: entry for entry in deep(pod, "status", "conditions") or []}
    ready, scheduled = conditions.get("Ready", {}), conditions.get("PodScheduled", {})
    is_ready = ready.get("status") == "True"
    blocked = scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable"
    statuses = _statuses(pod)
    return Worker(
        name=pod["metadata"]["name"],
        current=newest is not None and _hash(pod) == newest,
        ready=is_ready,
        ready_since=ready.get("lastTransitionTime") if is_ready else None,
        address=deep(pod, "status", "podIP"),
        unschedulable=scheduled.get("message", "") if blocked else None,
        waiting=next(filter(None, map(_waiting, statuses)), None),
        ended=None if is_ready else next(filter(None, map(_ended, statuses)), None),
        rejected=_rejected(pod),
    )


def _statuses(pod: Object) -> list[Mapping[str, Any]]:
    """Statuses of its containers, the worker's own first."""
    status = pod.get("status") or {}
    found = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    return sorted(found, key=lambda entry: entry["name"] != CONTAINER)


def _waiting(status: Mapping[str, Any]) -> Waiting | None:
    state = deep(status, "state", "waiting")
    if not state or state.get("reason") in (None, "ContainerCreating", "PodInitializing"):
        return None
    return Waiting(state["reason"], state.get("message", ""), status.get("image", ""))


def _ended(status: Mapping[str, Any]) -> Ended | None:
    """The last end, if it was a failure; an end with status 0 is one only when it repeats."""
    end = deep(status, "state", "terminated") or deep(status, "lastState", "terminated")
    repeats = deep(status, "state", "waiting", "reason") == "CrashLoopBackOff"
    if not end or (end.get("exitCode") == 0 and not repeats):
        return None
    return Ended(
        status["name"], end.get("exitCode", -1), end.get("reason", ""), end.get("message") or ""
    )


def _rejected(pod: Object) -> str | None:
    status = pod.get("status") or {}
    if status.get("phase") != "Failed" or not status.get("reason"):
        return None
    return f"{status['reason']}: {status.get('message', '')}".rstrip(": ")


def _digest(pod: Object) -> str | None:
    found = deep(pod, "metadata", "annotations", ANNOTATION_TEMPLATE)
    return found if isinstance(found, str) else None


def _hash(pod: Object) -> str:
    return str(deep(pod, "metadata", "labels", _HASH) or "")


def _created(pod: Object) -> str:
    return str(deep(pod, "metadata", "creationTimestamp") or "")
