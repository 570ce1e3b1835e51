"""Calls and watches against an HTTP server that answers, refuses, breaks off or falls silent."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from lepton_operator.metrics.apiserver import CONNECTED, ApiError, Json, KubeApiServer

pytestmark = [pytest.mark.component, pytest.mark.timeout(60)]

PATH = "/api/v1/namespaces/team-a/secrets"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def an_api_server(handler: Handler, patience: float = 10) -> AsyncIterator[KubeApiServer]:
    """Our client of a server that answers everything by this handler."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        configuration = Configuration(host=f"http://{host}:{port}")
        async with KubeApiServer(ApiClient(configuration), patience) as server:
            yield server
    finally:
        await runner.cleanup()


async def events(server: KubeApiServer) -> list[Json]:
    return [event async for event in server.watch(PATH, {"resourceVersion": "7"}, 1)]


def lines(*items: Json | bytes) -> Handler:
    """A watch that sends these and ends."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for item in items:
            text = item if isinstance(item, bytes) else json.dumps(item).encode() + b"\n"
            await response.write(text)
        return response

    return handler


async def test_a_call_sends_its_query_and_body_and_reads_json() -> None:
    seen: list[tuple[str, str, str, Json]] = []

    async def handler(request: web.Request) -> web.Response:
        kind = request.headers["Content-Type"]
        seen.append((request.method, request.path_qs, kind, await request.json()))
        return web.json_response({"kind": "Secret"})

    async with an_api_server(handler) as server:
        assert await server.call("PATCH", PATH, {"force": "true"}, {"a": 1}) == {"kind": "Secret"}
        await server.call("PUT", PATH, body={"b": 2})
    assert seen == [
        ("PATCH", f"{PATH}?force=true", "application/apply-patch+yaml", {"a": 1}),
        ("PUT", PATH, "application/json", {"b": 2}),
    ]


@pytest.mark.parametrize(
    ("response", "code", "message"),
    [
        ({"status": 403, "text": '{"message": "secrets is forbidden"}'}, 403, "is forbidden"),
        ({"status": 502, "text": "<html>"}, 502, "502 Bad Gateway"),
        ({"status": 404, "text": "[]"}, 404, "404 Not Found"),
        ({"status": 200, "text": "<html>"}, 0, "cannot be reached"),
        ({"status": 200, "text": "[]"}, 0, "no JSON object"),
    ],
)
async def test_a_refusal_carries_code_and_words(response: Json, code: int, message: str) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(**response)

    async with an_api_server(handler) as server:
        with pytest.raises(ApiError, match=message) as caught:
            await server.call("GET", PATH)
    assert caught.value.code == code


async def test_nobody_there_is_an_error_without_code() -> None:
    async with KubeApiServer(ApiClient(Configuration(host="http://127.0.0.1:1"))) as server:
        with pytest.raises(ApiError, match="cannot be reached") as caught:
            await server.call("GET", PATH)
        assert caught.value.code == 0
        with pytest.raises(ApiError, match="cannot be reached"):
            await events(server)


async def test_no_answer_in_time_is_an_error() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with an_api_server(handler, patience=0.1) as server:
        with pytest.raises(ApiError, match="cannot be reached: "):
            await server.call("GET", PATH)


async def test_a_watch_gives_its_events_until_the_server_ends_it() -> None:
    large = {"type": "ADDED", "object": {"data": "x" * 1_000_000}}
    async with an_api_server(lines({"type": "ADDED"}, large)) as server:
        found = await events(server)
    assert found == [{"type": CONNECTED}, {"type": "ADDED"}, large]


async def test_a_watch_asks_for_its_place_and_its_length() -> None:
    asked: list[dict[str, str]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(dict(request.query))
        return await lines()(request)

    async with an_api_server(handler) as server:
        await events(server)
    assert asked == [{"resourceVersion": "7", "watch": "1", "timeoutSeconds": "1"}]


async def test_a_watch_that_is_refused_raises_the_code() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.json_response({"message": "too old"}, status=410)

    async with an_api_server(handler) as server:
        with pytest.raises(ApiError, match="too old") as caught:
            await events(server)
    assert caught.value.code == 410


async def test_a_watch_that_breaks_off_is_an_error() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b'{"type": "ADDED"}\n')
        assert request.transport is not None
        request.transport.abort()
        return response

    async with an_api_server(handler) as server:
        with pytest.raises(ApiError, match=r"closed the connection|cannot be reached"):
            await events(server)


async def test_a_watch_that_falls_silent_beyond_its_length_is_noticed() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"type": "ADDED"}\n')
        await asyncio.Event().wait()
        return response

    async with an_api_server(handler, patience=0.1) as server:
        with pytest.raises(ApiError, match="cannot be reached: "):
            await events(server)


@pytest.mark.parametrize("line", [b"half a line", b"[]\n"])
async def test_what_is_no_event_ends_the_watch(line: bytes) -> None:
    async with an_api_server(lines(line)) as server:
        with pytest.raises(ApiError):
            await events(server)
