"""Replicas follow the queue depth, and stay where they are while it is unknown."""

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from lepton_testing import metrics_manifests as manifests
from lepton_testing.metrics_api import MetricsApi, metrics_api
from lepton_testing.stub_worker import StubWorker, Workers
from localcluster.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

MODEL = "chat"


@pytest.fixture(scope="module")
def metrics(
    control_plane: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MetricsApi]:
    with metrics_api(control_plane, tmp_path_factory.mktemp("metrics")) as made:
        made.start()
        yield made


@pytest.fixture
def workers(control_plane: Cluster) -> Iterator[Workers]:
    with Workers(control_plane.host_ip) as made:
        yield made


@dataclass(frozen=True)
class Scene:
    """One model whose Deployment is scaled by its queue depth; target 5, at most 10."""

    metrics: MetricsApi
    workers: Workers
    namespace: str

    @property
    def cluster(self) -> Cluster:
        return self.metrics.cluster

    def worker(self, *, waiting: int) -> StubWorker:
        """A ready worker."""
        made = self.workers.start(waiting=waiting)
        self.place(made)
        return made

    def place(self, worker: StubWorker, *, terminating: bool = False) -> None:
        """Let the metrics API see a worker."""
        slice_ = manifests.worker_slice(
            MODEL, self.cluster.host_ip, worker, ready=not terminating, terminating=terminating
        )
        self.cluster.apply(slice_, namespace=self.namespace)

    def scaled(self, *, replicas: int = 1) -> None:
        """Add Deployment and autoscaler."""
        wanted = manifests.scaled(MODEL, most=10, target=5, replicas=replicas)
        self.cluster.apply(wanted, namespace=self.namespace)

    def replicas(self) -> int:
        """What the Deployment asks for."""
        found: int = self.cluster.get("deployment", MODEL, "-n", self.namespace)["spec"]["replicas"]
        return found

    def await_replicas(self, count: int, timeout: float = 60) -> None:
        """Wait until the Deployment asks for that many."""

        def reached() -> bool:
            found = self.replicas()
            assert found == count
            return True

        self.cluster.eventually(
            reached, f"{count} replicas", timeout=timeout, namespace=self.namespace
        )

    def rescales(self) -> list[int]:
        """Every size that the autoscaler ever set, in order."""
        found = self.events("SuccessfulRescale")
        assert all(event.get("count", 1) == 1 for event in found)
        found.sort(key=lambda event: int(event["metadata"]["resourceVersion"]))
        return [_size(event) for event in found]

    def events(self, reason: str) -> list[dict[str, Any]]:
        """The autoscaler's events."""
        selector = f"involvedObject.kind=HorizontalPodAutoscaler,reason={reason}"
        found = self.cluster.get("events", "-n", self.namespace, "--field-selector", selector)
        items: list[dict[str, Any]] = found["items"]
        return items

    def await_failed_syncs(self, count: int) -> str:
        """Wait until the autoscaler failed to read its metric that often since now; its message."""

        def failures() -> int:
            return sum(event.get("count", 1) for event in self.events("FailedGetExternalMetric"))

        enough = failures() + count
        self.cluster.eventually(
            lambda: failures() >= enough,
            f"{count} syncs without a metric",
            timeout=90,
            namespace=self.namespace,
        )
        return str(self.condition()["message"])

    def condition(self) -> dict[str, Any]:
        """ScalingActive of the autoscaler."""
        hpa = self.cluster.get("hpa", MODEL, "-n", self.namespace)
        found = {entry["type"]: entry for entry in hpa["status"]["conditions"]}
        active: dict[str, Any] = found["ScalingActive"]
        return active

    def await_active(self) -> None:
        """Wait until the autoscaler reads its metric."""
        self.cluster.eventually(
            lambda: self.condition()["status"] == "True",
            "the autoscaler reads its metric",
            namespace=self.namespace,
        )


@pytest.fixture
def scene(metrics: MetricsApi, workers: Workers, namespace: str) -> Scene:
    return Scene(metrics, workers, namespace)


def test_replicas_are_depth_over_target_in_one_step_and_come_down_again(scene: Scene) -> None:
    one = scene.worker(waiting=4)
    scene.scaled()
    scene.await_active()
    one.waiting = 23
    scene.await_replicas(5)
    one.waiting, one.running = 12, 5
    scene.await_replicas(4)
    one.waiting = one.running = 0
    scene.await_replicas(1)
    assert scene.rescales() == [5, 4, 1]


def test_replicas_stop_at_the_most_whatever_the_depth(scene: Scene) -> None:
    one = scene.worker(waiting=2_000_000_000)
    scene.place(scene.workers.start(waiting=2_000_000_000))
    scene.metrics.await_depth(scene.namespace, MODEL, 4_000_000_000)
    scene.scaled()
    scene.await_replicas(10)
    one.waiting = 0
    assert scene.rescales() == [10]


def test_a_dead_worker_never_lowers_replicas_and_they_move_on_when_it_is_back(
    scene: Scene,
) -> None:
    one, other = scene.worker(waiting=17), scene.worker(waiting=1)
    scene.scaled()
    scene.await_replicas(4)
    scene.workers.kill(one.port)
    message = scene.await_failed_syncs(8)
    assert f"worker {scene.cluster.host_ip}:{one.port}" in message
    assert "answered last" in message
    assert scene.replicas() == 4
    back = scene.workers.start(port=one.port, waiting=6)
    scene.await_active()
    scene.await_replicas(2)
    assert scene.rescales() == [4, 2]
    assert (other.waiting, back.waiting) == (1, 6)


def test_a_stalled_worker_never_lowers_replicas(scene: Scene) -> None:
    one = scene.worker(waiting=17)
    scene.scaled()
    scene.await_replicas(4)
    one.stalled = True
    one.waiting = 0
    message = scene.await_failed_syncs(8)
    assert "no answer within 1 s" in message
    assert scene.rescales() == [4]
    one.stalled, one.waiting = False, 30
    scene.await_replicas(6)
    assert scene.rescales() == [4, 6]


def test_a_terminating_worker_counts_until_it_is_done(scene: Scene) -> None:
    staying, leaving = scene.worker(waiting=2), scene.worker(waiting=15)
    scene.scaled()
    scene.await_replicas(4)
    scene.place(leaving, terminating=True)
    staying.waiting = 8
    scene.await_replicas(5)
    scene.workers.kill(leaving.port)
    scene.metrics.await_depth(scene.namespace, MODEL, 8)
    scene.await_replicas(2)
    assert scene.rescales() == [4, 5, 2]


def test_a_model_without_ready_workers_keeps_its_replicas(scene: Scene) -> None:
    one = scene.worker(waiting=17)
    scene.scaled()
    scene.await_replicas(4)
    scene.place(one, terminating=True)
    message = scene.await_failed_syncs(8)
    assert "none of its 1 workers is ready" in message
    assert scene.rescales() == [4]


def test_replicas_stay_while_the_metrics_api_is_dead(scene: Scene) -> None:
    metrics = scene.metrics
    one = scene.worker(waiting=17)
    scene.scaled()
    scene.await_replicas(4)
    (replica,) = metrics.replicas
    replica.end(signal.SIGKILL)
    one.waiting = 0
    scene.await_failed_syncs(8)
    assert scene.rescales() == [4]
    replica.start()
    metrics.await_ready(replica)
    scene.await_active()
    scene.await_replicas(1)
    assert scene.rescales() == [4, 1]


def test_one_of_two_replicas_is_enough(scene: Scene) -> None:
    metrics = scene.metrics
    second = metrics.start()
    one = scene.worker(waiting=17)
    scene.scaled()
    scene.await_replicas(4)
    first = metrics.replicas[0]
    first.end(signal.SIGKILL)
    metrics.deregister(first)
    one.waiting = 33
    scene.await_replicas(7)
    assert scene.rescales() == [4, 7]
    first.start()
    metrics.await_ready(first)
    metrics.register(first)
    metrics.deregister(second)
    assert second.end(signal.SIGTERM) == 0
    metrics.replicas.remove(second)


def test_it_says_goodbye_before_it_closes(scene: Scene) -> None:
    metrics = scene.metrics
    replica = metrics.start()
    assert replica.process is not None
    replica.process.send_signal(signal.SIGTERM)
    code, page = scene.cluster.eventually(
        lambda: found if (found := replica.page("/readyz"))[0] == 503 else None, "not ready"
    )
    assert "[-]running failed: told to stop" in page
    metrics.deregister(replica)
    assert replica.process.wait(timeout=20) == 0
    metrics.replicas.remove(replica)
    assert code == 503


def _size(event: dict[str, Any]) -> int:
    # "New size: 4; reason: external metric lepton_queue_depth(...) above target"
    message = str(event["message"])
    assert message.startswith("New size: "), json.dumps(event)
    return int(message.removeprefix("New size: ").partition(";")[0])
