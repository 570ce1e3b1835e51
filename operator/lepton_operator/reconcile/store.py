"""What the watches have seen, found by model; and which models a change concerns."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from lepton_operator.api.names import LABEL_MODEL
from lepton_operator.api.objects import (
    API_SERVICES,
    AUTOSCALERS,
    DEPLOYMENTS,
    METRICS_API_SERVICE,
    MODELS,
    PODS,
    Key,
    Object,
    Resource,
    controller,
    deep,
)
from lepton_operator.status.observe import MetricsApi, metrics_api


class _Place(NamedTuple):
    """Where an object is found again."""

    what: str
    key: Key


_MODEL, _CHILD, _POD, _TARGET, _API = "model", "child", "pod", "target", "api"
_METRICS_API = _Place(_API, Key("", METRICS_API_SERVICE))


class Store:
    """Objects by their uid, and by the model that they belong to."""

    def __init__(self, *, watches_api_services: bool) -> None:
        self._watches_api_services = watches_api_services
        self._items: dict[str, Object] = {}
        self._places: dict[_Place, dict[str, Object]] = {}

    def put(self, item: Object) -> set[Key]:
        """Hold the object as it is now; the models that it concerns, or concerned before."""
        uid = item["metadata"]["uid"]
        before = self.remove(uid)
        self._items[uid] = item
        for place in _places(item):
            self._places.setdefault(place, {})[uid] = item
        return before | concerned(item)

    def remove(self, uid: str) -> set[Key]:
        """Hold it no longer; the models that it concerned."""
        item = self._items.pop(uid, None)
        if item is None:
            return set()
        for place in _places(item):
            held = self._places[place]
            del held[uid]
            if not held:
                del self._places[place]
        return concerned(item)

    def held(self, resource: Resource) -> dict[str, set[Key]]:
        """Uids of all objects of a kind, and the models that each concerns."""
        found = (item for item in self._items.values() if item["kind"] == resource.kind)
        return {item["metadata"]["uid"]: concerned(item) for item in found}

    def models(self) -> list[Key]:
        """Names of all models."""
        return [place.key for place in self._places if place.what == _MODEL]

    def model(self, key: Key) -> Object | None:
        """See Sight."""
        # For a moment there may be two: the watch tells of the new one before the old one's end.
        found = list(self._at(_MODEL, key))
        return found[-1] if found else None

    def children(self, key: Key) -> list[Object]:
        """See Sight."""
        return list(self._at(_CHILD, key))

    def pods(self, key: Key) -> list[Object]:
        """See Sight."""
        return list(self._at(_POD, key))

    def autoscalers(self, key: Key) -> list[Object]:
        """See Sight."""
        return list(self._at(_TARGET, key))

    def metrics_api(self) -> MetricsApi:
        """See Sight."""
        item = next(self._at(*_METRICS_API), None)
        return metrics_api(item, allowed=self._watches_api_services)

    def _at(self, what: str, key: Key) -> Iterator[Object]:
        return iter(self._places.get(_Place(what, key), {}).values())


def concerned(item: Mapping[str, Any]) -> set[Key]:
    """The models whose passes should look at a change of this object.

    By label and by owner: when somebody changes one of them, the other still tells.
    """
    metadata = item["metadata"]
    namespace = metadata.get("namespace", "")
    if item["kind"] == MODELS.kind:
        return {Key(namespace, metadata["name"])}
    owner = controller(item)
    owned = Key(namespace, owner["name"]) if owner and owner["kind"] == MODELS.kind else None
    return {key for key in (_labelled(item), owned, target(item)) if key}


def target(item: Mapping[str, Any]) -> Key | None:
    """The Deployment that an autoscaler scales, which has its model's name."""
    found = deep(item, "spec", "scaleTargetRef") or {}
    if found.get("kind") != DEPLOYMENTS.kind:
        return None
    return Key(item["metadata"]["namespace"], found["name"])


def _labelled(item: Mapping[str, Any]) -> Key | None:
    name = deep(item, "metadata", "labels", LABEL_MODEL)
    return Key(item["metadata"]["namespace"], name) if name else None


def _places(item: Object) -> Iterator[_Place]:
    kind, metadata = item["kind"], item["metadata"]
    if kind in (MODELS.kind, API_SERVICES.kind):
        what = _MODEL if kind == MODELS.kind else _API
        yield _Place(what, Key(metadata.get("namespace", ""), metadata["name"]))
        return
    if key := _labelled(item):
        yield _Place(_POD if kind == PODS.kind else _CHILD, key)
    if kind == AUTOSCALERS.kind and (key := target(item)):
        yield _Place(_TARGET, key)
