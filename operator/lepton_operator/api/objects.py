"""Kubernetes objects as JSON: the kinds that we deal with, and how to read their heads."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from lepton_operator.api.names import API_VERSION, KIND, METRICS_GROUP, METRICS_VERSION, PLURAL

Object = dict[str, Any]


class Key(NamedTuple):
    """Name of a namespaced object, most often a LeptonModel."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Resource:
    """A kind of objects and where the API server has it."""

    kind: str
    api_version: str
    plural: str

    @property
    def group(self) -> str:
        """Group without the version; empty for the core."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """Version without the group."""
        return self.api_version.rpartition("/")[2]


MODELS = Resource(KIND, API_VERSION, PLURAL)
SERVICE_ACCOUNTS = Resource("ServiceAccount", "v1", "serviceaccounts")
SERVICES = Resource("Service", "v1", "services")
DEPLOYMENTS = Resource("Deployment", "apps/v1", "deployments")
AUTOSCALERS = Resource("HorizontalPodAutoscaler", "autoscaling/v2", "horizontalpodautoscalers")
BUDGETS = Resource("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets")
PODS = Resource("Pod", "v1", "pods")
EVENTS = Resource("Event", "events.k8s.io/v1", "events")
API_SERVICES = Resource("APIService", "apiregistration.k8s.io/v1", "apiservices")

CHILDREN = (SERVICE_ACCOUNTS, SERVICES, DEPLOYMENTS, AUTOSCALERS, BUDGETS)
"""Kinds that a model owns; pods are the Deployment's."""

RESOURCES = {resource.kind: resource for resource in (MODELS, *CHILDREN, PODS, EVENTS)}

METRICS_API_SERVICE = f"{METRICS_VERSION}.{METRICS_GROUP}"
"""Name of the APIService behind which the autoscaler reads its metric."""


class Identity(NamedTuple):
    """What makes an object this object among those of a namespace."""

    kind: str
    name: str


def identity(item: Mapping[str, Any]) -> Identity:
    """Kind and name."""
    return Identity(item["kind"], item["metadata"]["name"])


def controller(item: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The owner reference of the object's controller."""
    references = item["metadata"].get("ownerReferences") or []
    return next((entry for entry in references if entry.get("controller")), None)


def controlled_by(item: Mapping[str, Any], uid: str) -> bool:
    """Whether the object of that uid is its controller."""
    owner = controller(item)
    return owner is not None and owner.get("uid") == uid


def deep(item: Mapping[str, Any] | None, *path: str) -> Any:
    """Value at the path, or None where any part of it is missing."""
    value: Any = item
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def digest(item: Any) -> str:
    """Short digest of JSON-like data, the same for equal data."""
    text = json.dumps(item, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]
