"""Kubernetes objects this package applies: pure functions that return manifests."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from localcluster import simulation

Manifest = dict[str, Any]

DNS_NAMESPACE = "kube-system"
# Volumes belong to no namespace; this one says whose they are.
NAMESPACE_LABEL = "localcluster.lepton.ai/namespace"


def dns(service_ip: str, host_ip: str, port: int) -> list[Manifest]:
    """Return the DNS Service, backed by the process on this machine, and what it may read."""
    ports = [
        {"name": "dns", "protocol": "UDP", "port": 53, "targetPort": port},
        {"name": "dns-tcp", "protocol": "TCP", "port": 53, "targetPort": port},
    ]
    service, endpoints = _host_backed("kube-dns", DNS_NAMESPACE, host_ip, ports)
    service["spec"]["clusterIP"] = service_ip
    readable = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "system:coredns"},
        "rules": [
            _reads("", ["endpoints", "services", "pods", "namespaces"]),
            _reads("discovery.k8s.io", ["endpointslices"]),
        ],
    }
    return [service, endpoints, readable, _bound_to_user("system:coredns", "system:coredns")]


def host_service(
    name: str, namespace: str, host_ip: str, port: int, target_port: int
) -> list[Manifest]:
    """Return a Service that leads to a process on this machine, and its endpoints."""
    ports = [{"name": "main", "protocol": "TCP", "port": port, "targetPort": target_port}]
    return list(_host_backed(name, namespace, host_ip, ports))


def model_volume(claim: str, namespace: str, folder: Path, mode: str) -> list[Manifest]:
    """Return a volume of a folder of this machine, and the only claim that may have it."""
    volume_name = f"{namespace}-{claim}"
    common = {
        "accessModes": [mode],
        # An empty class keeps a default storage class from provisioning something else.
        "storageClassName": "",
    }
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": volume_name,
            "labels": {NAMESPACE_LABEL: namespace},
        },
        "spec": {
            **common,
            "capacity": {"storage": "100Gi"},
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": str(folder), "type": "Directory"},
            "claimRef": {"namespace": namespace, "name": claim},
        },
    }
    wanted = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": claim, "namespace": namespace},
        "spec": {
            **common,
            "volumeName": volume_name,
            "resources": {"requests": {"storage": "100Gi"}},
        },
    }
    return [volume, wanted]


def bare_node(name: str, capacity: Mapping[str, str]) -> Manifest:
    """Return a node object that no kubelet stands behind."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {simulation.ANNOTATION: "true"},
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
            },
        },
        "spec": {},
        "status": {"capacity": dict(capacity), "allocatable": dict(capacity)},
    }


def capacity_patch(resource: str, count: int) -> list[Manifest]:
    """Return a JSON patch of a node's status that offers, or takes away, an extended resource."""
    pointer = resource.replace("~", "~0").replace("/", "~1")
    paths = [f"/status/{field}/{pointer}" for field in ("capacity", "allocatable")]
    if count:
        return [{"op": "add", "path": path, "value": str(count)} for path in paths]
    return [{"op": "remove", "path": path} for path in paths]


def _host_backed(
    name: str, namespace: str, host_ip: str, ports: list[Manifest]
) -> tuple[Manifest, Manifest]:
    service: Manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"ports": ports},
    }
    endpoints: Manifest = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-host",
            "namespace": namespace,
            "labels": {
                "kubernetes.io/service-name": name,
                "endpointslice.kubernetes.io/managed-by": "localcluster",
            },
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [host_ip], "conditions": {"ready": True}}],
        "ports": [
            {"name": port["name"], "protocol": port["protocol"], "port": port["targetPort"]}
            for port in ports
        ],
    }
    return service, endpoints


def _reads(group: str, resources: list[str]) -> Manifest:
    return {"apiGroups": [group], "resources": resources, "verbs": ["list", "watch"]}


def _bound_to_user(role: str, user: str) -> Manifest:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}],
    }


def as_list(objects: Iterable[Mapping[str, Any]]) -> str:
    """Return several objects as one JSON document that kubectl takes."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [dict(one) for one in objects]})
