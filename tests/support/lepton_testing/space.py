"""One namespace in which the operator works, and what tests do and see there."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from lepton_operator.api.names import LABEL_MODEL
from lepton_operator.api.objects import CHILDREN, Object
from localcluster.cluster import Cluster

T = TypeVar("T")

KINDS = ",".join(resource.plural for resource in CHILDREN)


@dataclass(frozen=True)
class Space:
    """The namespace on its cluster."""

    cluster: Cluster
    namespace: str

    def kubectl(self, *arguments: str, check: bool = True) -> str:
        """kubectl in this namespace; what it wrote, complaints included."""
        done = self.cluster.kubectl("-n", self.namespace, *arguments, check=check)
        return done.stdout + done.stderr

    def apply(self, *items: Object) -> None:
        """Apply objects, server side."""
        self.cluster.apply(list(items), namespace=self.namespace)

    def model(self, name: str, **spec: Any) -> None:
        """Apply a LeptonModel."""
        self.apply(a_model(name, **spec))

    def get(self, kind: str, name: str) -> Object:
        """An object."""
        return self.cluster.get(kind, name, "-n", self.namespace)

    def patch(self, kind: str, name: str, change: Any, *flags: str) -> None:
        """Change an object by a JSON merge patch, or a JSON patch when it is a list."""
        form = "json" if isinstance(change, list) else "merge"
        text = json.dumps(change)
        self.kubectl("patch", kind, name, f"--type={form}", f"--patch={text}", *flags)

    def children(self, model: str) -> dict[str, Object]:
        """All children of a model, by kind and name."""
        found = self.cluster.get(KINDS, "-n", self.namespace, "-l", f"{LABEL_MODEL}={model}")
        return {f"{item['kind']} {item['metadata']['name']}": item for item in found["items"]}

    def await_children(self, model: str, count: int) -> dict[str, Object]:
        """The children once there are so many."""

        def complete() -> list[dict[str, Object]]:
            found = self.children(model)
            return [found] if len(found) == count else []

        return self.eventually(complete, f"{count} children of {model}")[0]

    def conditions(self, model: str) -> dict[str, Object]:
        """Conditions of a model by type; empty before the first report."""
        found = self.get("lm", model).get("status", {}).get("conditions", [])
        return {entry["type"]: entry for entry in found}

    def await_condition(self, model: str, claim: str) -> Object:
        """The condition once it reads `Type=Status/Reason`."""
        kind, _, rest = claim.partition("=")

        def holds() -> Object | None:
            found = self.conditions(model).get(kind)
            return found if found and f"{found['status']}/{found['reason']}" == rest else None

        return self.eventually(holds, f"{model}: {claim}")

    def events(self, model: str) -> list[tuple[str, str]]:
        """Type and reason of the model's events, oldest first."""
        selector = f"involvedObject.kind=LeptonModel,involvedObject.name={model}"
        found = self.cluster.get("events", "-n", self.namespace, "--field-selector", selector)
        items = sorted(found["items"], key=lambda item: str(item["eventTime"]))
        return [(item["type"], item["reason"]) for item in items]

    def pods(self, model: str) -> list[Object]:
        """Pods of a model that are not on their way out."""
        found = self.cluster.get("pods", "-n", self.namespace, "-l", f"{LABEL_MODEL}={model}")
        return [item for item in found["items"] if "deletionTimestamp" not in item["metadata"]]

    def eventually(self, probe: Callable[[], T | None], what: str) -> T:
        """What the probe returns once it is something."""
        return self.cluster.eventually(probe, what, namespace=self.namespace)


def a_model(name: str, **spec: Any) -> Object:
    """A LeptonModel that needs nothing from anywhere."""
    given = {"source": "hf://org/model", "engine": {"backend": "echo"}, **spec}
    head = {"apiVersion": "lepton.ai/v1alpha1", "kind": "LeptonModel"}
    return {**head, "metadata": {"name": name}, "spec": given}
