"""A worker process from its settings to its exit status."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, disable_created_metrics, start_http_server

from lepton_worker.engine.link import Link
from lepton_worker.engine.worker import State, Worker
from lepton_worker.errors import InvalidSetting
from lepton_worker.metric_aliases import VllmNames
from lepton_worker.metrics import Metrics
from lepton_worker.serving.server import Server
from lepton_worker.serving.tracing import Tracing, activate, open_tracing
from lepton_worker.settings import (
    Settings,
    names_service,
    process_environment,
    traces_wanted,
)

log = logging.getLogger(__name__)

LINGER_SECONDS = 3.0
"""How long new calls are taken after the first word of draining: endpoints lag behind."""

FLUSH_SECONDS = 5.0
"""How long answers that are complete may take on their way out."""

TRACES_SECONDS = 2.0
"""How long the last spans may take on theirs."""


async def serve(settings: Settings, started_at: float, link: Link | None = None) -> None:
    """Serve until told to stop; raises LoadError if it never comes to that.

    `link` leads to the engine; without one it is a thread of this process.
    """
    # When each series was made would double their number and is of no use here.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    metrics = Metrics(settings.model_name, CollectorRegistry())
    worker = Worker(settings, metrics, started_at, link)
    if settings.metrics_aliases == "vllm":
        metrics.registry.register(VllmNames(metrics, worker.alias_facts))
    traces = _tracing()
    activate(traces)
    server = Server(worker)
    with _metrics_port(settings, metrics), _told_to_stop() as told:
        await server.start()
        log.info("listening on port %d", server.port)
        try:
            await _serve(worker, server, told)
        finally:
            await server.stop(FLUSH_SECONDS)
            if traces is not None:
                await traces.close(TRACES_SECONDS)
            await worker.close()


def _tracing() -> Tracing | None:
    environment = process_environment()
    wanted, named = traces_wanted(environment), names_service(environment)
    return open_tracing(wanted, named, socket.gethostname())


async def _serve(worker: Worker, server: Server, told: asyncio.Event) -> None:
    opening = asyncio.create_task(worker.open(), name="open")
    stopping = asyncio.create_task(told.wait(), name="told to stop")
    try:
        await asyncio.wait({opening, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not opening.done():
            log.info("told to stop while the model was loading")
            return
        await opening
        await server.set_ready(True)
        log.info("serving")
        await asyncio.wait({stopping, worker.running()}, return_when=asyncio.FIRST_COMPLETED)
        if worker.running().done():
            await server.set_ready(False)
            worker.refuse()
            await worker.finish(0)
            await worker.running()
        await drain(worker, server)
    finally:
        stopping.cancel()
        opening.cancel()


async def drain(worker: Worker, server: Server) -> None:
    """Say goodbye, take what still comes for a moment, finish what is in hand."""
    seconds = worker.settings.drain_seconds
    linger = min(LINGER_SECONDS, seconds / 4)
    log.info("draining for at most %g s", seconds)
    worker.state = State.DRAINING
    await server.set_ready(False)
    await asyncio.sleep(linger)
    worker.refuse()
    log.info("no further calls")
    await worker.finish(seconds - linger)
    log.info("drained")


@contextlib.contextmanager
def _metrics_port(settings: Settings, metrics: Metrics) -> Iterator[None]:
    try:
        http, thread = start_http_server(settings.metrics_port, registry=metrics.registry)
    except OSError as error:
        raise InvalidSetting(
            f"cannot listen on metrics port {settings.metrics_port}: {error.strerror}"
        ) from error
    log.info("metrics on port %d", http.server_port)
    try:
        yield
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


@contextlib.contextmanager
def _told_to_stop() -> Iterator[asyncio.Event]:
    """Set by the first SIGTERM or SIGINT; a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()

    def hear(number: int) -> None:
        if told.is_set():
            os._exit(128 + number)
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, hear, number)
    try:
        yield told
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
