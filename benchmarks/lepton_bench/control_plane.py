"""Suite `road`, control plane: from a LeptonModel to its children, and the cost of idle models."""

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

from lepton_bench import bare
from lepton_bench.figures import Figure, quantile
from lepton_bench.operator_process import Running, operator
from lepton_bench.watching import KINDS, Api, Sightings
from localcluster import cluster as clusters
from localcluster.cluster import Cluster
from localcluster.plan import Options

NAMESPACE, BARE = "bench", "bare"
AT_ONCE = 50
IDLE = (1, 100, 500)
IDLE_SECONDS = 60
CHILDREN = (
    "serviceaccounts",
    "deployments",
    "services",
    "horizontalpodautoscalers",
    "poddisruptionbudgets",
)
PER_MODEL = 6
"""Children of a model with maxReplicas above 1: one of each kind, and two Services."""


def a_model(number: int) -> dict[str, Any]:
    """An echo model; its pods never run here, since the cluster has no node."""
    return {
        "apiVersion": "lepton.ai/v1alpha1",
        "kind": "LeptonModel",
        "metadata": {"name": f"model-{number:04}"},
        "spec": {
            "source": "hf://example/none",
            "engine": {"backend": "echo"},
            "scaling": {"maxReplicas": 4},
        },
    }


async def measure() -> list[Figure]:
    """Bring up a control plane with the default periods and take the figures."""
    cluster = clusters.create("bench", Options(node=False, default_periods=True))
    try:
        crd = Path(__file__).parents[2] / "crds" / "lepton.ai_leptonmodels.yaml"
        cluster.apply(crd.read_text())
        cluster.wait("crd/leptonmodels.lepton.ai", "Established")
        cluster.kubectl("create", "namespace", NAMESPACE)
        with (
            tempfile.TemporaryDirectory() as folder,
            operator(cluster, Path(folder) / "operator.log") as running,
        ):
            return await _figures(cluster, running)
    finally:
        cluster.down()


async def _figures(cluster: Cluster, running: Running) -> list[Figure]:
    api = Api(cluster)
    try:
        figures = await _children(api, range(1, 1 + AT_ONCE))
        figures.append(await _against_bare(api, cluster, figures[-1]))
        await _emptied(api)
        existing = 0
        for count in IDLE:
            await _children(api, range(existing, count))
            existing = count
            figures.extend(await _idle(running, count))
        return figures
    finally:
        await api.close()


async def _children(api: Api, numbers: range) -> list[Figure]:
    """Create models all at once; seconds from each one's acceptance to its last child."""
    models = [a_model(number) for number in numbers]
    names = [model["metadata"]["name"] for model in models]
    seen = Sightings()

    def child(plural: str, found: dict[str, Any]) -> None:
        owner = found["metadata"].get("labels", {}).get("lepton.ai/model")
        if owner in names:
            seen.note((owner, plural, found["metadata"]["name"]))

    async with api.watching(CHILDREN, NAMESPACE, child):
        created = await asyncio.gather(
            *(api.create("leptonmodels", NAMESPACE, model) for model in models)
        )
        await seen.until(lambda first: len(first) == PER_MODEL * len(names), seconds=300)
    last: dict[str, float] = {}
    for key, when in seen.first.items():
        owner = key[0] if isinstance(key, tuple) else ""
        last[owner] = max(when, last.get(owner, 0.0))
    taken = [last[name] - start for name, start in zip(names, created, strict=True)]
    note = f"{PER_MODEL} children each, control plane only, operator and API server on one machine"
    return [
        Figure("road.apply_to_children_p50_s", round(quantile(taken, 0.5), 2), "s", len(taken)),
        Figure(
            "road.apply_to_children_p99_s",
            round(quantile(taken, 0.99), 2),
            "s",
            len(taken),
            note=note,
        ),
    ]


async def _against_bare(api: Api, cluster: Cluster, ours: Figure) -> Figure:
    """The same children once more in another namespace, by a client that only applies them."""
    cluster.kubectl("create", "namespace", BARE)
    manifests = [
        (plural, bare.copied(item, KINDS[plural], BARE))
        for plural in CHILDREN
        for item in await api.items(plural, NAMESPACE)
        if "lepton.ai/model" in item["metadata"].get("labels", {})
    ]
    seconds = await bare.applied(api, manifests)
    cluster.kubectl("delete", "namespace", BARE, timeout=300)
    return Figure(
        "road.children_vs_bare_apply",
        round(seconds / (ours.value or 1), 2),
        "ratio",
        len(manifests),
        against=f"a bare client that applies the same objects, 8 at a time: {seconds:.2f} s",
        note="1 means that the operator costs nothing beside the API server",
    )


async def _emptied(api: Api) -> None:
    """Delete all models and wait until their children are gone."""
    await api.delete_all("leptonmodels", NAMESPACE)
    for plural in ("leptonmodels", *CHILDREN):
        await api.until_none(plural, NAMESPACE)


async def _idle(running: Running, count: int) -> list[Figure]:
    """Memory, processor and API calls with `count` models at rest."""
    await _settled(running)
    cpu, calls, start = running.cpu_seconds(), running.api_calls(), time.monotonic()
    await asyncio.sleep(IDLE_SECONDS)
    seconds = time.monotonic() - start
    cores = (running.cpu_seconds() - cpu) / seconds
    per_model_minute = (running.api_calls() - calls) / count / (seconds / 60)
    return [
        Figure(f"road.operator_rss_mib_{count}", round(running.rss_mib(), 1), "MiB", count),
        Figure(f"road.operator_cpu_cores_{count}", round(cores, 4), "cores", count),
        Figure(
            f"road.operator_api_calls_per_model_minute_{count}",
            round(per_model_minute, 3),
            "1/min",
            count,
            note="watches not counted",
        ),
    ]


async def _settled(running: Running) -> None:
    """Wait until the operator has made no call for ten seconds."""
    calls, quiet_since = running.api_calls(), time.monotonic()
    async with asyncio.timeout(600):
        while time.monotonic() - quiet_since < 10:
            await asyncio.sleep(1)
            now = running.api_calls()
            if now != calls:
                calls, quiet_since = now, time.monotonic()
