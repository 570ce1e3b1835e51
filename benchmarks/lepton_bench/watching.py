"""When objects appeared and changed, as a watch of the API server saw it."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import aiohttp

from localcluster.cluster import Cluster

Manifest = dict[str, Any]

GROUPS = {
    "leptonmodels": "/apis/lepton.ai/v1alpha1",
    "deployments": "/apis/apps/v1",
    "services": "/api/v1",
    "serviceaccounts": "/api/v1",
    "pods": "/api/v1",
    "horizontalpodautoscalers": "/apis/autoscaling/v2",
    "poddisruptionbudgets": "/apis/policy/v1",
}
"""Resources that belong to a model, by plural, and the prefix of their path."""

KINDS = {
    "deployments": "Deployment",
    "services": "Service",
    "serviceaccounts": "ServiceAccount",
    "horizontalpodautoscalers": "HorizontalPodAutoscaler",
    "poddisruptionbudgets": "PodDisruptionBudget",
}


@dataclass
class Sightings:
    """First time (monotonic seconds) at which something was seen, by the caller's key."""

    first: dict[object, float] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, key: object) -> None:
        """Remember that `key` was seen now, unless it was seen before."""
        self.first.setdefault(key, time.monotonic())
        self._news.set()

    async def until(self, done: Callable[[dict[object, float]], bool], seconds: float) -> None:
        """Wait until `done` holds for what was seen so far; TimeoutError after `seconds`."""
        async with asyncio.timeout(seconds):
            while not done(self.first):
                self._news.clear()
                await self._news.wait()


class Api:
    """The API server with the rights of an administrator."""

    def __init__(self, cluster: Cluster) -> None:
        context = ssl.create_default_context(cafile=str(cluster.pki.cluster_ca.cert))
        context.load_cert_chain(cluster.pki.admin.cert, cluster.pki.admin.key)
        self._session = aiohttp.ClientSession(
            cluster.server,
            connector=aiohttp.TCPConnector(ssl=context, limit=0),
            read_bufsize=2**22,  # an object with its managed fields is one line
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def create(self, plural: str, namespace: str, manifest: Manifest) -> float:
        """Create an object; returns the time at which the API server had taken it."""
        path = f"{GROUPS[plural]}/namespaces/{namespace}/{plural}"
        async with self._session.post(path, json=manifest) as answer:
            if answer.status >= 300:
                raise RuntimeError(f"create {plural}: {answer.status} {await answer.text()}")
            return time.monotonic()

    async def apply(self, plural: str, manifest: Manifest) -> None:
        """Apply an object on the server."""
        namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        path = f"{GROUPS[plural]}/namespaces/{namespace}/{plural}/{name}"
        query = {"fieldManager": "bench", "force": "true"}
        headers = {"Content-Type": "application/apply-patch+yaml"}
        body = json.dumps(manifest)
        async with self._session.patch(path, params=query, data=body, headers=headers) as answer:
            if answer.status >= 300:
                raise RuntimeError(f"apply {plural}: {answer.status} {await answer.text()}")

    async def items(self, plural: str, namespace: str) -> list[Manifest]:
        """All objects of a kind in a namespace."""
        path = f"{GROUPS[plural]}/namespaces/{namespace}/{plural}"
        async with self._session.get(path) as answer:
            found = await answer.json()
            version = found["apiVersion"]
            return [{"apiVersion": version, **item} for item in found["items"]]

    async def delete_all(self, plural: str, namespace: str) -> None:
        """Delete all objects of a kind in a namespace."""
        path = f"{GROUPS[plural]}/namespaces/{namespace}/{plural}"
        async with self._session.delete(path) as answer:
            await answer.read()

    async def until_none(self, plural: str, namespace: str) -> None:
        """Wait until no object of ours is left of a kind; TimeoutError after five minutes."""
        deadline = time.monotonic() + 300
        while await self._ours(plural, namespace):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{plural} are left in {namespace}")
            await asyncio.sleep(0.5)

    async def _ours(self, plural: str, namespace: str) -> list[Manifest]:
        found = await self.items(plural, namespace)
        foreign = ("default", "kubernetes")
        return [item for item in found if item["metadata"]["name"] not in foreign]

    async def watch(self, plural: str, namespace: str, seen: Callable[[Manifest], None]) -> None:
        """Call `seen` with each object as it is and as it changes, until cancelled."""
        path = f"{GROUPS[plural]}/namespaces/{namespace}/{plural}"
        forever = aiohttp.ClientTimeout(total=None)
        async with self._session.get(path, params={"watch": "1"}, timeout=forever) as answer:
            while line := await answer.content.readline():
                event = json.loads(line)
                if event["type"] in ("ADDED", "MODIFIED"):
                    seen(event["object"])

    @asynccontextmanager
    async def watching(
        self, plurals: tuple[str, ...], namespace: str, seen: Callable[[str, Manifest], None]
    ) -> AsyncIterator[None]:
        """Watch several kinds while the block runs; `seen` gets the plural and the object."""
        tasks = [
            asyncio.create_task(self.watch(plural, namespace, partial(seen, plural)))
            for plural in plurals
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
