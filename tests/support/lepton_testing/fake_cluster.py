"""A cluster in memory, for passes of the operator: as far as their decisions depend on it."""

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from lepton_operator.api.names import LABEL_MODEL
from lepton_operator.api.objects import Identity, Key, Object, Resource, deep, identity
from lepton_operator.cluster import ClusterError, Conflict, NotFound
from lepton_operator.reconcile.store import target
from lepton_operator.status.observe import MetricsApi

Address = tuple[str, str, str]
"""Kind, namespace and name."""


@dataclass
class FakeCluster:
    """Holds objects, answers as the API server would, and is its own, always fresh index."""

    objects: dict[Address, Object] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    events: list[Object] = field(default_factory=list)
    errors: dict[str, ClusterError] = field(default_factory=dict)
    """Call, as it is listed in `calls` → what it raises."""

    left_out: dict[str, str] = field(default_factory=dict)
    """Kind → field of its spec that the server does not know."""

    lagging: Object | None = None
    """What the index still shows of the model."""

    api: MetricsApi = field(default_factory=lambda: MetricsApi(True))
    version: int = 100

    def put(self, item: Object) -> Object:
        """Whatever somebody does to an object."""
        self.version += 1
        stored = deepcopy(item)
        name = stored["metadata"]["name"]
        uid = f"uid-{item['kind']}-{name}-{self.version}"
        stored["metadata"] = {
            "uid": uid,
            **stored["metadata"],
            "resourceVersion": str(self.version),
        }
        self.objects[_address(stored)] = stored
        return deepcopy(stored)

    def remove(self, kind: str, name: str, namespace: str = "team") -> None:
        """Delete by somebody."""
        del self.objects[kind, namespace, name]

    def find(self, kind: str, name: str, namespace: str = "team") -> Object:
        """The object."""
        return self.objects[kind, namespace, name]

    def kinds(self) -> list[Identity]:
        """What there is, but for the model itself."""
        found = (identity(item) for item in self.objects.values())
        return sorted(entry for entry in found if entry.kind != "LeptonModel")

    # ---- Cluster

    def _called(self, call: str) -> None:
        self.calls.append(call)
        if call in self.errors:
            raise self.errors[call]

    async def get(self, resource: Resource, key: Key) -> Object:
        self._called(f"get {resource.kind} {key.name}")
        try:
            return deepcopy(self.objects[resource.kind, key.namespace, key.name])
        except KeyError:
            raise NotFound(f'{resource.plural} "{key.name}" not found') from None

    async def create(self, manifest: Object) -> Object:
        self._called(f"create {manifest['kind']} {manifest['metadata']['name']}")
        if _address(manifest) in self.objects:
            raise Conflict("the object has been modified")
        return self.put(self._stored(manifest))

    async def apply(self, manifest: Object) -> Object:
        self._called(f"apply {manifest['kind']} {manifest['metadata']['name']}")
        before = self.objects[_address(manifest)]
        kept = {"uid": before["metadata"]["uid"]}
        stored = self._stored(manifest)
        stored["metadata"] = {**stored["metadata"], **kept}
        if "status" in before:
            stored["status"] = before["status"]
        return self.put(stored)

    def _stored(self, manifest: Object) -> Object:
        result = deepcopy(manifest)
        result.get("spec", {}).pop(self.left_out.get(manifest["kind"]), None)
        return result

    async def delete(self, item: Object) -> None:
        self._called(f"delete {item['kind']} {item['metadata']['name']}")
        self.objects.pop(_address(item), None)

    async def scale(self, key: Key, replicas: int) -> None:
        self._called(f"scale {key.name} {replicas}")

    async def write_status(self, model: Object, status: Object) -> Object:
        self._called(f"status {model['metadata']['name']}")
        stored = self.objects.get(_address(model))
        if stored is None:
            raise NotFound("gone")
        return self.put({**stored, "status": status})

    async def tell(self, event: Object) -> None:
        self._called(f"event {event['reason']}")
        self.events.append(event)

    # ---- Sight

    def model(self, key: Key) -> Object | None:
        if self.lagging:
            return self.lagging
        return self.objects.get(("LeptonModel", key.namespace, key.name))

    def children(self, key: Key) -> list[Object]:
        return [item for item in self._labelled(key) if item["kind"] != "Pod"]

    def pods(self, key: Key) -> list[Object]:
        return [item for item in self._labelled(key) if item["kind"] == "Pod"]

    def autoscalers(self, key: Key) -> list[Object]:
        return [item for item in self.objects.values() if target(item) == key]

    def metrics_api(self) -> MetricsApi:
        return self.api

    def _labelled(self, key: Key) -> list[Object]:
        path = ("metadata", "labels", LABEL_MODEL)
        found: list[Any] = [item for item in self.objects.values() if deep(item, *path) == key.name]
        return found


def _address(item: Object) -> Address:
    return item["kind"], item["metadata"]["namespace"], item["metadata"]["name"]
