"""Requests to models that generate: the whole texts, or the texts as they grow."""

import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass

from lepton_worker.engine.worker import Worker
from lepton_worker.errors import InvalidRequest, RequestError, Violation
from lepton_worker.request import Delta, GenerateJob, Tokens
from lepton_worker.serving.answering import reply_to
from lepton_worker.serving.desk import Seat
from lepton_worker.serving.generation import PAUSE_SECONDS
from lepton_worker.serving.inference.answer import Answer, Spent, at_index
from lepton_worker.serving.inference.parameters import Parameters, renamed, sampling
from lepton_worker.serving.inference.reading import IDS, TEXT, one_kind, token_rows
from lepton_worker.serving.inference.tensors import Tensor, Values, texts
from lepton_worker.serving.replies import Incoming, merged
from lepton_worker.serving.text_run import beside
from lepton_worker.tasks.generate import AskedSampling, generate_job
from lepton_worker.tasks.prepare import complaint
from lepton_worker.tasks.reply import Ending

MOST_PROMPTS = 256
"""In one request: each answer of a stream has a row for every one of them."""

NANOSECONDS = 1e9


@dataclass
class Numbered(Incoming):
    """A reply that says of which prompt it is when it fails."""

    name: str = ""
    index: int = 0

    async def next(self) -> tuple[Delta, Ending | None]:
        """What is new; see Incoming."""
        try:
            return await super().next()
        except RequestError as error:
            raise at_index(error, self.name, self.index) from error


@dataclass(frozen=True)
class Order:
    """Prompts of a request, each as a job; `name` is how the caller called them."""

    name: str
    jobs: tuple[GenerateJob, ...]


async def prepare(
    worker: Worker, seat: Seat, tensors: Mapping[str, Tensor], parameters: Parameters
) -> Order:
    """The prompts of a request as jobs; raises InvalidRequest."""
    asked = sampling(parameters)
    kind = one_kind(tensors)
    name = tensors[kind].sent_as
    if kind == IDS:
        prompts = await beside(token_rows, seat.model, tensors)
    else:
        prompts = await _tokens(worker, seat, name, texts(tensors[TEXT]))
    jobs = tuple(
        _job(seat, prompt, asked, f"{name}[{index}]", parameters)
        for index, prompt in enumerate(prompts)
    )
    worker.metrics.prompt_tokens.inc(sum(len(job.prompt) for job in jobs))
    return Order(name, jobs)


async def _tokens(worker: Worker, seat: Seat, name: str, prompts: Sequence[str]) -> list[Tokens]:
    empty = [index for index, text in enumerate(prompts) if not text]
    if empty:
        text = "must not be empty"
        raise InvalidRequest([Violation(f"{name}[{index}]", text) for index in empty])
    found = await worker.tokenize(seat.model, prompts, False)
    for index, (text, result) in enumerate(zip(prompts, found, strict=True)):
        wrong = complaint(seat.model, text, result, f"{name}[{index}]")
        if wrong is not None:
            raise wrong
    return [result.tokens for result in found]


def _job(
    seat: Seat, prompt: Tokens, asked: AskedSampling, field: str, parameters: Parameters
) -> GenerateJob:
    try:
        return generate_job(seat.model, prompt, asked, field)
    except InvalidRequest as error:
        raise renamed(error, parameters.sampling_names()) from None


async def written(seat: Seat, order: Order) -> Answer:
    """The whole texts."""
    found = [""] * len(order.jobs)
    ends: dict[int, Ending] = {}
    async with contextlib.aclosing(merged(_replies(seat, order, 0.0))) as news:
        async for index, delta, end in news:
            found[index] += delta.text
            if end is not None:
                ends[index] = end
    return _answer(found, ends)


async def growing(seat: Seat, order: Order) -> AsyncGenerator[tuple[Answer, bool], None]:
    """What is new of the texts, each time in a row for every prompt; the last one says True."""
    ends: dict[int, Ending] = {}
    async with contextlib.aclosing(merged(_replies(seat, order, PAUSE_SECONDS))) as news:
        async for index, delta, end in news:
            if end is not None:
                ends[index] = end
            last = len(ends) == len(order.jobs)
            if delta.text or end is not None:
                rows = [""] * len(order.jobs)
                rows[index] = delta.text
                new = ends if last else {index: end} if end is not None else {}
                yield _answer(rows, new), last


def _replies(seat: Seat, order: Order, pause: float) -> list[Numbered]:
    return [
        Numbered(
            seat.generate(job),
            reply_to(job, seat.model),
            pause,
            name=order.name,
            index=index,
        )
        for index, job in enumerate(order.jobs)
    ]


def _answer(found: Sequence[str], ends: Mapping[int, Ending]) -> Answer:
    """Texts with the reasons for which they ended, empty for those that go on.

    What they cost is told once all have ended.
    """
    reasons = [
        ends[index].finish.reason.value.encode() if index in ends else b""
        for index in range(len(found))
    ]
    outputs: dict[str, Values] = {
        "text_output": [text.encode() for text in found],
        "finish_reason": reasons,
    }
    if len(ends) < len(found):
        return Answer(len(found), outputs)
    finished = [end.finish for end in ends.values()]
    return Answer(
        len(found),
        outputs,
        {
            "prompt_tokens": sum(item.prompt_tokens for item in finished),
            "output_tokens": sum(item.output_tokens for item in finished),
        },
        Spent(
            max(round(item.timing.queue * NANOSECONDS) for item in finished),
            max(round(item.timing.total * NANOSECONDS) for item in finished),
        ),
    )
