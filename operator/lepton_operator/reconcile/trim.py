"""What of each object is kept in memory: the parts that the pure rooms read, and no more."""

from collections.abc import Callable, Mapping
from typing import Any

from lepton_operator.api.names import ANNOTATION_APPLIED, ANNOTATION_TEMPLATE
from lepton_operator.api.objects import (
    API_SERVICES,
    AUTOSCALERS,
    BUDGETS,
    DEPLOYMENTS,
    MODELS,
    PODS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Object,
    deep,
)

_HEAD = ("name", "namespace", "uid", "resourceVersion", "generation", "labels", "ownerReferences")
_TIMES = ("creationTimestamp", "deletionTimestamp")
_ANNOTATIONS = (ANNOTATION_APPLIED, ANNOTATION_TEMPLATE)


def trimmed(item: Mapping[str, Any]) -> Object:
    """A small copy of the object; raises KeyError for a kind that is not watched."""
    return {
        "apiVersion": item["apiVersion"],
        "kind": item["kind"],
        "metadata": _metadata(item["metadata"]),
        **_BODIES[item["kind"]](item),
    }


def _metadata(metadata: Mapping[str, Any]) -> Object:
    kept = {key: metadata[key] for key in (*_HEAD, *_TIMES) if key in metadata}
    annotations = metadata.get("annotations") or {}
    ours = {key: annotations[key] for key in _ANNOTATIONS if key in annotations}
    return {**kept, "annotations": ours} if ours else kept


def _whole(item: Mapping[str, Any]) -> Object:
    return {key: item[key] for key in ("spec", "status") if key in item}


def _spec(item: Mapping[str, Any]) -> Object:
    return {"spec": item.get("spec") or {}}


def _pod(item: Mapping[str, Any]) -> Object:
    status = item.get("status") or {}
    kept = ("phase", "reason", "message", "podIP", "conditions")
    lists = ("initContainerStatuses", "containerStatuses")
    containers = {key: [_container(entry) for entry in status.get(key) or []] for key in lists}
    return {"status": {**{key: status[key] for key in kept if key in status}, **containers}}


def _container(status: Mapping[str, Any]) -> Object:
    kept = ("name", "image", "state", "lastState")
    return {key: status[key] for key in kept if key in status}


def _autoscaler(item: Mapping[str, Any]) -> Object:
    """Somebody else's autoscaler is of interest for its target only."""
    if controller_is_model(item):
        return _whole(item)
    return {"spec": {"scaleTargetRef": deep(item, "spec", "scaleTargetRef") or {}}}


def controller_is_model(item: Mapping[str, Any]) -> bool:
    """Whether some LeptonModel controls the object."""
    owners = item["metadata"].get("ownerReferences") or []
    return any(owner.get("controller") and owner.get("kind") == MODELS.kind for owner in owners)


def _account(item: Mapping[str, Any]) -> Object:
    key = "automountServiceAccountToken"
    return {key: item[key]} if key in item else {}


_BODIES: dict[str, Callable[[Mapping[str, Any]], Object]] = {
    MODELS.kind: _whole,
    DEPLOYMENTS.kind: _whole,
    SERVICES.kind: _spec,
    SERVICE_ACCOUNTS.kind: _account,
    AUTOSCALERS.kind: _autoscaler,
    BUDGETS.kind: _spec,
    PODS.kind: _pod,
    API_SERVICES.kind: lambda item: {"status": item.get("status") or {}},
}
