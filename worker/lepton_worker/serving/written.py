"""The calls of Text that need a model which generates: Summarise, Translate, Score."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from lepton.v1 import common_pb2, text_pb2
from lepton_worker.engine.worker import Worker
from lepton_worker.errors import (
    Draining,
    InvalidRequest,
    OutOfMemory,
    RequestError,
    TaskNotServed,
    Violation,
)
from lepton_worker.model import Model
from lepton_worker.request import Finish, FinishReason, Task, Timing
from lepton_worker.serving import convert
from lepton_worker.serving.calls import Context
from lepton_worker.serving.desk import Seat, seated
from lepton_worker.serving.generation_messages import TokenTexts
from lepton_worker.serving.options import MESSAGE_BYTES
from lepton_worker.serving.replies import Incoming
from lepton_worker.serving.status import status_of
from lepton_worker.tasks.reply import Reply
from lepton_worker.tasks.written import (
    Length,
    Order,
    Prepared,
    part_jobs,
    score,
    scored_job,
    searched,
    summary,
    translation,
    written_job,
)

TOKEN_BYTES = 28
"""What a scored token takes in a message, without its text."""

T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """One part of an input as it was answered; most inputs have one."""

    prepared: Prepared
    text: str
    finish: Finish


Done: TypeAlias = "list[Part] | RequestError"
"""One input as it was answered, or why it was not."""


class WrittenCalls:
    """Answers that are generated; the servicer of Text inherits them."""

    _worker: Worker

    async def Summarise(
        self, request: text_pb2.SummariseRequest, context: Context
    ) -> text_pb2.SummariseResponse:
        """A shorter text for each input."""
        with seated(self._worker, Task.GENERATE, request.meta, context, "Summarise") as seat:
            wrong = _violations(request, "min_tokens", "max_tokens")
            if 0 < request.max_tokens < request.min_tokens:
                wrong.append(Violation("min_tokens", "must be at most max_tokens"))
            convert.raise_for(wrong)
            order = summary(seat.model, request.max_tokens)
            order = searched(seat.model, order, request.num_beams)
            length = Length(request.max_tokens, request.min_tokens)
            done = await self._write(seat, order, length, request)
            return text_pb2.SummariseResponse(
                results=[_written(item) for item in done], usage=_usage(done), timing=_timing(done)
            )

    async def Translate(
        self, request: text_pb2.TranslateRequest, context: Context
    ) -> text_pb2.TranslateResponse:
        """Each input in another language."""
        with seated(self._worker, Task.GENERATE, request.meta, context, "Translate") as seat:
            convert.raise_for(_violations(request, "max_tokens"))
            order = translation(seat.model, request.source_language, request.target_language)
            order = searched(seat.model, order, request.num_beams)
            done = await self._write(seat, order, Length(request.max_tokens), request)
            return text_pb2.TranslateResponse(
                results=[_written(item) for item in done], usage=_usage(done), timing=_timing(done)
            )

    async def Score(
        self, request: text_pb2.ScoreRequest, context: Context
    ) -> text_pb2.ScoreResponse:
        """How probable each input is."""
        with seated(self._worker, Task.GENERATE, request.meta, context, "Score") as seat:
            wrong = _violations(request)
            if request.overflow == text_pb2.OVERFLOW_WINDOW:
                text = "is not read in windows by this call: reject or truncate"
                wrong.append(Violation("overflow", text))
            convert.raise_for(wrong)
            _check_scores(seat.model)

            def prepare(index: int) -> list[Prepared]:
                text, field = request.inputs[index], f"inputs[{index}]"
                return [scored_job(seat.model, text, _truncates(request.overflow), field)]

            done = await self._answers(seat, len(request.inputs), prepare)
            if request.tokens:
                convert.raise_for(_size_violations(request, done))
            texts = TokenTexts(seat.model.tokenizer)
            return text_pb2.ScoreResponse(
                results=[_scored(item, texts if request.tokens else None) for item in done],
                usage=_usage(done),
                timing=_timing(done),
            )

    async def _write(
        self,
        seat: Seat,
        order: Order,
        length: Length,
        request: text_pb2.SummariseRequest | text_pb2.TranslateRequest,
    ) -> list[Done]:
        def prepare(index: int) -> list[Prepared]:
            text, field = request.inputs[index], f"inputs[{index}]"
            if request.overflow == text_pb2.OVERFLOW_WINDOW:
                return part_jobs(seat.model, order, text, length, field)
            cut = _truncates(request.overflow)
            return [written_job(seat.model, order, text, length, cut, field)]

        return await self._answers(seat, len(request.inputs), prepare)

    async def _answers(
        self, seat: Seat, count: int, prepare: Callable[[int], list[Prepared]]
    ) -> list[Done]:
        """One answer for each input, as many at a time as the model writes at once.

        Inputs are prepared one by one and not far ahead: a long list leaves time to other calls.
        """
        slots = seat.model.slots
        taken, writing, preparing = map(asyncio.Semaphore, (2 * slots, slots, 1))

        async def part(prepared: Prepared) -> Part:
            async with writing:
                return await self._answer(seat, prepared)

        async def answer(index: int) -> Done:
            async with taken:
                try:
                    async with preparing:
                        prepared = await asyncio.to_thread(prepare, index)
                    return await _all([part(item) for item in prepared])
                except (InvalidRequest, OutOfMemory) as error:
                    return error

        return await _all([answer(index) for index in range(count)])

    async def _answer(self, seat: Seat, prepared: Prepared) -> Part:
        self._worker.metrics.prompt_tokens.inc(len(prepared.job.prompt))
        incoming = Incoming(seat.generate(prepared.job), Reply(prepared.job, seat.model))
        text, end = await incoming.whole()
        if end.finish.reason is FinishReason.DRAINED:
            raise Draining("the worker ended before it could answer", retry_after=1)
        return Part(prepared, text, end.finish)


async def _all(work: Sequence[Awaitable[T]]) -> list[T]:
    """All results, in order; the first error ends the others, and so does who asked."""
    tasks = [asyncio.ensure_future(item) for item in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


# ------------------------------------------------------------------ what comes in
Request = text_pb2.SummariseRequest | text_pb2.TranslateRequest | text_pb2.ScoreRequest


def _violations(request: Request, *lengths: str) -> list[Violation]:
    found = [
        *convert.input_violations(request.inputs),
        *convert.overflow_violations(request.overflow),
        *(
            Violation(name, "must be 0 (as usual) or greater")
            for name in lengths
            if getattr(request, name) < 0
        ),
    ]
    return found


def _truncates(overflow: int) -> bool:
    return overflow == text_pb2.OVERFLOW_TRUNCATE


def _check_scores(model: Model) -> None:
    if model.encoder_decoder:
        raise TaskNotServed(
            "Score needs a decoder; an encoder-decoder model knows the probability of an answer, "
            "not that of what it reads"
        )


def _size_violations(request: text_pb2.ScoreRequest, done: Sequence[Done]) -> list[Violation]:
    """Whether the answer fits into a message with every token; a byte of text may become three."""
    count = sum(len(part.prepared.job.prompt) for part in _parts(done))
    size = TOKEN_BYTES * count + 3 * sum(len(text.encode()) for text in request.inputs)
    if size <= MESSAGE_BYTES:
        return []
    text = f"of {count} tokens make an answer that is larger than a message may be; send fewer"
    return [Violation("inputs", text)]


# ------------------------------------------------------------------ what goes out
def _parts(done: Sequence[Done]) -> list[Part]:
    """All that was answered."""
    return [part for item in done if not isinstance(item, RequestError) for part in item]


def _written(item: Done) -> text_pb2.Written:
    if isinstance(item, RequestError):
        return text_pb2.Written(error=status_of(item))
    return text_pb2.Written(
        text="".join(part.text.strip() + part.prepared.behind for part in item).strip(),
        truncated=any(part.prepared.truncated for part in item),
        cut_short=any(part.finish.reason is FinishReason.LENGTH for part in item),
        windows=len(item) if len(item) > 1 else 0,
    )


def _scored(item: Done, texts: TokenTexts | None) -> text_pb2.Scored:
    if isinstance(item, RequestError):
        return text_pb2.Scored(error=status_of(item))
    (part,) = item
    known = part.finish.prompt_logprobs
    result = score(known)
    tokens = []
    if texts is not None:
        first, *others = part.prepared.job.prompt.ids
        tokens.append(text_pb2.ScoredToken(token_id=first, text=texts[first]))
        tokens += [
            text_pb2.ScoredToken(token_id=token, text=texts[token], logprob=logprob.logprob)
            for token, logprob in zip(others, known, strict=True)
        ]
    return text_pb2.Scored(
        logprob=result.logprob,
        perplexity=result.perplexity,
        tokens=tokens,
        truncated=part.prepared.truncated,
    )


def _usage(done: Sequence[Done]) -> common_pb2.Usage:
    ends = [part.finish for part in _parts(done)]
    return common_pb2.Usage(
        prompt_tokens=sum(end.prompt_tokens for end in ends),
        output_tokens=sum(end.output_tokens for end in ends),
        cached_tokens=sum(end.cached_tokens for end in ends),
    )


def _timing(done: Sequence[Done]) -> common_pb2.Timing:
    """Of a list: until its first input was taken up, its first token, its last end."""
    times = [part.finish.timing for part in _parts(done)]
    if not times:
        return convert.timing(Timing(0, 0, 0, 0))
    return convert.timing(
        Timing(
            queue=min(item.queue for item in times),
            first=min(item.first for item in times),
            total=max(item.total for item in times),
            batch_size=max(item.batch_size for item in times),
        )
    )
