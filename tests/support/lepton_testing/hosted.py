"""Workers that serve inside the test's own process, and stubs to ask them with."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry

from lepton.v1 import control_pb2_grpc, generation_pb2_grpc, text_pb2_grpc
from lepton_worker.backends.base import Backend
from lepton_worker.engine.core import Core
from lepton_worker.engine.link import Closed, Link, Port
from lepton_worker.engine.messages import Ready
from lepton_worker.engine.thread_link import ThreadLink
from lepton_worker.engine.worker import Worker
from lepton_worker.metrics import Metrics
from lepton_worker.model import Model
from lepton_worker.serving.options import OPTIONS
from lepton_worker.serving.server import Server
from lepton_worker.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True)
class Served:
    """A worker that serves, and stubs of its services."""

    worker: Worker
    server: Server
    channel: grpc.Channel

    @property
    def text(self) -> text_pb2_grpc.TextStub:
        return text_pb2_grpc.TextStub(self.channel)

    @property
    def generation(self) -> generation_pb2_grpc.GenerationStub:
        return generation_pb2_grpc.GenerationStub(self.channel)

    @property
    def control(self) -> control_pb2_grpc.ControlStub:
        return control_pb2_grpc.ControlStub(self.channel)

    def sample(self, name: str, **labels: str) -> float:
        """Value of a metric, 0 if it has none yet."""
        given = {"model": self.worker.settings.model_name, **labels}
        return self.worker.metrics.registry.get_sample_value(name, given) or 0.0


class Kept:
    """A backend that outlives the engine that runs on it."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def close(self) -> None:
        """Not yet."""


class Host:
    """An event loop in a thread of its own; all workers of a test session live in it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self._served: dict[Settings, Served] = {}

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(120)

    def serve(self, **chosen: Any) -> Served:
        """The worker with these settings; one that serves already is used again."""
        settings = Settings(host="127.0.0.1", grpc_port=0, threads=1, **chosen)
        if settings not in self._served:
            self._served[settings] = self.do(self._serve(settings))
        return self._served[settings]

    @contextlib.contextmanager
    def lent(self, backend: Backend, model: Model, **chosen: Any) -> Iterator[tuple[Served, Core]]:
        """A worker on a loaded backend, which it gives back, and its core."""
        cores: list[Core] = []

        def main(port: Port) -> None:
            cores.append(Core(Kept(backend), model, port))
            port.send([Ready(model)])
            with contextlib.suppress(Closed):
                cores[0].run()

        # As far as the front is concerned, there is nothing to fetch.
        settings = Settings(host="127.0.0.1", grpc_port=0, backend="echo", **chosen)
        served = self.do(self._serve(settings, ThreadLink(main)))
        try:
            yield served, cores[0]
        finally:
            self._end(served)

    async def _serve(self, settings: Settings, link: Link | None = None) -> Served:
        metrics = Metrics(settings.model_name, CollectorRegistry())
        worker = Worker(settings, metrics, 0.0, link)
        server = Server(worker)
        await server.start()
        await worker.open()
        await server.set_ready(True)
        return Served(worker, server, a_channel(server.port))

    def _end(self, served: Served) -> None:
        served.channel.close()
        self.do(served.server.stop(1))
        self.do(served.worker.close())

    def close(self) -> None:
        for served in self._served.values():
            self._end(served)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


def metadata(sent: Any) -> dict[str, str]:
    """Initial or trailing metadata of a call, without what is binary."""
    return {key: value for key, value in sent if isinstance(value, str)}


def details(error: grpc.RpcError) -> dict[str, Any]:
    """What a status says besides its code and words, by kind."""
    status = rpc_status.from_call(error)
    assert status is not None
    assert status.code == error.code().value[0]
    found = {}
    for packed in status.details:
        kind = getattr(error_details_pb2, packed.TypeName().rsplit(".", 1)[1])
        message = kind()
        packed.Unpack(message)
        found[kind.__name__] = message
    return found


def a_channel(port: int) -> grpc.Channel:
    return grpc.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS[:2])
