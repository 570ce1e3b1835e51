"""The service Generation."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator, Sequence

from lepton.v1 import generation_pb2, generation_pb2_grpc
from lepton_worker.engine.worker import Worker
from lepton_worker.errors import Violation
from lepton_worker.model import Model
from lepton_worker.request import GenerateJob, Task, Tokens
from lepton_worker.serving import convert
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
from lepton_worker.tasks import chat as chats
from lepton_worker.tasks.generate import AskedSampling, answers, generate_job
from lepton_worker.tasks.prepare import complaint, given_tokens
from lepton_worker.tasks.reply import Reply, markers_of
from lepton_worker.tasks.tools import CallReader, format_of

PAUSE_SECONDS = 0.01
"""After a delta. Tokens that come meanwhile go out as one: a message costs as much as many."""

ID_LETTERS = 9
"""Of a call of a tool: Mistral's templates take ids of exactly nine letters and digits."""

Events = AsyncGenerator[generation_pb2.GenerateEvent, None]


class GenerationServicer(generation_pb2_grpc.GenerationServicer):
    """Streams what the model writes."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def Generate(self, request: generation_pb2.GenerateRequest, context: Context) -> Events:
        """Accepted, deltas, finish."""
        with seated(self._worker, Task.GENERATE, request.meta, context, "Generate") as seat:
            asked = await _asked(request.sampling)
            prompt = await self._prompt(seat, request)
            job = generate_job(seat.model, prompt, asked, request.WhichOneof("input") or "input")
            async with contextlib.aclosing(self._written(seat, answers(job, asked.n))) as events:
                async for event in events:
                    yield event

    async def Chat(self, request: generation_pb2.ChatRequest, context: Context) -> Events:
        """The same, for messages behind the model's own template."""
        with seated(self._worker, Task.GENERATE, request.meta, context, "Chat") as seat:
            asked = await _asked(request.sampling)
            chat = asked_chat(request)
            prompt = await self._chat_prompt(seat, chat)
            jobs = answers(generate_job(seat.model, prompt, asked, "messages"), asked.n)
            async with contextlib.aclosing(self._written(seat, jobs, chat.tools)) as events:
                async for event in events:
                    yield event

    async def _written(
        self, seat: Seat, jobs: Sequence[GenerateJob], tools: Sequence[chats.Tool] = ()
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
            Incoming(stream, reply_to(job, seat.model, tools), PAUSE_SECONDS)
            for stream, job in zip(streams, jobs, strict=True)
        ]
        async with contextlib.aclosing(merged(replies)) as news:
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

    async def _chat_prompt(self, seat: Seat, chat: chats.Chat) -> Tokens:
        """The rendered chat, made beside the event loop: long ones take a while."""
        return await asyncio.to_thread(chats.chat_tokens, seat.model, chat, "messages")


async def _asked(message: generation_pb2.Sampling) -> AskedSampling:
    """Sampling as asked for, with a constraint that can be kept; raises InvalidRequest."""
    asked = asked_sampling(message)
    if asked.constraint is not None:
        # Imported when first needed: the grammars' library is large.
        from lepton_worker.backends.sampling.constraints import check

        await asyncio.to_thread(check, asked.constraint)
    return asked


def reply_to(job: GenerateJob, model: Model, tools: Sequence[chats.Tool]) -> Reply:
    """How one reply is read: with an eye on calls where tools were given."""
    if not tools:
        return Reply(job, model)
    how = format_of(model.chat_template)
    reader = CallReader(how, [tool.name for tool in tools])
    return Reply(job, model, reader, markers_of(model, how), _new_id)


def _new_id() -> str:
    return uuid.uuid4().hex[:ID_LETTERS]
