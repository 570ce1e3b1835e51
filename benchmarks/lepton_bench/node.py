"""Suite `road`, on a node: a real model from apply to Ready, from a load step to a new worker."""

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

from lepton.v1 import control_pb2, control_pb2_grpc
from lepton_bench.figures import Figure
from lepton_bench.watching import Api, Manifest, Sightings
from lepton_testing import deployment, models
from lepton_testing.installation import MODELS_CLAIM, Installation, a_model
from lepton_testing.load import Load
from localcluster import cluster as clusters
from localcluster.plan import Options

NAMESPACE = "bench"
NAME = "minilm"
WATCHED = ("leptonmodels", "deployments", "pods", "horizontalpodautoscalers")


async def measure() -> list[Figure]:
    """Bring up a cluster with the default periods and take the figures."""
    cluster = await asyncio.to_thread(clusters.create, "bench", Options(default_periods=True))
    installation = Installation(cluster)
    try:
        with tempfile.TemporaryDirectory() as folder:
            await asyncio.to_thread(_prepare, installation, Path(folder))
            api = Api(cluster)
            try:
                return [*await _ready(api, installation), *await _load_step(api, installation)]
            finally:
                await api.close()
    finally:
        cluster.down()


def _prepare(installation: Installation, folder: Path) -> None:
    cluster = installation.cluster
    deployment.install(installation, deployment.build(cluster))
    cluster.kubectl("create", "namespace", NAMESPACE)
    folder.chmod(0o755)
    cluster.model_volume(MODELS_CLAIM, models.prepare(folder / "models"), NAMESPACE)


async def _ready(api: Api, installation: Installation) -> list[Figure]:
    """Seconds from apply to each step on the way to Ready, and the worker's own phases."""
    seen = Sightings()
    async with api.watching(WATCHED, NAMESPACE, _noting(seen)):
        scaling = {"maxReplicas": 3, "targetQueueDepth": 4}
        start = await api.create("leptonmodels", NAMESPACE, a_model(NAME, scaling=scaling))
        await seen.until(lambda first: "Ready" in first, seconds=300)
    steps = {
        "road.apply_to_pod_s": ("pod", "apply → pod exists"),
        "road.apply_to_scheduled_s": ("scheduled", "apply → pod has a node"),
        "road.apply_to_started_s": ("started", "apply → container runs, image on the node"),
        "road.apply_to_pod_ready_s": ("pod ready", "apply → kubelet says the pod is ready"),
        "road.apply_to_ready_s": ("Ready", "apply → LeptonModel is Ready"),
    }
    figures = [
        Figure(name, round(seen.first[step] - start, 2), "s", 1, note=note)
        for name, (step, note) in steps.items()
    ]
    with grpc.insecure_channel(installation.address(NAME, NAMESPACE)) as channel:
        stub = control_pb2_grpc.ControlStub(channel)
        info = stub.GetModelInfo(control_pb2.GetModelInfoRequest(), timeout=10)
    figures.extend(
        Figure(
            f"road.worker_{phase}_s",
            round(span.ToTimedelta().total_seconds(), 2),
            "s",
            1,
            note=f"the worker's own count of its phase {phase}",
        )
        for phase, span in info.start_up.items()
    )
    return figures


async def _load_step(api: Api, installation: Installation) -> list[Figure]:
    """Seconds from a load step to the HPA's decision and to the next Ready worker."""
    seen = Sightings()
    async with api.watching(WATCHED, NAMESPACE, _noting(seen)):
        await seen.until(lambda first: ("ready pods", 1) in first, seconds=60)
        with Load(installation.address(NAME, NAMESPACE), concurrency=24) as load:
            start = time.monotonic()
            await seen.until(lambda first: ("wanted", 3) in first, seconds=120)
            await seen.until(lambda first: ("ready pods", 2) in first, seconds=300)
        decided = min(when for key, when in seen.first.items() if _grown(key))
        answered, failed = load.answered, len(load.failures)
    note = "HPA with its default 15 s period"
    return [
        Figure("road.load_to_decision_s", round(decided - start, 2), "s", 1, note=note),
        Figure(
            "road.load_to_new_ready_pod_s",
            round(seen.first[("ready pods", 2)] - start, 2),
            "s",
            1,
            note=f"{note}; two cores for API server, load and workers",
        ),
        Figure("road.failed_requests", failed, "requests", answered + failed),
    ]


def _grown(key: object) -> bool:
    return isinstance(key, tuple) and key[0] == "wanted" and key[1] > 1


def _noting(seen: Sightings) -> Callable[[str, Manifest], None]:
    """What to remember of each object that a watch shows."""
    ready: dict[str, bool] = {}

    def note(plural: str, found: Manifest) -> None:
        status = found.get("status", {})
        conditions = {entry["type"]: entry["status"] for entry in status.get("conditions", [])}
        if plural == "leptonmodels" and conditions.get("Ready") == "True":
            seen.note("Ready")
        elif plural == "deployments":
            seen.note(("wanted", found["spec"]["replicas"]))
        elif plural == "pods":
            _note_pod(seen, status, conditions)
            ready[found["metadata"]["name"]] = conditions.get("Ready") == "True"
            seen.note(("ready pods", sum(ready.values())))

    return note


def _note_pod(seen: Sightings, status: dict[str, Any], conditions: dict[str, str]) -> None:
    seen.note("pod")
    if conditions.get("PodScheduled") == "True":
        seen.note("scheduled")
    if any("running" in entry["state"] for entry in status.get("containerStatuses", [])):
        seen.note("started")
    if conditions.get("Ready") == "True":
        seen.note("pod ready")
