"""The aggregated API over HTTP: authentication, routes, and every failure as a Status object."""

import ssl
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from aiohttp import web

from lepton_operator.api.names import METRICS_GROUP, METRICS_VERSION
from lepton_operator.metrics import answers
from lepton_operator.metrics.answers import Answer, Depths, Question
from lepton_operator.metrics.telemetry import Telemetry
from lepton_operator.metrics.trust import Trust, refusal

ROOT = f"/apis/{METRICS_GROUP}/{METRICS_VERSION}"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(
    depths: Depths,
    trusted: Callable[[ssl.SSLContext], Trust | None],
    now: Callable[[], datetime],
    telemetry: Telemetry,
) -> web.Application:
    """The routes that kube-apiserver and the HPA use; nothing here waits for anything.

    `trusted` tells by whose certificates a connection of that TLS context was checked; None when
    they are not trusted any more.
    """

    async def discovery(request: web.Request) -> web.Response:
        return _response(Answer(200, answers.DISCOVERY))

    async def openapi(request: web.Request) -> web.Response:
        return _response(Answer(200, answers.OPENAPI_V2))

    async def values(request: web.Request) -> web.Response:
        question = Question(
            namespace=request.match_info["namespace"],
            metric=request.match_info["metric"],
            selector=request.query.get("labelSelector", ""),
        )
        return _response(answers.answer(question, depths, now()))

    app = web.Application(middlewares=[_counted(telemetry), _authenticated(trusted)])
    app.router.add_get(ROOT, discovery, allow_head=False)
    app.router.add_get(ROOT + "/namespaces/{namespace}/{metric}", values, allow_head=False)
    app.router.add_get("/openapi/v2", openapi, allow_head=False)
    return app


def _counted(telemetry: Telemetry) -> Any:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
        except web.HTTPException as error:
            message = f"{request.method} {request.path}: {error.reason}"
            response = _response(answers.failure(error.status, message))
        telemetry.requested(response.status)
        return response

    return middleware


def _authenticated(trusted: Callable[[ssl.SSLContext], Trust | None]) -> Any:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if why := _refusal(request, trusted):
            response = _response(answers.failure(401, why))
            # Whoever holds a connection that was checked by outdated rules shall make a new one.
            response.force_close()
            return response
        return await handler(request)

    return middleware


def _refusal(request: web.Request, trusted: Callable[[ssl.SSLContext], Trust | None]) -> str | None:
    transport = request.transport
    connection = transport.get_extra_info("ssl_object") if transport else None
    if connection is None:
        return "only TLS connections are served"
    return refusal(trusted(connection.context), connection.getpeercert(), request.headers)


def _response(answer: Answer) -> web.Response:
    # JSON whatever the Accept header prefers: clients of this API decode by Content-Type.
    return web.json_response(answer.document, status=answer.code)
