"""What is kept of objects in memory."""

from lepton_operator.api.names import ANNOTATION_APPLIED
from lepton_operator.api.objects import Object
from lepton_operator.api.types import LeptonModel
from lepton_operator.desired import children
from lepton_operator.reconcile.covers import covers
from lepton_operator.reconcile.trim import trimmed
from lepton_operator.status.workers import workers
from lepton_testing.objects import (
    SETTINGS,
    TEMPLATE,
    a_model,
    a_pod_with,
    a_ready_pod,
    a_wait,
    an_end,
    an_unschedulable_pod,
)


def test_a_trimmed_child_still_tells_whether_it_is_as_wanted() -> None:
    model = LeptonModel.model_validate(a_model(scaling={"maxReplicas": 3}))
    for manifest in children(model, SETTINGS, scaled_by_other=False):
        assert covers(trimmed(manifest), manifest), manifest["kind"]


def test_a_trimmed_pod_tells_the_same_story() -> None:
    pods = [
        a_ready_pod("a"),
        a_pod_with(a_wait("CrashLoopBackOff"), an_end(1, "boom"), name="b"),
        a_pod_with(a_wait("ErrImagePull", "no such image"), container="init", name="c"),
        an_unschedulable_pod("no node", name="d"),
    ]
    assert workers(map(trimmed, pods), TEMPLATE) == workers(pods, TEMPLATE)


def test_bulk_that_nobody_reads_is_dropped() -> None:
    pod = a_ready_pod()
    pod["metadata"]["managedFields"] = [{"manager": "kubelet"}]
    pod["metadata"]["annotations"]["big"] = "x" * 1000
    pod["spec"] = {"containers": []}
    found = trimmed(pod)
    assert "spec" not in found
    assert "managedFields" not in found["metadata"]
    assert "big" not in found["metadata"]["annotations"]
    assert "annotations" not in trimmed(_autoscaler(foreign=True))["metadata"]


def test_of_a_foreign_autoscaler_only_the_target_is_kept() -> None:
    target = {"kind": "Deployment", "name": "chat"}
    assert trimmed(_autoscaler(foreign=True))["spec"] == {"scaleTargetRef": target}
    assert "maxReplicas" in trimmed(_autoscaler(foreign=False))["spec"]


def _autoscaler(*, foreign: bool) -> Object:
    owner = {"kind": "ScaledObject" if foreign else "LeptonModel", "uid": "u", "controller": True}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "x", "namespace": "team", "ownerReferences": [owner]},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "chat"}, "maxReplicas": 4},
        "status": {},
    }


def test_the_digest_is_kept() -> None:
    item = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "x", "annotations": {ANNOTATION_APPLIED: "1", "b": "2"}},
    }
    assert trimmed(item)["metadata"]["annotations"] == {ANNOTATION_APPLIED: "1"}
