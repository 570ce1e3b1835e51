"""One pass over one model."""

from dataclasses import replace

import pytest

from lepton_operator.api.names import LABEL_MODEL
from lepton_operator.api.objects import Identity, Key
from lepton_operator.cluster import Forbidden, Leaving, NotFound, Unavailable
from lepton_operator.reconcile.model import Reconciler
from lepton_operator.reconcile.queue import Outcome
from lepton_operator.reconcile.reports import older
from lepton_operator.status import Info
from lepton_operator.workers import Interviews
from lepton_testing.fake_cluster import FakeCluster
from lepton_testing.objects import a_ready_pod
from lepton_testing.passes import ALL, KEY, a_foreign, an_operator, change, settle


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
    afresh = Interviews(ask, lambda key, after: None)
    await replace(an_operator(cluster), interviews=afresh)(KEY)
    await afresh.settled()
    assert asked == ["192.0.2.7:9000"]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("9", "10", True), ("10", "9", False), ("10", "10", False), ("x", "10", False)],
)
def test_versions_compare_as_numbers(one: str, other: str, expected: bool) -> None:
    assert older(one, other) is expected
