"""Plain HTTP for the kubelet and for Prometheus: /healthz, /readyz, /metrics."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web


@dataclass(frozen=True)
class Checks:
    """What is asked when somebody asks; a complaint is a sentence, None is well."""

    alive: Callable[[], str | None]
    ready: Callable[[], str | None]
    metrics: Callable[[], bytes]
    metrics_type: str


@asynccontextmanager
async def serving(port: int, checks: Checks) -> AsyncIterator[int]:
    """Serve while the block runs; yields the port, which differs from `port` where that is 0."""
    app = web.Application()
    app.router.add_get("/healthz", _answer(checks.alive))
    app.router.add_get("/readyz", _answer(checks.ready))

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=checks.metrics(), headers={"Content-Type": checks.metrics_type})

    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.5)
    await runner.setup()
    try:
        site = web.TCPSite(runner, port=port)
        await site.start()
        # With port 0 IPv4 and IPv6 get different ones; an IPv4 address is a pair.
        yield min(runner.addresses, key=len)[1]
    finally:
        await runner.cleanup()


def _answer(
    check: Callable[[], str | None],
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        complaint = check()
        return web.Response(text=complaint or "ok", status=503 if complaint else 200)

    return answer
