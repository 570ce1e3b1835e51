"""Puts every method of our services into a Call, and knows how many to the model are open."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import grpc
import grpc.aio

from lepton_worker.serving.accounts import Accounts
from lepton_worker.serving.calls import Call, Context, Unary, sent_id

OURS = ("/lepton.v1.", "/inference.", "/xds.service.orca.v3.")
TO_THE_MODEL = (
    "/lepton.v1.Generation/",
    "/lepton.v1.Text/",
    "/inference.GRPCInferenceService/ModelInfer",
)


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
    """Health and reflection stay as they are; only calls to the model are counted.

    A stream of requests is not counted: whoever answers it counts each request.
    """

    def __init__(self, accounts: Accounts, calls: OpenCalls) -> None:
        self._accounts = accounts
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
        counted = method.startswith(TO_THE_MODEL) and not handler.request_streaming
        call = Call(
            method,
            sent_id(dict(handler_call_details.invocation_metadata)),
            self._accounts.answered if counted else None,
            self._accounts.reporter.trailer,
        )
        make, wrapped = _wrapped(call, handler)
        if counted:
            wrapped = self._calls.counting(wrapped)
        return make(wrapped, handler.request_deserializer, handler.response_serializer)


def _wrapped(call: Call, handler: Any) -> tuple[Callable[..., Any], Unary]:
    """What makes a handler of its kind, and its behaviour within the call."""
    if handler.request_streaming:
        return grpc.stream_stream_rpc_method_handler, call.stream(handler.stream_stream)
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler, call.stream(handler.unary_stream)
    return grpc.unary_unary_rpc_method_handler, call.unary(handler.unary_unary)
