"""A steady number of embedding calls in flight, in threads of the test, until the block ends."""

import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import grpc

from lepton.v1 import text_pb2, text_pb2_grpc


@dataclass
class Load:
    """Closed loop: `concurrency` callers, each with a connection of its own.

    A caller reconnects after `calls_per_connection` calls; that way new workers are found.
    """

    address: str
    concurrency: int
    calls_per_connection: int = 8
    inputs: int = 4
    answered: int = 0
    failures: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._call) for _ in range(self.concurrency)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=60)

    def _call(self) -> None:
        request = text_pb2.EmbedRequest(
            inputs=["The tide turns before the wind does."] * self.inputs
        )
        while not self._stop.is_set():
            # A private pool: equal channels would share one connection, hence one worker.
            options = [("grpc.use_local_subchannel_pool", 1)]
            with grpc.insecure_channel(self.address, options) as channel:
                stub = text_pb2_grpc.TextStub(channel)
                for _ in range(self.calls_per_connection):
                    if self._stop.is_set():
                        return
                    self._count(stub, request)

    def _count(self, stub: text_pb2_grpc.TextStub, request: text_pb2.EmbedRequest) -> None:
        try:
            stub.Embed(request, timeout=60)
        except grpc.RpcError as error:
            with self._lock:
                self.failures.append(f"{error.code()}: {error.details()}")
        else:
            with self._lock:
                self.answered += 1
