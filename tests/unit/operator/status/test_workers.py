"""Which pods run the current spec, and what each of them says."""

from typing import Any

from lepton_operator.api.objects import Object
from lepton_operator.status.workers import Ended, Waiting, Worker, workers
from lepton_testing.objects import (
    RUNNING,
    TEMPLATE,
    a_pod,
    a_pod_with,
    a_ready_pod,
    a_wait,
    an_end,
    an_unschedulable_pod,
)


def only(pod: Object) -> Worker:
    (found,) = workers([pod], TEMPLATE)
    return found


def created(pod: Object, time: str, hash_: str | None = None) -> Object:
    metadata = {**pod["metadata"], "creationTimestamp": time}
    if hash_:
        metadata["labels"] = {**metadata["labels"], "pod-template-hash": hash_}
    return {**pod, "metadata": metadata}


def current(*pods: Object) -> list[str]:
    return [worker.name for worker in workers(pods, TEMPLATE) if worker.current]


def test_pods_of_an_older_template_are_not_current() -> None:
    assert current(a_pod("new"), a_pod("old", template="template-1")) == ["new"]


def test_after_a_restart_by_hand_the_newest_replica_set_is_current() -> None:
    pods = [
        created(a_pod("old"), "2026-01-01T00:00:00Z", "first"),
        created(a_pod("grown-late"), "2026-01-01T00:00:09Z", "first"),
        created(a_pod("restarted"), "2026-01-01T00:00:05Z", "second"),
    ]
    assert current(*pods) == ["restarted"]


def test_without_a_wanted_template_no_pod_is_current() -> None:
    assert not any(worker.current for worker in workers([a_pod()], None))


def test_pods_being_deleted_are_no_workers() -> None:
    pod = a_ready_pod()
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert workers([pod], TEMPLATE) == ()


def test_workers_come_oldest_first() -> None:
    pods = [
        created(a_pod("b"), "2026-01-01T00:00:01Z"),
        created(a_pod("c"), "2026-01-01T00:00:00Z"),
        created(a_pod("a"), "2026-01-01T00:00:01Z"),
    ]
    assert [worker.name for worker in workers(pods, TEMPLATE)] == ["c", "a", "b"]


def test_a_worker_that_serves() -> None:
    found = only(a_ready_pod(since="2026-01-01T10:00:00Z"))
    assert found.ready
    assert found.ready_since == "2026-01-01T10:00:00Z"
    assert found.address == "192.0.2.7"


def test_a_crash_of_the_past_is_forgotten_once_it_serves() -> None:
    pod = a_ready_pod()
    pod["status"]["containerStatuses"][0]["lastState"] = an_end(1, "boom")
    assert only(pod).ended is None


def test_the_schedulers_words() -> None:
    assert only(an_unschedulable_pod("0/1 nodes")).unschedulable == "0/1 nodes"
    assert only(a_ready_pod()).unschedulable is None


def test_the_kubelets_words() -> None:
    found = only(a_pod_with(a_wait("ErrImagePull", "not found")))
    assert found.waiting == Waiting("ErrImagePull", "not found", "example.org/worker:1")


def test_starting_is_no_complaint() -> None:
    for reason in ("ContainerCreating", "PodInitializing"):
        assert only(a_pod_with(a_wait(reason))).waiting is None


def test_the_last_end_counts_while_it_runs_again() -> None:
    boom: dict[str, Any] = an_end(3, "boom")
    expected = Ended("worker", 3, "Error", "boom")
    assert only(a_pod_with(boom)).ended == expected
    assert only(a_pod_with(RUNNING, boom)).ended == expected
    assert only(a_pod_with(a_wait("CrashLoopBackOff"), boom)).ended == expected


def test_ending_well_is_a_failure_only_when_it_repeats() -> None:
    well = an_end(0, reason="Completed")
    assert only(a_pod_with(RUNNING, well)).ended is None
    found = only(a_pod_with(a_wait("CrashLoopBackOff"), well)).ended
    assert found == Ended("worker", 0, "Completed", "")


def test_init_containers_speak_too() -> None:
    found = only(a_pod_with(a_wait("CrashLoopBackOff"), an_end(2, "no"), container="fetch")).ended
    assert found == Ended("fetch", 2, "Error", "no")


def test_a_pod_refused_by_its_node() -> None:
    pod = a_pod(phase="Failed", reason="OutOfcpu", message="Node didn't have enough resource")
    assert only(pod).rejected == "OutOfcpu: Node didn't have enough resource"
