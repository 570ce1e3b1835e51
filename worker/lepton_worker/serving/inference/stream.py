"""Many requests on one stream, answered side by side; the protocol matches them by their ids."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, TypeAlias

from lepton_worker.errors import UNEXPECTED, InternalError, RequestError
from lepton_worker.serving.accounts import Accounts
from lepton_worker.serving.calls import Context, request_id
from lepton_worker.serving.inference import messages
from lepton_worker.serving.inference.infer import Inference
from lepton_worker.serving.inference.parameters import FINAL
from lepton_worker.serving.interceptor import OpenCalls
from lepton_worker.serving.private_pool import decoded
from lepton_worker.serving.status import code_of, text_of

log = logging.getLogger(__name__)

STRICT_KEY = "triton_grpc_error"
"""Metadata by which a caller asks for a status instead of errors in messages."""

MOST_OPEN = 256
"""Requests of one stream that are answered at a time; further ones are not read before."""

MOST_UNSENT = 64
"""Answers that wait for a caller who does not read them."""

News: TypeAlias = "asyncio.Queue[Any]"
"""Messages, then None; or the error that ends the stream."""


class InferStream:
    """One call of ModelStreamInfer."""

    def __init__(
        self, inference: Inference, accounts: Accounts, calls: OpenCalls, context: Context
    ) -> None:
        self._inference = inference
        self._accounts = accounts
        self._calls = calls
        self._context = context
        sent = dict(context.invocation_metadata() or ())
        self._strict = str(sent.get(STRICT_KEY, "")).lower() == "true"

    async def answers(self, requests: AsyncIterator[bytes]) -> AsyncGenerator[Any, None]:
        """What comes of the requests, as it comes, until all that were sent have ended."""
        news: News = asyncio.Queue(MOST_UNSENT)
        reader = asyncio.create_task(self._read(requests, news), name="requests of a stream")
        try:
            while (item := await news.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _read(self, requests: AsyncIterator[bytes], news: News) -> None:
        gate = asyncio.Semaphore(MOST_OPEN)
        tasks: set[asyncio.Task[None]] = set()

        def ended(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            gate.release()

        try:
            async for data in requests:
                await gate.acquire()
                task = asyncio.create_task(self._answer(data, news), name="request of a stream")
                tasks.add(task)
                task.add_done_callback(ended)
            while tasks:
                await asyncio.wait(tasks)
            await news.put(None)
        except Exception as error:
            await news.put(error)
        finally:
            left = list(tasks)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _answer(self, data: bytes, news: News) -> None:
        """Answer one request, or tell its error."""
        begun = time.monotonic()
        request = messages.InferRequest()
        with self._calls.one_more():
            try:
                request = decoded(messages.InferRequest, data)
                await self._send(request, news)
                self._note("OK", "", begun)
            except RequestError as error:
                self._note(code_of(error).name, error.reason, begun)
                await news.put(self._told(request, error))
            except asyncio.CancelledError:
                self._note("CANCELLED", "CANCELLED", begun)
                raise
            except Exception:
                log.exception("bug while answering a request of a stream")
                failure = InternalError(UNEXPECTED)
                self._note("INTERNAL", failure.reason, begun)
                await news.put(self._told(request, failure))

    async def _send(self, request: Any, news: News) -> None:
        answers = self._inference.stream(request, self._context)
        async with contextlib.aclosing(answers):
            async for message in answers:
                await news.put(messages.StreamInferResponse(infer_response=message))

    def _told(self, request: Any, error: RequestError) -> Any:
        """The error itself if it shall end the stream, or a message about it."""
        return error if self._strict else failed(request, error)

    def _note(self, code: str, reason: str, begun: float) -> None:
        self._accounts.answered(code, reason, time.monotonic() - begun)
        if code != "OK":
            extra = {"request_id": request_id.get()}
            log.info("request of a stream: %s %s", code, reason, extra=extra)


def failed(request: Any, error: RequestError) -> Any:
    """An error as a message that says which request it is of; its code and reason beside it."""
    response = messages.InferResponse(id=request.id, model_name=request.model_name)
    response.parameters[FINAL].bool_param = True
    response.parameters["error_code"].string_param = code_of(error).name
    response.parameters["error_reason"].string_param = error.reason
    return messages.StreamInferResponse(
        error_message=text_of(error) or error.reason, infer_response=response
    )
