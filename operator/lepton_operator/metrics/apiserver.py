"""Raw calls to the API server: JSON in, JSON out, and watches that end when they are silent."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Protocol
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient

from lepton_operator import __version__, access

Json = dict[str, Any]

CONNECTED = "CONNECTED"
"""Type of the event, of our own making, that says that a watch has begun."""

REQUEST_TIMEOUT = 15.0
"""Seconds for an answer; for a watch, beyond those it was asked to last."""


class ApiError(Exception):
    """The API server did not do what was asked; `code` is 0 when it was not reached."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class ApiServer(Protocol):
    """What the metrics API needs of an API server; paths start with `/api`."""

    async def call(
        self, method: str, path: str, query: Mapping[str, str] = {}, body: Json | None = None
    ) -> Json:
        """One request. Raises ApiError."""

    def watch(self, path: str, query: Mapping[str, str], seconds: int) -> AsyncGenerator[Json]:
        """Events of one watch until the server ends it, after `seconds`; the first is CONNECTED.

        Raises ApiError, also when the end is overdue.
        """


class KubeApiServer:
    """The API server of the pod's own cluster, or of the current kubeconfig."""

    def __init__(self, client: ApiClient, patience: float = REQUEST_TIMEOUT) -> None:
        self._client, self._patience = client, patience

    async def __aenter__(self) -> "KubeApiServer":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self._client.close()

    async def call(
        self, method: str, path: str, query: Mapping[str, str] = {}, body: Json | None = None
    ) -> Json:
        """One request. Raises ApiError."""
        limit = aiohttp.ClientTimeout(total=self._patience)
        async with self._response(method, _url(path, query), limit, body) as response:
            found: Json = _decoded(await response.read())
            return found

    async def watch(
        self, path: str, query: Mapping[str, str], seconds: int
    ) -> AsyncGenerator[Json]:
        """Events of one watch; see ApiServer."""
        url = _url(path, {**query, "watch": "1", "timeoutSeconds": str(seconds)})
        limit = aiohttp.ClientTimeout(total=seconds + self._patience)
        async with self._response("GET", url, limit) as response:
            yield {"type": CONNECTED}
            while line := await response.content.readline():
                yield _decoded(line)

    @asynccontextmanager
    async def _response(
        self, method: str, url: str, limit: aiohttp.ClientTimeout, body: Json | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        applied = method == "PATCH"
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/apply-patch+yaml" if applied else "application/json",
        }
        try:
            prepared = await self._client.param_serialize(
                method, url, header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            answer = await self._client.call_api(*prepared, _request_timeout=limit)
            async with answer.response as response:
                if response.status >= 400:
                    raise ApiError(response.status, _complaint(await response.read(), response))
                yield response
        except aiohttp.ClientPayloadError as error:
            raise ApiError(0, "the API server closed the connection") from error
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            why = str(error) or type(error).__name__
            raise ApiError(0, f"the API server cannot be reached: {why}") from error


async def connect() -> KubeApiServer:
    """A connection as pods have it, otherwise the one that kubectl would use."""
    client = ApiClient(await access.configuration())
    client.user_agent = f"lepton-metrics/{__version__}"
    return KubeApiServer(client)


def _url(path: str, query: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _decoded(text: bytes) -> Json:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("the answer is no JSON object")
    return found


def _complaint(body: bytes, response: aiohttp.ClientResponse) -> str:
    try:
        return str(_decoded(body).get("message") or response.reason)
    except ValueError:
        return f"{response.status} {response.reason}"
