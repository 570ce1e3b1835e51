"""What every call has in common: its id, its end as a status, and its place in metrics and log."""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any, TypeAlias

import grpc.aio

from lepton_worker.errors import (
    UNEXPECTED,
    InternalError,
    InvalidRequest,
    RequestError,
    Violation,
)
from lepton_worker.serving import tracing
from lepton_worker.serving.records import Record, current, facts
from lepton_worker.serving.status import Metadata, code_of, text_of, trailing_metadata

log = logging.getLogger(__name__)

ID_KEY = "x-request-id"
LONGEST_ID = 128

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Id of the call that the current task answers."""

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Unary: TypeAlias = Callable[[Any, Context], Awaitable[Any]]
Stream: TypeAlias = Callable[[Any, Context], AsyncGenerator[Any, None]]
Answered: TypeAlias = Callable[[str, str, float], None]
"""(status code, reason of an error or nothing, seconds)"""
Told: TypeAlias = tuple[Record, tracing.CallSpan | None]


class Call:
    """One call from its first message to its status.

    `sent_id` is the id in its metadata, `answered` is told of its end, and `trailer` makes what is
    added to its trailing metadata.
    """

    def __init__(
        self,
        method: str,
        sent_id: str,
        answered: Answered | None,
        trailer: Callable[[], Metadata] = tuple,
    ) -> None:
        self._method = method
        self._sent_id = sent_id
        self._answered = answered
        self._trailer = trailer

    def unary(self, inner: Unary) -> Unary:
        """A handler around one that returns its answer."""

        async def answer(request: Any, context: Context) -> Any:
            async with self._ending(request, context):
                response = await inner(request, context)
                await context.send_initial_metadata(((ID_KEY, request_id.get()),))
                return response

        return answer

    def stream(self, inner: Stream) -> Unary:
        """A handler around one that yields its answers."""

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
        """Whatever happens in the block becomes a status, a count and a line of the log."""
        begun = time.monotonic()
        request_id.set(self._sent_id or uuid.uuid4().hex)
        told = self._begin(context, begun)
        try:
            request_id.set(_own_id(request) or request_id.get())
            yield
        except RequestError as error:
            self._note(told, code_of(error).name, error.reason)
            await self._abort(context, error)
        except asyncio.CancelledError:
            remaining = context.time_remaining()
            late = remaining is not None and remaining <= 0
            code = "DEADLINE_EXCEEDED" if late else "CANCELLED"
            self._note(told, code, code)
            raise
        except Exception:
            log.exception("bug while answering %s", self._method, extra=_id())
            failure = InternalError(UNEXPECTED)
            self._note(told, "INTERNAL", failure.reason)
            await self._abort(context, failure)
        else:
            self._note(told, "OK", "")
            context.set_trailing_metadata(((ID_KEY, request_id.get()), *self._trailer()))

    def _begin(self, context: Context, begun: float) -> Told:
        """A record of the call, and its span if it is traced."""
        sent = dict(context.invocation_metadata() or ())
        span, trace_id = tracing.begin(self._method, sent)
        record = Record(self._method, "", begun, trace_id)
        current.set(record)
        return record, span

    def _note(self, told: Told, code: str, reason: str) -> None:
        record, span = told
        record.request_id = request_id.get()
        ended = time.monotonic()
        seconds = ended - record.begun
        if self._answered is not None:
            self._answered(code, reason, seconds)
        if span is not None:
            span.end(record, code, reason, ended)
        level = logging.DEBUG if code == "OK" else logging.INFO
        if log.isEnabledFor(level):
            extra = {**_id(), "facts": facts(record, code, reason, ended)}
            line = "%s %s %s %.3f s"
            log.log(level, line, self._method, code, reason or "-", seconds, extra=extra)

    async def _abort(self, context: Context, error: RequestError) -> None:
        metadata = (*trailing_metadata(error), (ID_KEY, request_id.get()), *self._trailer())
        await context.abort(code_of(error), text_of(error), metadata)


def sent_id(metadata: dict[str, Any]) -> str:
    """The id in a call's metadata, if it is one that can be sent back."""
    value = str(metadata.get(ID_KEY, ""))
    return value if _can_be_sent(value) else ""


def _own_id(request: Any) -> str:
    """The id that a request's own `meta` carries; raises InvalidRequest."""
    meta = getattr(request, "meta", None)
    value = "" if meta is None else str(meta.request_id)
    if not _can_be_sent(value):
        text = f"must have at most {LONGEST_ID} characters, all of them printable ASCII"
        raise InvalidRequest([Violation("meta.request_id", text)])
    return value


def _can_be_sent(value: str) -> bool:
    return len(value) <= LONGEST_ID and value.isascii() and (value.isprintable() or not value)


def _id() -> dict[str, str]:
    return {"request_id": request_id.get()}
