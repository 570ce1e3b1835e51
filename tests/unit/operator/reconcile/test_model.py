"""One pass over one model."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from lepton_operator.api.names import LABEL_MODEL, METRIC_QUEUE_DEPTH
from lepton_operator.api.objects import Identity, Key, Object
from lepton_operator.cluster import Forbidden, Leaving, NotFound, Rejected, Unavailable
from lepton_operator.reconcile.carry_out import Settled
from lepton_operator.reconcile.model import Reconciler
from lepton_operator.reconcile.queue import Outcome
from lepton_operator.reconcile.reports import Reports, older
from lepton_operator.status import Info
from lepton_operator.workers import Interviews
from lepton_testing.fake_cluster import FakeCluster
from lepton_testing.objects import SETTINGS, a_model, a_ready_pod

KEY = Key("team", "chat")
ALL = [
    Identity("Deployment", "chat"),
    Identity("HorizontalPodAutoscaler", "chat"),
    Identity("Service", "chat"),
    Identity("Service", "chat-workers"),
    Identity("ServiceAccount", "chat"),
]


async def nobody(where: str) -> Info | None:
    return None


def an_operator(cluster: FakeCluster) -> Reconciler:
    """As after a start: it remembers nothing."""
    return Reconciler(
        cluster=cluster,
        sight=cluster,
        settings=SETTINGS,
        interviews=Interviews(nobody, lambda key, after: None),
        reports=Reports(cluster, "operator-0"),
        settled=Settled(),
        clock=lambda: datetime(2026, 1, 2, tzinfo=UTC),
    )


@pytest.fixture
def cluster() -> FakeCluster:
    found = FakeCluster()
    found.put(a_model())
    return found


@pytest.fixture
def operator(cluster: FakeCluster) -> Reconciler:
    return an_operator(cluster)


async def settle(operator: Reconciler, cluster: FakeCluster) -> Outcome:
    """Passes until one leaves nothing to do; `calls` are those of the last pass with any."""
    for _ in range(5):
        cluster.calls.clear()
        outcome = await operator(KEY)
        if not cluster.calls or outcome.obstacle:
            return outcome
    raise AssertionError(f"still busy: {cluster.calls}")


def change(cluster: FakeCluster, **spec: Any) -> None:
    """Edit the model's spec."""
    model = cluster.find("LeptonModel", "chat")
    generation = model["metadata"]["generation"] + 1
    metadata = {**model["metadata"], "generation": generation}
    cluster.put({**model, "metadata": metadata, "spec": {**model["spec"], **spec}})


def condition(cluster: FakeCluster, kind: str) -> tuple[str, str, str]:
    found = cluster.find("LeptonModel", "chat")["status"]["conditions"]
    (entry,) = [item for item in found if item["type"] == kind]
    return entry["status"], entry["reason"], entry["message"]


async def test_a_new_model_gets_its_children_names_first(
    operator: Reconciler, cluster: FakeCluster
) -> None:
    outcome = await operator(KEY)
    assert cluster.calls == [
        "create ServiceAccount chat",
        "create Service chat",
        "create Service chat-workers",
        "create Deployment chat",
        "create HorizontalPodAutoscaler chat",
    ]
    assert outcome.again is not None
    cluster.calls.clear()
    await operator(KEY)
    assert cluster.calls == ["status chat"]


async def test_at_rest_nothing_is_asked_of_the_api_server(
    operator: Reconciler, cluster: FakeCluster
) -> None:
    await settle(operator, cluster)
    assert await operator(KEY) == Outcome()
    assert cluster.calls == []


async def test_a_restart_writes_nothing(operator: Reconciler, cluster: FakeCluster) -> None:
    await settle(operator, cluster)
    await an_operator(cluster)(KEY)
    assert cluster.calls == []


async def test_more_workers_than_one_start_at_once_and_never_again(
    operator: Reconciler, cluster: FakeCluster
) -> None:
    change(cluster, scaling={"minReplicas": 3, "maxReplicas": 5, "targetQueueDepth": 8})
    await operator(KEY)
    assert "scale chat 3" in cluster.calls
    await settle(operator, cluster)
    change(cluster, task="embed")
    await operator(KEY)
    assert cluster.calls == ["apply Deployment chat", "status chat"]


async def test_a_child_that_lost_its_label_is_taken_back_without_touching_replicas(
    operator: Reconciler, cluster: FakeCluster
) -> None:
    change(cluster, scaling={"minReplicas": 3, "maxReplicas": 5, "targetQueueDepth": 8})
    await settle(operator, cluster)
    deployment = cluster.find("Deployment", "chat")
    del deployment["metadata"]["labels"][LABEL_MODEL]
    cluster.put(deployment)
    cluster.calls.clear()
    await operator(KEY)
    assert cluster.calls[:4] == [
        "get LeptonModel chat",
        "create Deployment chat",
        "get Deployment chat",
        "apply Deployment chat",
    ]
    assert not any(call.startswith("scale") for call in cluster.calls)


async def test_a_deleted_child_is_made_again(operator: Reconciler, cluster: FakeCluster) -> None:
    await settle(operator, cluster)
    cluster.remove("Service", "chat")
    await settle(operator, cluster)
    assert cluster.kinds() == ALL


async def test_a_model_that_only_the_index_still_has_gets_no_children(
    operator: Reconciler, cluster: FakeCluster
) -> None:
    await settle(operator, cluster)
    cluster.lagging = cluster.find("LeptonModel", "chat")
    cluster.objects.clear()
    assert await operator(KEY) == Outcome()
    assert cluster.calls == ["get LeptonModel chat"]


async def test_a_model_on_its_way_out_is_left_to_the_garbage_collector(
    operator: Reconciler, cluster: FakeCluster
) -> None:
    model = cluster.find("LeptonModel", "chat")
    model["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert await operator(KEY) == Outcome()
    cluster.remove("LeptonModel", "chat")
    assert await operator(KEY) == Outcome(gone=True)
    assert cluster.calls == []


def a_foreign(kind: str, name: str, **metadata: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "team", **metadata},
        "spec": {"theirs": True},
    }


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


async def test_a_budget_goes_with_the_second_worker(
    operator: Reconciler, cluster: FakeCluster
) -> None:
    change(cluster, scaling={"minReplicas": 1, "maxReplicas": 2, "targetQueueDepth": 8})
    await settle(operator, cluster)
    assert Identity("PodDisruptionBudget", "chat") in cluster.kinds()
    change(cluster, scaling={"minReplicas": 1, "maxReplicas": 1, "targetQueueDepth": 8})
    await settle(operator, cluster)
    assert cluster.kinds() == ALL


async def test_objects_with_our_label_that_are_not_ours_are_left_alone(
    operator: Reconciler, cluster: FakeCluster
) -> None:
    theirs = cluster.put(a_foreign("Service", "mirror", labels={LABEL_MODEL: "chat"}))
    await settle(operator, cluster)
    assert cluster.find("Service", "mirror") == theirs


async def test_the_index_may_lag_behind_our_own_status(
    operator: Reconciler, cluster: FakeCluster
) -> None:
    cluster.put(a_foreign("Service", "chat"))
    cluster.lagging = dict(cluster.find("LeptonModel", "chat"))
    await operator(KEY)
    cluster.calls.clear()
    await operator(KEY)
    assert not any(call.startswith(("status", "event")) for call in cluster.calls)


async def test_somebody_elses_edit_of_the_status_is_undone(
    operator: Reconciler, cluster: FakeCluster
) -> None:
    await settle(operator, cluster)
    model = cluster.find("LeptonModel", "chat")
    good = model["status"]
    cluster.put({**model, "status": {**good, "phase": "Failed"}})
    await operator(KEY)
    assert cluster.find("LeptonModel", "chat")["status"] == good


async def test_no_event_without_its_status(operator: Reconciler, cluster: FakeCluster) -> None:
    cluster.put(a_foreign("Service", "chat"))
    cluster.errors["status chat"] = NotFound("gone")
    await operator(KEY)
    assert cluster.events == []


async def test_a_lost_event_does_not_fail_the_pass(
    operator: Reconciler, cluster: FakeCluster
) -> None:
    cluster.put(a_foreign("Service", "chat"))
    cluster.errors["event NameConflict"] = Forbidden("no")
    assert (await operator(KEY)).obstacle


async def test_an_event_names_the_model_and_the_reporter(
    operator: Reconciler, cluster: FakeCluster
) -> None:
    cluster.put(a_foreign("Service", "chat"))
    await operator(KEY)
    (event,) = cluster.events
    assert event["regarding"] == {
        "apiVersion": "lepton.ai/v1alpha1",
        "kind": "LeptonModel",
        "name": "chat",
        "namespace": "team",
        "uid": "model-uid",
    }
    assert (event["type"], event["reason"]) == ("Warning", "NameConflict")
    assert event["reportingInstance"] == "operator-0"


async def test_trouble_with_the_api_server_is_for_the_queue(
    operator: Reconciler, cluster: FakeCluster
) -> None:
    cluster.errors["create Service chat"] = Unavailable("no answer")
    with pytest.raises(Unavailable):
        await operator(KEY)


async def test_in_a_namespace_that_is_being_deleted_there_is_nothing_to_do(
    operator: Reconciler, cluster: FakeCluster
) -> None:
    cluster.errors["create Service chat"] = Leaving("namespace is being terminated")
    assert await operator(KEY) == Outcome()


async def test_what_a_ready_worker_says_of_itself_comes_into_the_status(
    cluster: FakeCluster,
) -> None:
    asked: list[str] = []
    woken: list[Key] = []
    said = Info("generate", {"backend": "transformers", "device": "cpu"})

    async def ask(where: str) -> Info | None:
        asked.append(where)
        return said

    interviews = Interviews(ask, lambda key, after: woken.append(key))
    operator = replace(an_operator(cluster), interviews=interviews)
    await settle(operator, cluster)
    deployment = cluster.find("Deployment", "chat")
    marks = deployment["spec"]["template"]["metadata"]["annotations"]
    pod = a_ready_pod()
    pod["metadata"]["annotations"] = marks
    cluster.put(pod)
    await operator(KEY)
    await interviews.settled()
    assert (asked, woken) == (["192.0.2.7:9000"], [KEY])
    await settle(operator, cluster)
    status = cluster.find("LeptonModel", "chat")["status"]
    assert status["task"] == "generate"
    assert status["engine"] == {"backend": "transformers", "device": "cpu"}

    # Neither later passes nor a restarted operator ask again.
    await operator(KEY)
    await replace(an_operator(cluster), interviews=Interviews(ask, lambda key, after: None))(KEY)
    assert asked == ["192.0.2.7:9000"]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("9", "10", True), ("10", "9", False), ("10", "10", False), ("x", "10", False)],
)
def test_versions_compare_as_numbers(one: str, other: str, expected: bool) -> None:
    assert older(one, other) is expected
