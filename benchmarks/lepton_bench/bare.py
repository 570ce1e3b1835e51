"""The same children applied by a bare client: what the API server and its controllers allow."""

import asyncio
import time
from typing import Any

from lepton_bench.watching import Api, Manifest

AT_A_TIME = 8
"""Requests under way at once, as in the operator."""

_SERVER_SIDE = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields")
_ALLOCATED = ("clusterIP", "clusterIPs")


def copied(item: Manifest, kind: str, namespace: str) -> Manifest:
    """A manifest that makes an equal object without an owner in another namespace."""
    metadata = {key: value for key, value in item["metadata"].items() if key not in _SERVER_SIDE}
    metadata.pop("ownerReferences", None)
    result: dict[str, Any] = {
        "apiVersion": item["apiVersion"],
        "kind": kind,
        "metadata": {**metadata, "namespace": namespace},
    }
    if spec := item.get("spec"):
        headless = spec.get("clusterIP") == "None"
        result["spec"] = {k: v for k, v in spec.items() if headless or k not in _ALLOCATED}
    return result


async def applied(api: Api, manifests: list[tuple[str, Manifest]]) -> float:
    """Seconds until all (plural, manifest) are applied, some at a time, in their order."""
    gate = asyncio.Semaphore(AT_A_TIME)

    async def one(plural: str, manifest: Manifest) -> None:
        async with gate:
            await api.apply(plural, manifest)

    start = time.monotonic()
    await asyncio.gather(*(one(plural, manifest) for plural, manifest in manifests))
    return time.monotonic() - start
