"""Plain HTTP for probes and Prometheus, who have no front-proxy certificate."""

from collections.abc import Callable, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

Checks = Callable[[], Mapping[str, str | None]]
"""What readiness depends on: name → what is missing, None when nothing is."""

Notes = Callable[[], Mapping[str, str]]
"""What a reader of the readiness page should know besides."""


def application(checks: Checks, notes: Notes, registry: CollectorRegistry) -> web.Application:
    """`/healthz`, `/readyz` and `/metrics`."""

    async def healthz(request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(request: web.Request) -> web.Response:
        found = checks()
        missing = any(found.values())
        return web.Response(text=page(found, notes()), status=503 if missing else 200)

    async def metrics(request: web.Request) -> web.Response:
        body = generate_latest(registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app


def page(checks: Mapping[str, str | None], notes: Mapping[str, str]) -> str:
    """Readiness in words, in the form of kube-apiserver's."""
    lines = [
        f"[-]{name} failed: {missing}" if missing else f"[+]{name} ok"
        for name, missing in checks.items()
    ]
    lines += [f"[i]{name}: {note}" for name, note in notes.items()]
    return "\n".join(lines) + "\n"
