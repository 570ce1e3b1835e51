"""Somebody else's objects in our way, specs that only the API server can judge; and recovery."""

from typing import Any

import pytest

from lepton_operator.api.objects import Object
from lepton_testing.operator_process import OperatorProcess
from lepton_testing.space import Space

pytestmark = pytest.mark.cluster


def a_service(name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": {"app": "theirs"}},
        "spec": {"selector": {"app": "theirs"}, "ports": [{"port": 80}]},
    }


def an_autoscaler(name: str, target: str) -> Object:
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
    }
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
            "maxReplicas": 2,
            "metrics": [metric],
        },
    }


def version(space: Space, kind: str, name: str) -> str:
    found: str = space.get(kind, name)["metadata"]["resourceVersion"]
    return found


def test_a_foreign_object_is_not_touched_and_the_model_recovers_when_it_goes(
    space: Space, operator: OperatorProcess
) -> None:
    space.apply(a_service("chat"))
    before = version(space, "service", "chat")
    space.model("chat")
    found = space.await_condition("chat", "Accepted=False/NameConflict")
    assert found["message"] == (
        "Service chat exists already and belongs to nobody in particular; it is left as it is. "
        "Delete or rename it, or create this model under another name."
    )
    assert version(space, "service", "chat") == before
    assert "Deployment chat" not in space.children("chat")
    assert space.get("lm", "chat")["status"]["phase"] == "Failed"

    space.kubectl("delete", "service", "chat")
    space.await_condition("chat", "Accepted=True/Valid")
    space.await_children("chat", 5)
    events = space.events("chat")
    assert events.count(("Warning", "NameConflict")) == 1
    assert ("Normal", "Valid") in events


def test_of_two_models_that_collide_the_first_is_undisturbed(
    space: Space, operator: OperatorProcess
) -> None:
    space.model("a")
    space.await_children("a", 5)
    space.await_condition("a", "Accepted=True/Valid")
    before = version(space, "service", "a-workers")
    space.model("a-workers")
    found = space.await_condition("a-workers", "Accepted=False/NameConflict")
    assert "Service a-workers exists already and belongs to LeptonModel a" in found["message"]
    assert version(space, "service", "a-workers") == before
    assert space.conditions("a")["Accepted"]["status"] == "True"

    space.kubectl("delete", "lm", "a")
    space.await_condition("a-workers", "Accepted=True/Valid")
    space.await_children("a-workers", 5)


def test_a_model_made_again_at_once_waits_for_the_old_children_to_go(
    space: Space, operator: OperatorProcess
) -> None:
    space.model("chat")
    old = space.await_children("chat", 5)
    space.kubectl("delete", "lm", "chat")
    space.model("chat", task="embed")
    uid = space.get("lm", "chat")["metadata"]["uid"]

    def all_new() -> bool:
        found = space.children("chat")
        owners = {item["metadata"]["ownerReferences"][0]["uid"] for item in found.values()}
        return found.keys() == old.keys() and owners == {uid}

    space.eventually(all_new, "children of the new model")
    space.await_condition("chat", "Accepted=True/Valid")
    assert ("Warning", "NameConflict") not in space.events("chat")


def test_a_foreign_autoscaler_makes_ours_stand_back_until_it_goes(
    space: Space, operator: OperatorProcess
) -> None:
    space.model("chat", scaling={"maxReplicas": 3})
    space.await_children("chat", 6)
    space.apply(an_autoscaler("keda-hpa-chat", "chat"))
    found = space.await_condition("chat", "Scaling=False/ForeignAutoscaler")
    assert "HorizontalPodAutoscaler keda-hpa-chat scales the workers" in found["message"]
    assert "HorizontalPodAutoscaler chat" not in space.await_children("chat", 5)

    # Pointed elsewhere is as good as gone.
    space.patch("hpa", "keda-hpa-chat", {"spec": {"scaleTargetRef": {"name": "other"}}})
    space.await_children("chat", 6)
    space.patch("hpa", "keda-hpa-chat", {"spec": {"scaleTargetRef": {"name": "chat"}}})
    space.await_children("chat", 5)
    space.kubectl("delete", "hpa", "keda-hpa-chat")
    space.await_children("chat", 6)
    space.eventually(
        lambda: space.conditions("chat")["Scaling"]["reason"] != "ForeignAutoscaler",
        "the condition to end",
    )


REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
WINDOW = "stabilizationWindowSeconds"

INVALID: list[tuple[str, dict[str, Any], str]] = [
    (
        "template",
        {"podTemplate": {"spec": {"restartPolicy": "Sometimes"}}},
        "the API server does not accept Deployment template",
    ),
    (
        "affinity",
        {"placement": {"affinity": {"podAffinity": {REQUIRED: [{}]}}}},
        "topologyKey",
    ),
    (
        "limits",
        {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}},
        "must be less than or equal to memory limit",
    ),
    (
        "behavior",
        {"scaling": {"maxReplicas": 2, "behavior": {"scaleDown": {WINDOW: 9999}}}},
        "the API server does not accept HorizontalPodAutoscaler behavior",
    ),
    (
        "shape",
        {"podTemplate": {"spec": {"containers": [{"image": "x"}]}}},
        "spec.podTemplate.spec.containers[0] needs a name",
    ),
]


def test_what_only_the_api_server_can_judge_is_told_in_its_words(
    space: Space, operator: OperatorProcess
) -> None:
    for name, spec, _ in INVALID:
        space.model(name, **spec)
    for name, _, words in INVALID:
        found = space.await_condition(name, "Accepted=False/InvalidSpec")
        assert words in found["message"]
        assert ("Warning", "InvalidSpec") in space.events(name)
    for name, _, _ in INVALID:
        space.patch("lm", name, {"spec": {"podTemplate": None, "placement": None}})
        space.patch("lm", name, {"spec": {"resources": None, "scaling": {"behavior": None}}})
        space.await_condition(name, "Accepted=True/Valid")


def test_a_refused_spec_is_no_reason_to_hurry(space: Space, operator: OperatorProcess) -> None:
    space.model("chat", podTemplate={"spec": {"restartPolicy": "Sometimes"}})
    space.await_condition("chat", "Accepted=False/InvalidSpec")
    # The pauses grow from half a second on: counted over any stretch, the attempts stay few.
    before = operator.calls().get("apply deployments", 0)
    space.model("other")
    space.await_children("other", 5)
    assert operator.calls()["apply deployments"] - before <= 8


def test_quota_on_objects_is_told_and_recovered_from(
    space: Space, operator: OperatorProcess
) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "few"},
        "spec": {"hard": {"count/deployments.apps": "0"}},
    }
    space.apply(quota)
    space.eventually(
        lambda: space.get("resourcequota", "few").get("status", {}).get("hard"), "the quota"
    )
    space.model("chat")
    found = space.await_condition("chat", "Accepted=False/InvalidSpec")
    assert "exceeded quota: few" in found["message"]
    space.kubectl("delete", "resourcequota", "few")
    space.await_condition("chat", "Accepted=True/Valid")
