"""One kept connection to a worker, over which it is asked for its load."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import grpc
from google.protobuf.message import DecodeError

from lepton.v1 import control_pb2

DEADLINE = 1.0
"""Seconds a worker has to answer."""

_METHOD = "/lepton.v1.Control/GetLoad"
_REQUEST = control_pb2.GetLoadRequest().SerializeToString()
_OPTIONS: tuple[tuple[str, int], ...] = (
    # A worker that comes back is found within two seconds instead of two minutes.
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
    ("grpc.service_config_disable_resolution", 1),
)


@dataclass(frozen=True)
class Load:
    """Requests a worker has in hand."""

    waiting: int
    running: int


class WorkerSilent(Exception):
    """A worker gave no usable answer; the message says how."""


class Worker(Protocol):
    """Somebody to ask."""

    async def load(self) -> Load:
        """What it has in hand now. Raises WorkerSilent."""


Dial = Callable[[str], AbstractAsyncContextManager[Worker]]


class GrpcWorker:
    """A worker behind a gRPC channel."""

    def __init__(self, channel: grpc.aio.Channel, deadline: float) -> None:
        # Bytes in both directions: the question never changes, and gRPC would make None of an
        # answer that it cannot parse.
        self._ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_METHOD)
        self._deadline = deadline

    async def load(self) -> Load:
        """What it has in hand now. Raises WorkerSilent."""
        try:
            answer = control_pb2.Load.FromString(await self._ask(_REQUEST, timeout=self._deadline))
        except grpc.aio.AioRpcError as error:
            raise WorkerSilent(self._cause(error)) from error
        except DecodeError as error:
            raise WorkerSilent("its answer is no Load: is it a Lepton worker?") from error
        return Load(answer.waiting, answer.running)

    def _cause(self, error: grpc.aio.AioRpcError) -> str:
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"no answer within {self._deadline:g} s"
        details = error.details() or error.code().name
        # "failed to connect to all addresses; last error: UNKNOWN: ipv4:10.0.0.1:9000: Failed to
        # connect to remote host: Connection refused": the end of it says it all.
        return details.rpartition("Failed to connect to remote host: ")[2]


@asynccontextmanager
async def dial(address: str, deadline: float = DEADLINE) -> AsyncIterator[GrpcWorker]:
    """A connection to `host:port` that is made when first used and mends itself."""
    async with grpc.aio.insecure_channel(address, options=_OPTIONS) as channel:
        yield GrpcWorker(channel, deadline)
