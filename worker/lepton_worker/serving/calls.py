"""What every call has in common: its id, its end as a status, and its place in metrics and log."""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any, TypeAlias

import grpc
import grpc.aio

from lepton_worker.errors import InternalError, RequestError
from lepton_worker.metrics import Metrics
from lepton_worker.serving.status import code_of, trailing_metadata

log = logging.getLogger(__name__)

ID_KEY = "x-request-id"
COUNTED = ("/lepton.v1.Generation/", "/lepton.v1.Text/")
LONGEST_ID = 128

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Id of the call that the current task answers."""

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Unary: TypeAlias = Callable[[Any, Context], Awaitable[Any]]
Stream: TypeAlias = Callable[[Any, Context], AsyncGenerator[Any, None]]


class CallInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Wraps the methods of `lepton.v1`; health and reflection stay as they are."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The method's handler, wrapped."""
        handler = await continuation(handler_call_details)
        method: str = handler_call_details.method
        if handler is None or not method.startswith("/lepton.v1."):
            return handler
        sent = dict(handler_call_details.invocation_metadata).get(ID_KEY, "")
        call = _Call(method, str(sent), self._metrics)
        wire = handler.request_deserializer, handler.response_serializer
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(call.stream(handler.unary_stream), *wire)
        return grpc.unary_unary_rpc_method_handler(call.unary(handler.unary_unary), *wire)


class _Call:
    """One call from its first message to its status."""

    def __init__(self, method: str, sent_id: str, metrics: Metrics) -> None:
        self._method = method
        self._sent_id = sent_id
        self._metrics = metrics
        self._counted = method.startswith(COUNTED)

    def unary(self, inner: Unary) -> Unary:
        async def answer(request: Any, context: Context) -> Any:
            async with self._ending(request, context):
                response = await inner(request, context)
                await context.send_initial_metadata(((ID_KEY, request_id.get()),))
                return response

        return answer

    def stream(self, inner: Stream) -> Unary:
        async def answer(request: Any, context: Context) -> None:
            async with (
                self._ending(request, context),
                contextlib.aclosing(inner(request, context)) as messages,
            ):
                begun = False
                async for message in messages:
                    if not begun:
                        # Not earlier: a client may retry a call only before it has metadata.
                        await context.send_initial_metadata(((ID_KEY, request_id.get()),))
                        begun = True
                    await context.write(message)

        return answer

    @contextlib.asynccontextmanager
    async def _ending(self, request: Any, context: Context) -> AsyncGenerator[None, None]:
        request_id.set((request_id_of(request) or self._sent_id or uuid.uuid4().hex)[:LONGEST_ID])
        begun = time.monotonic()
        try:
            yield
        except RequestError as error:
            self._note(code_of(error).name, error.reason, begun)
            await self._abort(context, error)
        except asyncio.CancelledError:
            remaining = context.time_remaining()
            late = remaining is not None and remaining <= 0
            code = "DEADLINE_EXCEEDED" if late else "CANCELLED"
            self._note(code, code, begun)
            raise
        except Exception:
            log.exception("bug while answering %s", self._method)
            failure = InternalError("the worker failed on this request; its log says how")
            self._note("INTERNAL", failure.reason, begun)
            await self._abort(context, failure)
        else:
            context.set_trailing_metadata(((ID_KEY, request_id.get()),))
            self._note("OK", "", begun)

    def _note(self, code: str, reason: str, begun: float) -> None:
        seconds = time.monotonic() - begun
        if self._counted:
            self._metrics.answered(code, reason)
            self._metrics.request_duration.observe(seconds)
        level = logging.DEBUG if code == "OK" or not self._counted else logging.INFO
        log.log(level, "%s %s %s %.3f s", self._method, code, reason or "-", seconds)

    async def _abort(self, context: Context, error: RequestError) -> None:
        metadata = (*trailing_metadata(error), (ID_KEY, request_id.get()))
        await context.abort(code_of(error), error.message, metadata)


def request_id_of(request: Any) -> str:
    """The id that a request's own `meta` carries, if there is one."""
    meta = getattr(request, "meta", None)
    return str(meta.request_id) if meta is not None else ""
