"""The process `lepton-operator metrics`: its parts, put together, started and stopped."""

import asyncio
import logging
import signal
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from aiohttp import web
from prometheus_client import CollectorRegistry

from lepton_operator.metrics import api, apiserver, health
from lepton_operator.metrics.channel import dial
from lepton_operator.metrics.collector import Tools as CollectorTools
from lepton_operator.metrics.credentials import Credentials, Timing
from lepton_operator.metrics.credentials import Tools as CredentialTools
from lepton_operator.metrics.keeping import Names
from lepton_operator.metrics.listener import GRACE, Listener
from lepton_operator.metrics.telemetry import DepthCollector, Telemetry
from lepton_operator.metrics.view import View
from lepton_operator.settings import Settings

log = logging.getLogger(__name__)

LINGER = 5.0
"""Seconds between being told to stop and closing the port: callers learn late of it."""

IDLE = 300.0
"""Seconds for which an idle connection is kept: kube-apiserver closes its own after 90."""


async def serve(settings: Settings, timing: Timing = Timing()) -> None:  # noqa: B008 - immutable
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(await apiserver.connect())
        await _Process(settings, server, timing).run(stop, stack)


class _Process:
    """All parts of one replica."""

    def __init__(self, settings: Settings, server: apiserver.ApiServer, timing: Timing) -> None:
        self._settings, self._timing = settings, timing
        self._registry = CollectorRegistry()
        telemetry = Telemetry(self._registry)
        self._view = View(
            server,
            settings.watch_namespaces,
            CollectorTools(dial=dial, clock=time.monotonic, telemetry=telemetry),
        )
        self._registry.register(DepthCollector(self._view.depths, self._view.sources))
        self._server, self._telemetry = server, telemetry
        self._stopping = False

    async def run(self, stop: asyncio.Event, stack: AsyncExitStack) -> None:
        """Start everything, wait for `stop`, end everything in order."""
        listener, credentials = await self._open(stack)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._view.run()), group.create_task(credentials.run())]
            log.info("metrics API on port %d", listener.port)
            await stop.wait()
            self._stopping = True
            log.info("stopping in %g s", LINGER)
            await asyncio.sleep(LINGER)
            await listener.close()
            for task in tasks:
                task.cancel()

    async def _open(self, stack: AsyncExitStack) -> tuple[Listener, Credentials]:
        settings = self._settings
        app = api.application(
            self._view, lambda context: listener.trusted(context), _now, self._telemetry
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=GRACE, keepalive_timeout=IDLE)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        listener = Listener(runner, settings.metrics_port)
        names = Names(
            namespace=settings.namespace,
            service=settings.metrics_service,
            secret=settings.metrics_secret,
            external=settings.metrics_external_tls,
        )
        tools = CredentialTools(
            self._server, listener, _now, time.monotonic, self._telemetry, self._timing
        )
        credentials = Credentials(names, tools)
        page = health.application(
            lambda: self._checks(credentials), credentials.notes, self._registry
        )
        probes = web.AppRunner(page, access_log=None, shutdown_timeout=GRACE)
        await probes.setup()
        stack.push_async_callback(probes.cleanup)
        await web.TCPSite(probes, None, settings.health_port).start()
        return listener, credentials

    def _checks(self, credentials: Credentials) -> Mapping[str, str | None]:
        return {
            **credentials.checks(),
            "first collection": self._view.missing(),
            "running": "told to stop" if self._stopping else None,
        }


def _now() -> datetime:
    return datetime.now(UTC)
