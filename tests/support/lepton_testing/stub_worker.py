"""A worker as the metrics API sees one: a real gRPC server that tells the load a test wants."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc

from lepton.v1 import control_pb2

T = TypeVar("T")
Context = grpc.aio.ServicerContext[bytes, bytes]


@dataclass
class StubWorker:
    """Answers Control.GetLoad; `waiting` and `running` may change at any time."""

    port: int
    waiting: int = 0
    running: int = 0
    stalled: bool = False
    """Takes questions and does not answer."""

    answer: bytes | None = None
    """Sent instead of a Load."""

    questions: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def get_load(self, request: bytes, context: Context) -> bytes:
        """The RPC, on raw bytes."""
        control_pb2.GetLoadRequest.FromString(request)
        self.questions += 1
        self.asked.set()
        if self.stalled:
            await asyncio.Event().wait()
        if self.answer is not None:
            return self.answer
        load = control_pb2.Load(waiting=self.waiting, running=self.running, max_waiting=256)
        return load.SerializeToString()

    async def until_asked_again(self) -> None:
        """Wait for the next question."""
        self.asked.clear()
        await self.asked.wait()


@asynccontextmanager
async def stub_worker(
    host: str = "127.0.0.1", *, port: int = 0, waiting: int = 0, running: int = 0
) -> AsyncIterator[StubWorker]:
    """A worker that listens until the block ends; then its connections are cut."""
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    bound = server.add_insecure_port(f"{host}:{port}")
    worker = StubWorker(bound, waiting, running)
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(
        worker.get_load
    )
    service = grpc.method_handlers_generic_handler("lepton.v1.Control", {"GetLoad": handler})
    server.add_generic_rpc_handlers((service,))
    await server.start()
    try:
        yield worker
    finally:
        await server.stop(grace=None)


class Workers:
    """Stub workers on a loop of their own, for tests that are not asynchronous."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._stacks: dict[int, AsyncExitStack] = {}

    def __enter__(self) -> "Workers":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for port in list(self._stacks):
            self.kill(port)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def start(self, *, port: int = 0, waiting: int = 0, running: int = 0) -> StubWorker:
        """Start a worker, at a given port or any."""
        stack = AsyncExitStack()
        made = stub_worker(self._host, port=port, waiting=waiting, running=running)
        worker = self._call(stack.enter_async_context(made))
        self._stacks[worker.port] = stack
        return worker

    def kill(self, port: int) -> None:
        """End a worker as if its process had died."""
        self._call(self._stacks.pop(port).aclose())

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=20)
