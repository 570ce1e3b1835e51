"""Parts go away while models serve: who may be missed, and what is said meanwhile."""

import json
import os
import signal
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from lepton_testing.installation import Installation, a_model
from lepton_testing.load import Load

pytestmark = pytest.mark.e2e

SCALING = {"maxReplicas": 2, "targetQueueDepth": 4}


def scale(lepton: Installation, deployment: str, replicas: int) -> None:
    """Set a Deployment of the installation to a number of pods and wait until it has them."""
    cluster, where = lepton.cluster, ("-n", lepton.namespace)
    cluster.kubectl("scale", "deployment", deployment, f"--replicas={replicas}", *where)

    def probe() -> bool:
        status = cluster.get("deployment", deployment, *where).get("status", {})
        seen = (status.get("replicas", 0), status.get("readyReplicas", 0))
        return seen == (replicas, replicas)

    cluster.eventually(probe, f"{replicas} pods of {deployment}", namespace=lepton.namespace)


def worker_process(pod_uid: str) -> int:
    """Process id of a pod's worker on this node, found by the pod's control group."""
    for status in Path("/proc").glob("[0-9]*/cgroup"):
        try:
            mine = pod_uid in status.read_text()
            command = status.with_name("cmdline").read_bytes()
        except FileNotFoundError:
            continue  # it ended meanwhile
        if mine and b"lepton-worker" in command:
            return int(status.parent.name)
    raise LookupError(f"no worker process of pod {pod_uid}")


def test_serving_and_scaling_do_not_need_the_operator(lepton: Installation, space: str) -> None:
    lepton.cluster.apply(a_model("alone", scaling=SCALING), namespace=space)
    lepton.await_condition("alone", space, "Ready=True", timeout=180)
    lepton.await_condition("alone", space, "Scaling=True", timeout=60)
    scale(lepton, "lepton-operator", 0)
    try:
        with Load(lepton.address("alone", space), concurrency=16) as load:
            lepton.await_replicas("alone", space, 2, timeout=180)
        lepton.await_replicas("alone", space, 1, timeout=180)
        assert load.failures == []
        assert load.answered > 16
        lepton.cluster.apply(a_model("meanwhile"), namespace=space)
    finally:
        scale(lepton, "lepton-operator", 1)
    lepton.await_condition("meanwhile", space, "Ready=True", timeout=180)


def test_without_the_metrics_api_nothing_shrinks_and_the_model_says_why(
    lepton: Installation, space: str
) -> None:
    lepton.cluster.apply(a_model("held", scaling=SCALING), namespace=space)
    lepton.await_condition("held", space, "Scaling=True", timeout=180)
    with Load(lepton.address("held", space), concurrency=16):
        lepton.await_replicas("held", space, 2, timeout=180)
        scale(lepton, "lepton-metrics", 0)
    try:
        found = lepton.await_condition("held", space, "Scaling=False/MetricsAPIUnavailable")
        assert "v1beta1.external.metrics.k8s.io" in found["message"]
        assert "MetricsAPIUnavailable" in {reason for reason, _ in lepton.events("held", space)}
        # The stabilisation window of this cluster (5 s) has long passed by then.
        assert lepton.cluster.get("deployment", "held", "-n", space)["spec"]["replicas"] == 2
        assert lepton.conditions("held", space)["Available"]["status"] == "True"
    finally:
        scale(lepton, "lepton-metrics", 2)
    lepton.await_condition("held", space, "Scaling=True/ScalingActive")
    lepton.await_replicas("held", space, 1, timeout=180)


def queue_depth(lepton: Installation, model: str, namespace: str) -> CompletedProcess[str]:
    """What the autoscaler would be told."""
    path = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/lepton_queue_depth"
    selector = f"labelSelector=model%3D{model}"
    return lepton.cluster.kubectl("get", "--raw", f"{path}?{selector}", check=False)


def test_a_worker_that_does_not_answer_makes_the_metric_unknown_not_zero(
    lepton: Installation, space: str
) -> None:
    cluster = lepton.cluster
    cluster.apply(a_model("frozen", scaling=SCALING), namespace=space)
    lepton.await_condition("frozen", space, "Scaling=True", timeout=180)
    assert queue_depth(lepton, "frozen", space).returncode == 0
    pod = cluster.get("pods", "-n", space, "-l", "lepton.ai/model=frozen")["items"][0]
    # A process cannot stop the first one of its own namespace: the test does it from the node.
    pid = worker_process(pod["metadata"]["uid"])
    os.kill(pid, signal.SIGSTOP)
    try:
        said = cluster.eventually(
            lambda: queue_depth(lepton, "frozen", space).stderr, "an unknown queue depth"
        )
        assert "frozen" in said
    finally:
        os.kill(pid, signal.SIGCONT)
    lepton.await_condition("frozen", space, "Ready=True", timeout=180)
    assert queue_depth(lepton, "frozen", space).returncode == 0


def test_an_autoscaler_without_rights_on_the_metric_is_named(
    lepton: Installation, space: str
) -> None:
    cluster = lepton.cluster
    role = cluster.get("clusterrole", "system:controller:horizontal-pod-autoscaler")
    kept = [rule for rule in role["rules"] if "external.metrics.k8s.io" not in rule["apiGroups"]]
    assert len(kept) < len(role["rules"])
    cluster.apply(a_model("unread", scaling=SCALING), namespace=space)
    lepton.await_condition("unread", space, "Scaling=True/ScalingActive", timeout=180)
    replace_rules(lepton, role, kept)
    try:
        found = lepton.await_condition("unread", space, "Scaling=False/MetricUnavailable")
        assert "forbidden" in found["message"]
        assert lepton.conditions("unread", space)["Available"]["status"] == "True"
    finally:
        replace_rules(lepton, role, role["rules"])
    lepton.await_condition("unread", space, "Scaling=True/ScalingActive")


def replace_rules(lepton: Installation, role: dict[str, Any], rules: list[dict[str, Any]]) -> None:
    """Give a ClusterRole exactly these rules."""
    patch = [{"op": "replace", "path": "/rules", "value": rules}]
    name = role["metadata"]["name"]
    lepton.cluster.kubectl("patch", "clusterrole", name, "--type=json", "-p", json.dumps(patch))
