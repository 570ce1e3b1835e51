"""Lepton as installed on a test cluster by its chart, and what tests ask of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from localcluster.cluster import Cluster

MODELS_CLAIM = "models"
"""Claim through which tests serve models: `pvc://models/<folder>`."""


def a_model(name: str, source: str = f"pvc://{MODELS_CLAIM}/minilm", **spec: Any) -> dict[str, Any]:
    """A LeptonModel with small requests, so that several fit on a test machine."""
    resources = {"requests": {"cpu": "100m", "memory": "256Mi"}}
    return {
        "apiVersion": "lepton.ai/v1alpha1",
        "kind": "LeptonModel",
        "metadata": {"name": name},
        "spec": {"source": source, "resources": resources, **spec},
    }


@dataclass(frozen=True)
class Installation:
    """The cluster and where on it the operator and the metrics API run."""

    cluster: Cluster
    namespace: str = "lepton-system"

    def model(self, name: str, namespace: str) -> dict[str, Any]:
        """The LeptonModel as the API server holds it."""
        return self.cluster.get("leptonmodels", name, "-n", namespace)

    def conditions(self, name: str, namespace: str) -> dict[str, dict[str, Any]]:
        """Conditions by their type; empty before the first pass."""
        entries = self.model(name, namespace).get("status", {}).get("conditions", [])
        return {entry["type"]: entry for entry in entries}

    def await_condition(
        self, name: str, namespace: str, claim: str, *, timeout: float = 120
    ) -> dict[str, Any]:
        """Wait for `Type=Status` or `Type=Status/Reason` and return the condition."""
        kind, _, rest = claim.partition("=")
        status, _, reason = rest.partition("/")

        def probe() -> dict[str, Any] | None:
            found = self.conditions(name, namespace).get(kind)
            fits = found is not None and found["status"] == status
            return found if fits and (not reason or (found and found["reason"] == reason)) else None

        return self.cluster.eventually(
            probe, f"{namespace}/{name}: {claim}", timeout=timeout, namespace=namespace
        )

    def await_replicas(
        self, name: str, namespace: str, count: int, *, timeout: float = 120
    ) -> None:
        """Wait until exactly `count` workers are wanted, exist and are ready."""

        def probe() -> bool:
            found = self.cluster.get("deployment", name, "-n", namespace)
            status = found.get("status", {})
            seen = (status.get("replicas", 0), status.get("readyReplicas", 0))
            return bool(found["spec"]["replicas"] == count and seen == (count, count))

        self.cluster.eventually(
            probe, f"{count} workers of {namespace}/{name}", timeout=timeout, namespace=namespace
        )

    def address(self, name: str, namespace: str) -> str:
        """Host and port of the model's Service; the test machine is a node, so it answers here."""
        service = self.cluster.get("service", name, "-n", namespace)
        return f"{service['spec']['clusterIP']}:9000"

    @contextmanager
    def channel(self, name: str, namespace: str) -> Iterator[grpc.Channel]:
        """A gRPC channel to the model's Service, ready to be used."""
        with grpc.insecure_channel(self.address(name, namespace)) as channel:
            grpc.channel_ready_future(channel).result(timeout=30)
            yield channel

    def events(self, name: str, namespace: str) -> list[tuple[str, str]]:
        """(reason, message) of the events on a LeptonModel."""
        selector = f"involvedObject.kind=LeptonModel,involvedObject.name={name}"
        found = self.cluster.get("events", "-n", namespace, "--field-selector", selector)
        return [(item["reason"], item["message"]) for item in found["items"]]
