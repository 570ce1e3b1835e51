"""A worker as the metrics API sees one: a real gRPC server that tells the load a test wants."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc

from lepton.v1 import control_pb2

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
