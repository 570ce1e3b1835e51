"""Puts every method of `lepton.v1` into a Call, and knows how many calls to the model are open."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import grpc
import grpc.aio

from lepton_worker.metrics import Metrics
from lepton_worker.serving.calls import Call, Context, Unary, sent_id

OURS = "/lepton.v1."
TO_THE_MODEL = ("/lepton.v1.Generation/", "/lepton.v1.Text/")


class OpenCalls:
    """Calls that have not ended. `server.stop` does not wait for those that end in an error."""

    def __init__(self) -> None:
        self._count = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def none(self) -> None:
        """Wait until there are none."""
        await self._quiet.wait()

    @contextlib.contextmanager
    def one_more(self) -> Iterator[None]:
        """Count one for as long as the block lasts."""
        self._count += 1
        self._quiet.clear()
        try:
            yield
        finally:
            self._count -= 1
            if not self._count:
                self._quiet.set()

    def counting(self, inner: Unary) -> Unary:
        """The handler, counted while it runs."""

        async def counted(request: Any, context: Context) -> Any:
            with self.one_more():
                return await inner(request, context)

        return counted


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Health and reflection stay as they are; calls to Control are not counted."""

    def __init__(self, metrics: Metrics, calls: OpenCalls) -> None:
        self._metrics = metrics
        self._calls = calls

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The method's handler, wrapped."""
        handler = await continuation(handler_call_details)
        method: str = handler_call_details.method
        if handler is None or not method.startswith(OURS):
            return handler
        to_the_model = method.startswith(TO_THE_MODEL)
        sent = sent_id(dict(handler_call_details.invocation_metadata))
        call = Call(method, sent, self._metrics if to_the_model else None)
        wire = handler.request_deserializer, handler.response_serializer
        if handler.response_streaming:
            wrapped = call.stream(handler.unary_stream)
            if to_the_model:
                wrapped = self._calls.counting(wrapped)
            return grpc.unary_stream_rpc_method_handler(wrapped, *wire)
        wrapped = call.unary(handler.unary_unary)
        if to_the_model:
            wrapped = self._calls.counting(wrapped)
        return grpc.unary_unary_rpc_method_handler(wrapped, *wire)
