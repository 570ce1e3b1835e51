"""The service Generation."""

import contextlib
from collections.abc import AsyncGenerator, Sequence

from lepton.v1 import generation_pb2, generation_pb2_grpc
from lepton_worker.engine.worker import Worker
from lepton_worker.errors import Violation
from lepton_worker.request import GenerateJob, Task, Tokens
from lepton_worker.serving import convert
from lepton_worker.serving.answering import (
    calling,
    chat_prompt,
    checked,
    reply_to,
    told_of_tools,
)
from lepton_worker.serving.calls import Context, request_id
from lepton_worker.serving.desk import Seat, seated
from lepton_worker.serving.generation_messages import (
    TokenTexts,
    asked_chat,
    asked_sampling,
    delta_event,
    finish_event,
)
from lepton_worker.serving.replies import Incoming, merged
from lepton_worker.tasks.chat import Chat as Turns
from lepton_worker.tasks.generate import answers, generate_job
from lepton_worker.tasks.prepare import complaint, given_tokens

PAUSE_SECONDS = 0.01
"""After a delta. Tokens that come meanwhile go out as one: a message costs as much as many."""

Events = AsyncGenerator[generation_pb2.GenerateEvent, None]


class GenerationServicer(generation_pb2_grpc.GenerationServicer):
    """Streams what the model writes."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def Generate(self, request: generation_pb2.GenerateRequest, context: Context) -> Events:
        """Accepted, deltas, finish."""
        with seated(self._worker, Task.GENERATE, request.meta, context, "Generate") as seat:
            asked = await checked(asked_sampling(request.sampling))
            prompt = await self._prompt(seat, request)
            job = generate_job(seat.model, prompt, asked, request.WhichOneof("input") or "input")
            async with contextlib.aclosing(self._written(seat, answers(job, asked.n))) as events:
                async for event in events:
                    yield event

    async def Chat(self, request: generation_pb2.ChatRequest, context: Context) -> Events:
        """The same, for messages behind the model's own template."""
        with seated(self._worker, Task.GENERATE, request.meta, context, "Chat") as seat:
            asked = await checked(asked_sampling(request.sampling))
            chat = asked_chat(request)
            asked = await calling(asked, chat, seat.model)
            prompt = await chat_prompt(seat.model, chat, "messages")
            jobs = answers(generate_job(seat.model, prompt, asked, "messages"), asked.n)
            async with contextlib.aclosing(self._written(seat, jobs, chat)) as events:
                async for event in events:
                    yield event

    async def _written(
        self, seat: Seat, jobs: Sequence[GenerateJob], chat: Turns | None = None
    ) -> Events:
        """The events of a call, one answer for each job."""
        self._worker.metrics.prompt_tokens.inc(len(jobs[0].prompt))
        streams = [seat.generate(job) for job in jobs]
        yield generation_pb2.GenerateEvent(
            accepted=generation_pb2.Accepted(
                request_id=request_id.get(), queue_position=streams[0].position
            )
        )
        texts = TokenTexts(seat.model.tokenizer)
        replies = [
            Incoming(stream, reply_to(job, seat.model, chat), PAUSE_SECONDS)
            for stream, job in zip(streams, jobs, strict=True)
        ]
        async with contextlib.aclosing(merged(replies)) as news:
            with told_of_tools(chat):
                async for choice, delta, end in news:
                    if delta.text or delta.ids:
                        yield delta_event(delta, choice, texts)
                    if end is not None:
                        yield finish_event(end, choice)

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
