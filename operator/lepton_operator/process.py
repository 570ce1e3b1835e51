"""The process of `lepton-operator run`: builds its parts, runs them until told to stop."""

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import kopf
from kubernetes.aio.client import ApiClient

from lepton_operator import access, handlers, workers
from lepton_operator.api.objects import MODELS, Key
from lepton_operator.cluster import ClusterError, KubeCluster
from lepton_operator.health import Checks, serving
from lepton_operator.instruments import Instruments
from lepton_operator.reconcile.carry_out import Settled
from lepton_operator.reconcile.model import Reconciler
from lepton_operator.reconcile.queue import Queue
from lepton_operator.reconcile.reports import Reports
from lepton_operator.reconcile.rounds import Rounds
from lepton_operator.reconcile.store import Store
from lepton_operator.reconcile.watched import METRICS_API, WATCHED, Watched
from lepton_operator.settings import Settings, SettingsError

STUCK = 180.0
"""Seconds after which a pass is taken to hang; each of its calls gives up much earlier."""

STOP = 3.0
SWEEPS = 20
PAUSE = 2.0

logger = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Look after LeptonModels until SIGTERM or SIGINT; raises what makes that impossible."""
    if not settings.worker_image:
        raise SettingsError("LEPTON_WORKER_IMAGE is not set; set it to the image of the workers")
    asyncio.run(_until_told_to_stop(settings))


async def _until_told_to_stop(settings: Settings) -> None:
    stop = asyncio.Event()
    _on_signals(stop)
    work = asyncio.create_task(_work(settings, stop))
    told = asyncio.create_task(stop.wait())
    await asyncio.wait({work, told}, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if not work.done():
        logger.info("told to stop")
        work.cancel()
    await asyncio.wait({work})
    await _sweep()
    if not work.cancelled():
        work.result()


async def _sweep() -> None:
    """End all tasks but this one. kopf's watchers may swallow a cancellation, so ask repeatedly."""
    this = {asyncio.current_task()}
    for _ in range(SWEEPS):
        left = asyncio.all_tasks() - this
        if not left:
            return
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=STOP / SWEEPS)


def _on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


@dataclass
class _Parts:
    """What the health checks look at, as it comes to be."""

    instruments: Instruments = field(default_factory=Instruments)
    complete: bool = False
    queue: Queue | None = None

    def checks(self) -> Checks:
        return Checks(self.alive, self.ready, self.instruments.text, self.instruments.content_type)

    def alive(self) -> str | None:
        stuck = self.queue is not None and self.queue.longest_pass() > STUCK
        return "a pass hangs" if stuck else None

    def ready(self) -> str | None:
        return None if self.complete else "the watches have not seen everything yet"


async def _work(settings: Settings, stop: asyncio.Event) -> None:
    parts = _Parts()
    port = settings.health_port
    async with serving(port, parts.checks()) as port, _cluster(parts.instruments) as cluster:
        logger.info("health and metrics on port %d", port)
        await _until_served(cluster)
        may = await _patiently(lambda: cluster.may_list(METRICS_API.resource, METRICS_API.query))
        watched = (*WATCHED, METRICS_API) if may else WATCHED
        store = Store(watches_api_services=may)
        interviews = workers.Interviews(workers.ask, lambda key, after: queue.add(key, after))
        reconciler = Reconciler(
            cluster=cluster,
            sight=store,
            settings=settings,
            interviews=interviews,
            reports=Reports(cluster, socket.gethostname()),
            settled=Settled(),
            clock=lambda: datetime.now(UTC),
        )
        queue = parts.queue = Queue(reconciler, parts.instruments.passed)
        parts.instruments.queue.set_function(lambda: len(queue))
        parts.instruments.models.set_function(lambda: len(store.models()))
        rounds = Rounds(cluster, store, watched, settings.watch_namespaces)

        def add(key: Key) -> None:
            queue.add(key)

        async def passes() -> None:
            await rounds.until_complete()
            parts.complete = True
            await asyncio.gather(queue.run(), rounds.run(add))

        made = handlers.registry(store, watched, add, rounds.soon)
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(passes(), name="passes")]
        try:
            tasks += await _watches(made, watched, settings.watch_namespaces)
            _on_signals(stop)  # kopf has set its own
            await _until_one_fails(tasks)
        finally:
            await _end(tasks)
            await interviews.close()


@asynccontextmanager
async def _cluster(instruments: Instruments) -> AsyncIterator[KubeCluster]:
    async with ApiClient(await access.configuration()) as client:
        yield KubeCluster(client, instruments.called)


async def _watches(
    made: kopf.OperatorRegistry, watched: Sequence[Watched], namespaces: Sequence[str]
) -> list[asyncio.Task[Any]]:
    """kopf's tasks; the caller ends them."""
    tasks = await kopf.spawn_tasks(
        registry=made,
        settings=handlers.settings(watched),
        clusterwide=not namespaces,
        namespaces=namespaces,
        standalone=True,
        # kopf would ask for the name of the user, and the user of an image may have none.
        identity=cast(Any, "lepton-operator"),
    )
    return list(tasks)


async def _until_one_fails(tasks: Sequence[asyncio.Task[Any]]) -> None:
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
    raise RuntimeError(f"ended by itself: {', '.join(task.get_name() for task in done)}")


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    _, pending = await asyncio.wait(tasks, timeout=STOP)
    for task in pending:
        logger.warning("%s did not end in time", task.get_name())


async def _until_served(cluster: KubeCluster) -> None:
    """Without its CRD there is nothing to watch, and kopf would look for it only once."""
    told = False
    while not await _patiently(lambda: cluster.serves(MODELS)):
        if not told:
            logger.warning("the API server has no %s.%s: waiting for its CRD", *_crd())
            told = True
        await asyncio.sleep(PAUSE)


def _crd() -> tuple[str, str]:
    return MODELS.plural, MODELS.group


async def _patiently(call: Callable[[], Awaitable[bool]]) -> bool:
    """The answer, however long the API server is away."""
    while True:
        try:
            return await call()
        except ClusterError as error:
            logger.warning("%s", error)
            await asyncio.sleep(PAUSE)
