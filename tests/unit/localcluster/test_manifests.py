"""Objects for the cluster: volumes, Services of this machine, devices that do not exist."""

import json
from pathlib import Path

from localcluster import manifests
from localcluster.node import is_schedulable


def test_a_model_folder_is_bound_to_exactly_one_claim() -> None:
    volume, claim = manifests.model_volume("models", "ns", Path("/data"), "ReadOnlyMany")
    assert volume["spec"]["hostPath"]["path"] == "/data"
    assert volume["spec"]["claimRef"] == {"namespace": "ns", "name": "models"}
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
    assert claim["spec"]["accessModes"] == volume["spec"]["accessModes"] == ["ReadOnlyMany"]


def test_a_service_of_this_machine_has_its_endpoints_by_hand() -> None:
    service, endpoints = manifests.host_service("metrics", "ns", "192.0.2.7", 443, 8443)
    assert "selector" not in service["spec"]
    assert endpoints["metadata"]["labels"]["kubernetes.io/service-name"] == "metrics"
    assert endpoints["endpoints"][0]["addresses"] == ["192.0.2.7"]
    assert endpoints["ports"] == [{"name": "main", "protocol": "TCP", "port": 8443}]


def test_devices_are_offered_and_taken_back() -> None:
    offer = manifests.capacity_patch("nvidia.com/gpu", 4)
    assert offer[0] == {"op": "add", "path": "/status/capacity/nvidia.com~1gpu", "value": "4"}
    assert [step["op"] for step in manifests.capacity_patch("nvidia.com/gpu", 0)] == ["remove"] * 2


def test_objects_are_applied_as_one_list() -> None:
    parsed = json.loads(manifests.as_list([{"kind": "A"}, {"kind": "B"}]))
    assert [item["kind"] for item in parsed["items"]] == ["A", "B"]


def test_a_node_takes_pods_once_ready_and_without_taints() -> None:
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    assert is_schedulable({"spec": {}, "status": status})
    assert not is_schedulable({"spec": {"taints": [{"key": "x"}]}, "status": status})
    assert not is_schedulable({"spec": {}, "status": {"conditions": []}})
