"""What the metrics API needs in a cluster, and what it sees there: as objects."""

from typing import Any

from lepton_operator.api.names import (
    ENDPOINTS_WORKERS,
    LABEL_ENDPOINTS,
    LABEL_MODEL,
    METRICS_GROUP,
    METRICS_VERSION,
)
from lepton_operator.api.types import LeptonModel
from lepton_operator.desired.autoscaler import autoscaler
from lepton_testing.stub_worker import StubWorker

Manifest = dict[str, Any]

SERVICE = "lepton-metrics"
SECRET = "lepton-metrics-tls"
ACCOUNT = "lepton-metrics"
API_SERVICE = f"{METRICS_VERSION}.{METRICS_GROUP}"
RBAC = "rbac.authorization.k8s.io"


def rights(namespace: str) -> list[Manifest]:
    """Exactly the rights of docs/reference/rbac-metrics.md, for a Secret that exists already."""
    secret = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [SECRET]}
    api_services = {
        "apiGroups": ["apiregistration.k8s.io"],
        "resources": ["apiservices"],
        "resourceNames": [API_SERVICE],
        "verbs": ["list", "watch", "patch"],
    }
    slices = {
        "apiGroups": ["discovery.k8s.io"],
        "resources": ["endpointslices"],
        "verbs": ["list", "watch"],
    }
    reader = "extension-apiserver-authentication-reader"
    return [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": ACCOUNT, "namespace": namespace},
        },
        _role("Role", namespace, [{**secret, "verbs": ["list", "watch", "get", "update"]}]),
        _binding("RoleBinding", namespace, "Role", namespace, namespace),
        _role("ClusterRole", namespace, [slices, api_services]),
        _binding("ClusterRoleBinding", namespace, "ClusterRole", namespace, None),
        _binding("RoleBinding", namespace, "Role", reader, "kube-system"),
    ]


def registration(namespace: str, service: str = SERVICE) -> list[Manifest]:
    """The Service without selector, the empty Secret and the APIService, as the chart has them."""
    metadata = {"name": service, "namespace": namespace}
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": SECRET, "namespace": namespace},
            "type": "Opaque",
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"ports": [{"name": "https", "port": 443}]},
        },
        api_service(namespace, service),
    ]


def api_service(namespace: str, service: str = SERVICE) -> Manifest:
    """Sends the API server's callers to a Service."""
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": API_SERVICE},
        "spec": {
            "group": METRICS_GROUP,
            "version": METRICS_VERSION,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "service": {"namespace": namespace, "name": service, "port": 443},
        },
    }


def replica_slice(namespace: str, host: str, port: int) -> Manifest:
    """The endpoint of one replica that runs on this machine."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{SERVICE}-{port}",
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": SERVICE},
        },
        "addressType": "IPv4",
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
        "endpoints": [{"addresses": [host], "conditions": {"ready": True}}],
    }


def worker_slice(
    model: str, host: str, worker: StubWorker, *, ready: bool = True, terminating: bool = False
) -> Manifest:
    """One worker of a model; a slice for each, since each has a port of its own."""
    conditions = {"ready": ready, "serving": ready or terminating, "terminating": terminating}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{model}-{worker.port}",
            "labels": {LABEL_MODEL: model, LABEL_ENDPOINTS: ENDPOINTS_WORKERS},
        },
        "addressType": "IPv4",
        "ports": [{"name": "grpc", "port": worker.port, "protocol": "TCP"}],
        "endpoints": [{"addresses": [host], "conditions": conditions}],
    }


def scaled(model: str, *, most: int, target: int, replicas: int = 1) -> list[Manifest]:
    """A Deployment whose pods run nowhere, and the autoscaler that the operator makes for it."""
    labels = {"app": model}
    container = {"name": "main", "image": "none"}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": model},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container], "nodeSelector": {"nowhere": "true"}},
            },
        },
    }
    scaling = {"minReplicas": 1, "maxReplicas": most, "targetQueueDepth": target}
    wanted = autoscaler(
        LeptonModel.model_validate(
            {"metadata": {"name": model}, "spec": {"source": "hf://any/model", "scaling": scaling}}
        )
    )
    del wanted["metadata"]["ownerReferences"], wanted["metadata"]["namespace"]
    policy = {"type": "Percent", "value": 100, "periodSeconds": 1}
    wanted["spec"]["behavior"]["scaleDown"] = {"policies": [policy]}
    return [deployment, wanted]


def _role(kind: str, name: str, rules: list[Manifest]) -> Manifest:
    metadata = {"name": name, **({"namespace": name} if kind == "Role" else {})}
    return {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": metadata, "rules": rules}


def _binding(kind: str, owner: str, role_kind: str, role: str, namespace: str | None) -> Manifest:
    place = {"namespace": namespace} if namespace else {}
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": kind,
        "metadata": {"name": owner, **place},
        "roleRef": {"apiGroup": RBAC, "kind": role_kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": owner}],
    }
