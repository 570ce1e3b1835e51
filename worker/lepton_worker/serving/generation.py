"""The service Generation."""

import asyncio
from collections.abc import AsyncGenerator

from lepton.v1 import generation_pb2, generation_pb2_grpc
from lepton_worker.engine.worker import Worker
from lepton_worker.errors import Violation
from lepton_worker.request import Delta, Event, Finish, Task, Tokens
from lepton_worker.serving import convert
from lepton_worker.serving.calls import Context, request_id
from lepton_worker.serving.desk import Seat, seated
from lepton_worker.tasks.generate import generate_job
from lepton_worker.tasks.prepare import complaint, given_tokens

PAUSE_SECONDS = 0.01
"""After a delta. Tokens that come meanwhile go out as one: a message costs as much as many."""


class GenerationServicer(generation_pb2_grpc.GenerationServicer):
    """Streams what the model writes."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def Generate(
        self, request: generation_pb2.GenerateRequest, context: Context
    ) -> AsyncGenerator[generation_pb2.GenerateEvent, None]:
        """Accepted, deltas, finish."""
        with seated(self._worker, Task.GENERATE, request.meta, context) as seat:
            asked = convert.asked_sampling(request.sampling)
            prompt = await self._prompt(seat, request)
            job = generate_job(seat.model, prompt, asked, request.WhichOneof("input") or "input")
            self._worker.metrics.prompt_tokens.inc(len(prompt))
            outbox, position = seat.start(job)
            yield generation_pb2.GenerateEvent(
                accepted=generation_pb2.Accepted(
                    request_id=request_id.get(), queue_position=position
                )
            )
            finished = False
            while not finished:
                events = await outbox.take()
                for message in _messages(events):
                    yield message
                finished = isinstance(events[-1], Finish)
                if not finished:
                    await asyncio.sleep(PAUSE_SECONDS)

    async def _prompt(self, seat: Seat, request: generation_pb2.GenerateRequest) -> Tokens:
        kind = request.WhichOneof("input")
        if kind == "tokens":
            return given_tokens(seat.model, request.tokens.ids, "tokens.ids")
        if kind is None:
            convert.raise_for([Violation("input", "must be set: text or tokens")])
        if not request.text:
            convert.raise_for([Violation("text", "must not be empty")])
        result = (await self._worker.tokenize(seat.model, [request.text], False))[0]
        wrong = complaint(seat.model, request.text, result, "text")
        if wrong is not None:
            raise wrong
        return result.tokens


def _messages(events: list[Event]) -> list[generation_pb2.GenerateEvent]:
    """Events as messages; all new tokens go into one delta."""
    deltas = [event for event in events if isinstance(event, Delta)]
    messages = []
    text = "".join(event.text for event in deltas)
    ids = tuple(token for event in deltas for token in event.ids)
    if text or ids:
        messages.append(convert.delta(Delta(text, ids)))
    messages += [convert.finish(event) for event in events if isinstance(event, Finish)]
    return messages
