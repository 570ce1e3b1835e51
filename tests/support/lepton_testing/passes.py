"""Passes of the operator's control loop over a cluster in memory."""

from datetime import UTC, datetime
from typing import Any

from lepton_operator.api.objects import Identity, Key, Object
from lepton_operator.reconcile.carry_out import Settled
from lepton_operator.reconcile.model import Reconciler
from lepton_operator.reconcile.queue import Outcome
from lepton_operator.reconcile.reports import Reports
from lepton_operator.status import Info
from lepton_operator.workers import Interviews
from lepton_testing.fake_cluster import FakeCluster
from lepton_testing.objects import SETTINGS

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


def a_foreign(kind: str, name: str, **metadata: Any) -> Object:
    """An object of that name which belongs to somebody else."""
    return {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "team", **metadata},
        "spec": {"theirs": True},
    }
