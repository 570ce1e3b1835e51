"""What the watches have seen, as passes want to read it; and which models a change concerns."""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from lepton_operator.api.names import LABEL_MODEL
from lepton_operator.api.objects import (
    DEPLOYMENTS,
    METRICS_API_SERVICE,
    MODELS,
    Key,
    Object,
    Resource,
    controller,
    deep,
)
from lepton_operator.status.observe import MetricsApi, metrics_api

MODELS_BY_NAME = "models"
CHILDREN_BY_LABEL = "children"
PODS_BY_LABEL = "pods"
AUTOSCALERS_BY_TARGET = "targets"
API_SERVICES_BY_NAME = "api_services"

Index = Mapping[Any, Any]
"""Key → collection of trimmed objects."""


class Indices:
    """A view of indices that somebody else keeps up to date."""

    def __init__(self, *, watches_api_services: bool) -> None:
        self._watches_api_services = watches_api_services
        self._indices: Mapping[str, Index] = {}
        self._gone: set[str] = set()

    def connect(self, indices: Mapping[str, Index]) -> None:
        """Read from these from now on."""
        self._indices = indices

    def model(self, key: Key) -> Object | None:
        """See Sight."""
        return next(self._read(MODELS_BY_NAME, key), None)

    def models(self) -> list[Key]:
        """Names of all models."""
        return list(self._indices.get(MODELS_BY_NAME, {}))

    def children(self, key: Key) -> list[Object]:
        """See Sight."""
        return list(self._read(CHILDREN_BY_LABEL, key))

    def pods(self, key: Key) -> list[Object]:
        """See Sight."""
        return list(self._read(PODS_BY_LABEL, key))

    def autoscalers(self, key: Key) -> list[Object]:
        """See Sight."""
        return list(self._read(AUTOSCALERS_BY_TARGET, key))

    def metrics_api(self) -> MetricsApi:
        """See Sight."""
        item = next(self._read(API_SERVICES_BY_NAME, METRICS_API_SERVICE), None)
        return metrics_api(item, allowed=self._watches_api_services)

    def held(self, resource: Resource) -> dict[str, set[Key]]:
        """Uids of all objects of a kind, and the models that each concerns."""
        stores = chain.from_iterable(index.values() for index in self._indices.values())
        found = (item for item in chain.from_iterable(stores) if item["kind"] == resource.kind)
        alive = (item for item in found if not self._is_gone(item))
        return {item["metadata"]["uid"]: concerned(item) for item in alive}

    def drop(self, uids: set[str]) -> None:
        """Overlook objects that are gone although no watch said so."""
        self._gone |= uids

    def _read(self, name: str, key: object) -> Iterator[Object]:
        found = self._indices.get(name, {}).get(key, ())
        return (item for item in found if not self._is_gone(item))

    def _is_gone(self, item: Object) -> bool:
        return item["metadata"]["uid"] in self._gone


def concerned(item: Mapping[str, Any]) -> set[Key]:
    """The models whose passes should look at a change of this object.

    By label and by owner: when somebody changes one of them, the other still tells.
    """
    if item["kind"] == MODELS.kind:
        return {own_key(item)}
    owner = controller(item)
    owned = owner["name"] if owner and owner["kind"] == MODELS.kind else None
    names = (deep(item, "metadata", "labels", LABEL_MODEL), owned)
    keys = {Key(item["metadata"]["namespace"], name) for name in names if name}
    return keys | {key for key in (target(item),) if key}


def own_key(item: Mapping[str, Any]) -> Key:
    """Its namespace and name."""
    return Key(item["metadata"]["namespace"], item["metadata"]["name"])


def by_label(item: Mapping[str, Any]) -> Key | None:
    """The model that its label names."""
    name = deep(item, "metadata", "labels", LABEL_MODEL)
    return Key(item["metadata"]["namespace"], name) if name else None


def target(item: Mapping[str, Any]) -> Key | None:
    """The Deployment that an autoscaler scales, which has its model's name."""
    found = deep(item, "spec", "scaleTargetRef") or {}
    if found.get("kind") != DEPLOYMENTS.kind:
        return None
    return Key(item["metadata"]["namespace"], found["name"])
