"""Passes over a model that something stands in the way of."""

from typing import Any

import pytest

from lepton_operator.api.names import METRIC_QUEUE_DEPTH
from lepton_operator.api.objects import Identity
from lepton_operator.cluster import Rejected
from lepton_operator.reconcile.model import Reconciler
from lepton_operator.reconcile.queue import Outcome
from lepton_testing.fake_cluster import FakeCluster
from lepton_testing.passes import ALL, KEY, a_foreign, an_operator, change, condition, settle


async def test_a_foreign_object_stands_in_the_way_until_it_goes(
    operator: Reconciler, cluster: FakeCluster
) -> None:
    owner = {"kind": "LeptonModel", "name": "other", "uid": "x", "controller": True}
    theirs = cluster.put(a_foreign("Service", "chat-workers", ownerReferences=[owner]))
    outcome = await operator(KEY)
    assert outcome.obstacle
    status, reason, message = condition(cluster, "Accepted")
    assert (status, reason) == ("False", "NameConflict")
    assert "Service chat-workers exists already and belongs to LeptonModel other" in message
    assert "Delete or rename it, or create this model under another name" in message
    assert cluster.find("Service", "chat-workers") == theirs
    assert Identity("Deployment", "chat") not in cluster.kinds()
    assert [event["reason"] for event in cluster.events] == ["NameConflict"]

    cluster.remove("Service", "chat-workers")
    await settle(operator, cluster)
    assert condition(cluster, "Accepted")[:2] == ("True", "Valid")
    assert cluster.kinds() == ALL
    assert [event["reason"] for event in cluster.events] == ["NameConflict", "Valid"]


async def test_a_conflict_that_stays_is_told_once(
    operator: Reconciler, cluster: FakeCluster
) -> None:
    cluster.put(a_foreign("Service", "chat"))
    await operator(KEY)
    assert "nobody in particular" in condition(cluster, "Accepted")[2]
    cluster.calls.clear()
    assert (await operator(KEY)).obstacle
    assert not any(call.startswith(("status", "event", "apply")) for call in cluster.calls)


PREDECESSOR = {"kind": "LeptonModel", "name": "chat", "uid": "old", "controller": True}


@pytest.mark.parametrize(
    "metadata",
    [
        {"ownerReferences": [PREDECESSOR]},
        {"deletionTimestamp": "2026-01-01T00:00:00Z"},
    ],
    ids=["child of a deleted model of the same name", "foreign, but going"],
)  # fmt: skip
async def test_what_is_about_to_go_is_awaited_without_a_complaint(
    operator: Reconciler, cluster: FakeCluster, metadata: Any
) -> None:
    cluster.put(a_foreign("Service", "chat", **metadata))
    outcome = await operator(KEY)
    assert outcome.obstacle
    assert condition(cluster, "Accepted")[:2] == ("True", "Valid")


async def test_what_the_api_server_refuses_is_told_in_its_words(
    operator: Reconciler, cluster: FakeCluster
) -> None:
    words = 'Deployment.apps "chat" is invalid: spec.template.spec.affinity: Invalid value'
    cluster.errors["create Deployment chat"] = Rejected(words)
    outcome = await operator(KEY)
    assert outcome.obstacle
    assert condition(cluster, "Accepted") == (
        "False",
        "InvalidSpec",
        f"the API server does not accept Deployment chat: {words}",
    )
    assert Identity("HorizontalPodAutoscaler", "chat") not in cluster.kinds()
    cluster.errors.clear()
    await settle(operator, cluster)
    assert cluster.kinds() == ALL


async def test_a_refused_change_leaves_the_workers_as_they_are(
    operator: Reconciler, cluster: FakeCluster
) -> None:
    await settle(operator, cluster)
    before = cluster.find("Deployment", "chat")
    cluster.errors["apply Deployment chat"] = Rejected("no")
    change(cluster, task="embed")
    await operator(KEY)
    assert condition(cluster, "Accepted")[1] == "InvalidSpec"
    assert condition(cluster, "Progressing")[0] == "Unknown"
    assert cluster.find("Deployment", "chat") == before


async def test_a_source_that_is_not_allowed_is_no_obstacle_to_wait_for(
    operator: Reconciler, cluster: FakeCluster
) -> None:
    change(cluster, source="file:///srv/x")
    assert not (await operator(KEY)).obstacle
    assert condition(cluster, "Accepted")[1] == "SourceNotAllowed"
    assert cluster.kinds() == []


async def test_a_spec_from_before_the_crd_is_refused_with_its_field(
    operator: Reconciler, cluster: FakeCluster
) -> None:
    change(cluster, scaling={"minReplicas": "many"})
    await operator(KEY)
    status, reason, message = condition(cluster, "Accepted")
    assert (status, reason) == ("False", "InvalidSpec")
    assert message.startswith("spec.scaling.minReplicas: ")


async def test_a_field_that_the_server_drops_is_not_applied_for_ever(
    operator: Reconciler, cluster: FakeCluster
) -> None:
    cluster.left_out["HorizontalPodAutoscaler"] = "behavior"
    await settle(operator, cluster)
    assert await operator(KEY) == Outcome()
    assert cluster.calls == []
    again = an_operator(cluster)
    await again(KEY)
    assert cluster.calls == ["apply HorizontalPodAutoscaler chat"]
    cluster.calls.clear()
    await again(KEY)
    assert cluster.calls == []


async def test_a_foreign_autoscaler_makes_ours_stand_back_until_it_goes(
    operator: Reconciler, cluster: FakeCluster
) -> None:
    await settle(operator, cluster)
    theirs = a_foreign("HorizontalPodAutoscaler", "keda-hpa-chat")
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat"}
    cluster.put({**theirs, "spec": {"scaleTargetRef": reference}})
    await settle(operator, cluster)
    assert condition(cluster, "Scaling")[:2] == ("False", "ForeignAutoscaler")
    assert "keda-hpa-chat" in condition(cluster, "Scaling")[2]
    assert Identity("HorizontalPodAutoscaler", "chat") not in cluster.kinds()
    cluster.remove("HorizontalPodAutoscaler", "keda-hpa-chat")
    await settle(operator, cluster)
    found = cluster.find("HorizontalPodAutoscaler", "chat")
    metric = found["spec"]["metrics"][0]["external"]["metric"]["name"]
    assert metric == METRIC_QUEUE_DEPTH
