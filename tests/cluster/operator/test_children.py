"""Children of a model: made, kept as they should be, changed with the spec, gone with the model."""

from collections.abc import Callable
from typing import Any

import pytest

from lepton_operator.api.names import LABEL_MODEL
from lepton_operator.api.objects import Object, deep
from lepton_testing.operator_process import WORKER_IMAGE, OperatorProcess
from lepton_testing.space import Space

pytestmark = pytest.mark.cluster

SCALED = {"minReplicas": 2, "maxReplicas": 4, "targetQueueDepth": 6}


def container(deployment: Object) -> Object:
    found: Object = deployment["spec"]["template"]["spec"]["containers"][0]
    return found


def environment(space: Space, name: str = "chat") -> dict[str, str]:
    found = container(space.get("deployment", name))["env"]
    return {entry["name"]: entry.get("value", "") for entry in found}


def revision(space: Space) -> str | None:
    """Counts the templates of a Deployment."""
    found = space.get("deployment", "chat")["metadata"]["annotations"]
    value: str | None = found.get("deployment.kubernetes.io/revision")
    return value


def owned_fields(item: Object, manager: str) -> Any:
    found = [entry for entry in item["metadata"]["managedFields"] if entry["manager"] == manager]
    return found[0]["fieldsV1"] if found else {}


def test_a_model_gets_all_its_children(space: Space, operator: OperatorProcess) -> None:
    space.model("chat", scaling=SCALED)
    children = space.await_children("chat", 6)
    assert sorted(children) == [
        "Deployment chat",
        "HorizontalPodAutoscaler chat",
        "PodDisruptionBudget chat",
        "Service chat",
        "Service chat-workers",
        "ServiceAccount chat",
    ]
    uid = space.get("lm", "chat")["metadata"]["uid"]
    for child in children.values():
        (owner,) = child["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"]) == (uid, True)
    assert container(children["Deployment chat"])["image"] == WORKER_IMAGE

    model = space.get("lm", "chat")
    assert "finalizers" not in model["metadata"]
    assert "annotations" not in model["metadata"]


def test_the_number_of_workers_belongs_to_the_autoscaler(
    space: Space, operator: OperatorProcess
) -> None:
    space.model("chat", scaling=SCALED)
    space.await_children("chat", 6)

    def started() -> bool:
        return bool(space.get("deployment", "chat")["spec"]["replicas"] == 2)

    space.eventually(started, "two workers")
    found = space.cluster.get("deployment", "chat", "-n", space.namespace, "--show-managed-fields")
    assert "f:replicas" not in owned_fields(found, "lepton")["f:spec"]

    space.kubectl("scale", "deployment/chat", "--replicas=3")
    space.model("chat", scaling=SCALED, task="embed")
    space.eventually(lambda: environment(space)["LEPTON_TASK"] == "embed", "the new spec")
    assert space.get("deployment", "chat")["spec"]["replicas"] == 3


Drift = tuple[str, str, Any, Callable[[Object], bool]]

DRIFTS: list[Drift] = [
    (
        "deployment",
        "chat",
        {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}},
        lambda item: item["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 75,
    ),
    (
        "deployment",
        "chat",
        [{"op": "remove", "path": "/spec/template/spec/containers/0/livenessProbe"}],
        lambda item: "livenessProbe" in container(item),
    ),
    (
        "deployment",
        "chat",
        [{"op": "remove", "path": "/metadata/annotations/lepton.ai~1applied"}],
        lambda item: "lepton.ai/applied" in item["metadata"]["annotations"],
    ),
    (
        "service",
        "chat",
        {"spec": {"selector": {LABEL_MODEL: "somebody-else"}}},
        lambda item: item["spec"]["selector"][LABEL_MODEL] == "chat",
    ),
    (
        "service",
        "chat-workers",
        {"metadata": {"labels": {"lepton.ai/endpoints": None}}},
        lambda item: item["metadata"]["labels"].get("lepton.ai/endpoints") == "workers",
    ),
    (
        "hpa",
        "chat",
        {"spec": {"maxReplicas": 99}},
        lambda item: item["spec"]["maxReplicas"] == 4,
    ),
    (
        "hpa",
        "chat",
        {"spec": {"scaleTargetRef": {"name": "somebody-else"}}},
        lambda item: item["spec"]["scaleTargetRef"]["name"] == "chat",
    ),
    (
        "pdb",
        "chat",
        {"spec": {"maxUnavailable": 0}},
        lambda item: item["spec"]["maxUnavailable"] == 1,
    ),
    (
        "serviceaccount",
        "chat",
        {"automountServiceAccountToken": True},
        lambda item: item["automountServiceAccountToken"] is False,
    ),
    (
        "serviceaccount",
        "chat",
        {"metadata": {"labels": {LABEL_MODEL: None}}},
        lambda item: item["metadata"]["labels"].get(LABEL_MODEL) == "chat",
    ),
    (
        "deployment",
        "chat",
        {"metadata": {"labels": {LABEL_MODEL: "somebody-else"}}},
        lambda item: item["metadata"]["labels"].get(LABEL_MODEL) == "chat",
    ),
]


def test_drift_is_repaired(space: Space, operator: OperatorProcess) -> None:
    space.model("chat", scaling=SCALED)
    space.await_children("chat", 6)
    for kind, name, change, as_it_should in DRIFTS:
        space.patch(kind, name, change)

        def repaired(
            kind: str = kind, name: str = name, right: Callable[[Object], bool] = as_it_should
        ) -> bool:
            return right(space.get(kind, name))

        space.eventually(repaired, f"{kind} {name} to be repaired after {change}")


def test_deleted_children_are_made_again(space: Space, operator: OperatorProcess) -> None:
    space.model("chat", scaling=SCALED)
    before = space.await_children("chat", 6)
    for child in before.values():
        space.kubectl("delete", child["kind"], child["metadata"]["name"])

    def all_new() -> bool:
        now = space.children("chat")
        old = {item["metadata"]["uid"] for item in before.values()}
        return now.keys() == before.keys() and not old & {
            item["metadata"]["uid"] for item in now.values()
        }

    space.eventually(all_new, "all children made again")


def test_fields_no_longer_asked_for_go_and_those_of_others_stay(
    space: Space, operator: OperatorProcess
) -> None:
    template = {"metadata": {"labels": {"team": "x"}}, "spec": {"priorityClassName": "high"}}
    space.model("chat", sourceSecret="hub", podTemplate=template)
    space.await_children("chat", 5)
    space.patch("deployment", "chat", {"spec": {"minReadySeconds": 3}})
    space.kubectl("annotate", "deployment/chat", "theirs=kept")
    space.apply(
        {
            "apiVersion": "lepton.ai/v1alpha1",
            "kind": "LeptonModel",
            "metadata": {"name": "chat"},
            "spec": {"source": "hf://org/model", "engine": {"backend": "echo"}},
        }
    )

    def gone() -> bool:
        found = space.get("deployment", "chat")["spec"]["template"]
        leftovers = (
            deep(found, "metadata", "labels", "team"),
            deep(found, "spec", "priorityClassName"),
            found["spec"]["containers"][0].get("envFrom"),
        )
        return not any(leftovers)

    space.eventually(gone, "the fields to go")
    found = space.get("deployment", "chat")
    assert found["spec"]["minReadySeconds"] == 3
    assert found["metadata"]["annotations"]["theirs"] == "kept"


def test_a_changed_spec_is_rolled_out_and_a_changed_bound_is_not(
    space: Space, operator: OperatorProcess
) -> None:
    space.model("chat")
    space.await_children("chat", 5)
    space.model("chat", scaling=SCALED)
    space.await_children("chat", 6)
    assert space.get("hpa", "chat")["spec"]["maxReplicas"] == 4
    space.model("chat", scaling={"maxReplicas": 1})
    space.await_children("chat", 5)
    assert revision(space) == "1"

    space.model("chat", source="pvc://weights/x")
    space.eventually(lambda: revision(space) == "2", "the new revision")
    assert environment(space)["LEPTON_SOURCE"] == "/models/x"
    found = space.get("lm", "chat")
    assert found["metadata"]["generation"] == 4
    space.eventually(
        lambda: space.get("lm", "chat")["status"]["observedGeneration"] == 4, "a new report"
    )


def test_children_go_with_their_model_also_without_the_operator(
    space: Space, operator: OperatorProcess
) -> None:
    space.model("chat", scaling=SCALED)
    space.await_children("chat", 6)
    assert operator.stop() == 0
    space.kubectl("delete", "lm", "chat")
    space.await_children("chat", 0)
