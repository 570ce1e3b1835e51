"""The API server: the only module that calls it, but for kopf's watches.

Objects are JSON dicts. Errors form one tree below ClusterError; which of them is an answer and
which is trouble is for the caller to say.
"""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient

from lepton_operator import __version__
from lepton_operator.api.names import FIELD_MANAGER, REPLICAS_MANAGER
from lepton_operator.api.objects import (
    DEPLOYMENTS,
    EVENTS,
    MODELS,
    RESOURCES,
    Key,
    Object,
    Resource,
)

TIMEOUT = 30.0
_AGENT = f"lepton-operator/{__version__}"

_RIGHTS = re.compile(r" cannot [a-z]+ resource ")
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_PATCH = "application/json-patch+json"
_HEADS = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class ClusterError(Exception):
    """The API server did not do what it was asked; the message has its words."""


class Unavailable(ClusterError):
    """No answer, or one that says to come back later."""


class NotFound(ClusterError):
    """There is no such object."""


class Conflict(ClusterError):
    """The object is not as the request takes it to be; for a creation: it exists."""


class Rejected(ClusterError):
    """The object is invalid, or admission denies it: asking again will not help."""


class Forbidden(ClusterError):
    """The operator lacks a right."""


class Leaving(ClusterError):
    """The namespace is being deleted."""


class Cluster(Protocol):
    """What a pass asks of the API server."""

    async def get(self, resource: Resource, key: Key) -> Object:
        """The object; raises NotFound."""

    async def create(self, manifest: Object) -> Object:
        """Apply where nothing of that name exists; raises Conflict where something does."""

    async def apply(self, manifest: Object) -> Object:
        """Apply, taking over every field that the manifest has."""

    async def delete(self, item: Object) -> None:
        """Delete this very object; that it is gone already is fine."""

    async def scale(self, key: Key, replicas: int) -> None:
        """Set the replicas of a Deployment."""

    async def write_status(self, model: Object, status: Object) -> Object:
        """Replace the status of this very model; raises NotFound or Rejected when it is gone."""

    async def tell(self, event: Object) -> None:
        """Create an event."""


Count = Callable[[str, str, int], None]
"""Called for each request with verb, resource and HTTP status; 0 where no answer came."""


@dataclass(frozen=True)
class _Call:
    """One request."""

    verb: str
    resource: Resource
    path: str
    body: object = None
    content: str = "application/json"
    accept: str = "application/json"


_METHODS = {"get": "GET", "list": "GET", "create": "POST", "delete": "DELETE"}


class KubeCluster:
    """The real one."""

    def __init__(self, client: ApiClient, count: Count) -> None:
        self._client = client
        self._count = count

    async def get(self, resource: Resource, key: Key) -> Object:
        """See Cluster."""
        return await self._send(_Call("get", resource, path_of(resource, key)))

    async def create(self, manifest: Object) -> Object:
        """See Cluster.

        Server-side apply has no "only if absent". A version that no object can have makes it one:
        an existing object has another version, which is a conflict; an absent one has none.
        """
        metadata = {**manifest["metadata"], "resourceVersion": "1"}
        return await self._apply({**manifest, "metadata": metadata})

    async def apply(self, manifest: Object) -> Object:
        """See Cluster."""
        return await self._apply(manifest, force="true")

    async def _apply(self, manifest: Object, **query: str) -> Object:
        resource, key = _address(manifest)
        path = path_of(resource, key, fieldManager=FIELD_MANAGER, **query)
        return await self._send(_Call("apply", resource, path, manifest, _APPLY))

    async def delete(self, item: Object) -> None:
        """See Cluster."""
        resource, key = _address(item)
        only = {"preconditions": {"uid": item["metadata"]["uid"]}}
        body = {"propagationPolicy": "Background", **only}
        with suppress(NotFound, Conflict):
            await self._send(_Call("delete", resource, path_of(resource, key), body))

    async def scale(self, key: Key, replicas: int) -> None:
        """See Cluster."""
        path = path_of(DEPLOYMENTS, key, "scale", fieldManager=REPLICAS_MANAGER)
        body = {"spec": {"replicas": replicas}}
        await self._send(_Call("patch", DEPLOYMENTS, path, body, _MERGE))

    async def write_status(self, model: Object, status: Object) -> Object:
        """See Cluster."""
        metadata = model["metadata"]
        key = Key(metadata["namespace"], metadata["name"])
        body = [
            {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
            {"op": "add", "path": "/status", "value": status},
        ]
        path = path_of(MODELS, key, "status", fieldManager=FIELD_MANAGER)
        return await self._send(_Call("patch", MODELS, path, body, _PATCH))

    async def tell(self, event: Object) -> None:
        """See Cluster."""
        path = path_of(EVENTS, Key(event["metadata"]["namespace"], ""))
        await self._send(_Call("create", EVENTS, path, event))

    async def heads(
        self, resource: Resource, namespace: str, query: Mapping[str, str]
    ) -> list[Object]:
        """The metadata of objects of a kind; an empty namespace means all of them."""
        path = path_of(resource, Key(namespace, ""), **query)
        found = await self._send(_Call("list", resource, path, accept=_HEADS))
        # A list of heads that is empty has null items.
        return [entry["metadata"] for entry in found["items"] or ()]

    async def serves(self, resource: Resource) -> bool:
        """Whether the API server knows the kind."""
        path = f"/apis/{resource.api_version}"
        try:
            found = await self._send(_Call("get", resource, path))
        except NotFound:
            return False
        return any(entry["name"] == resource.plural for entry in found["resources"])

    async def may_list(self, resource: Resource, query: Mapping[str, str]) -> bool:
        """Whether we may list these objects of a cluster-scoped kind."""
        try:
            await self.heads(resource, "", query)
        except (Forbidden, NotFound):
            return False
        return True

    async def _send(self, call: _Call) -> Object:
        status, answer = await self._exchange(call)
        self._count(call.verb, call.resource.plural, status)
        if status < 400:
            return answer
        raise error_of(status, answer)

    async def _exchange(self, call: _Call) -> tuple[int, Object]:
        headers = {"Accept": call.accept, "Content-Type": call.content, "User-Agent": _AGENT}
        method = _METHODS.get(call.verb, "PATCH")
        settings = await self._client.configuration.auth_settings()
        if token := settings.get("BearerToken"):
            headers[token["key"]] = str(token["value"])
        url = self._client.configuration.host + call.path
        try:
            response = await self._client.call_api(
                method, url, header_params=headers, body=call.body, _request_timeout=TIMEOUT
            )
            return response.status, _parsed(await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._count(call.verb, call.resource.plural, 0)
            raise Unavailable(f"no answer to {method} {call.path}: {error!r}") from error


def _parsed(data: bytes) -> Object:
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"message": data[:200].decode(errors="replace")}


def _address(item: Mapping[str, Any]) -> tuple[Resource, Key]:
    metadata = item["metadata"]
    return RESOURCES[item["kind"]], Key(metadata["namespace"], metadata["name"])


def path_of(resource: Resource, key: Key, subresource: str = "", **query: str) -> str:
    """Where the API server has an object, or a whole kind when the name is empty."""
    root = f"/apis/{resource.api_version}" if resource.group else f"/api/{resource.version}"
    place = f"/namespaces/{key.namespace}" if key.namespace else ""
    parts = [f"{root}{place}", resource.plural, key.name, subresource]
    path = "/".join(part for part in parts if part)
    return f"{path}?{urlencode(query)}" if query else path


def error_of(status: int, answer: Object) -> ClusterError:
    """What an answer with an error status means."""
    message = str(answer.get("message") or f"HTTP status {status}")
    causes = (answer.get("details") or {}).get("causes") or []
    if any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
        return Leaving(message)
    if status == 403:
        # Quota and admission plugins answer 403 too; only RBAC speaks of rights.
        return Forbidden(message) if _RIGHTS.search(message) else Rejected(message)
    kinds = {404: NotFound, 409: Conflict, 400: Rejected, 413: Rejected, 422: Rejected}
    return kinds.get(status, Unavailable)(message)
