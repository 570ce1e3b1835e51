"""Calls that point at places in a text: Tag and Answer."""

from collections.abc import Sequence

from lepton.v1 import text_pb2
from lepton_worker.engine.worker import Worker
from lepton_worker.errors import Violation
from lepton_worker.model import Model
from lepton_worker.serving import convert, text_messages
from lepton_worker.serving.calls import Context
from lepton_worker.serving.text_run import Outcome, beside, open_call
from lepton_worker.tasks.answer import DEFAULT_TOKENS, Asked, answers, read_questions
from lepton_worker.tasks.reading import read_places
from lepton_worker.tasks.tag import OUTSIDE, spans
from lepton_worker.tasks.windows import rows

MOST_ANSWERS = 100


async def tag(
    worker: Worker, request: text_pb2.TagRequest, context: Context
) -> text_pb2.TagResponse:
    """Spans with labels."""
    with open_call(worker, "Tag", request.meta, context) as call:
        convert.raise_for(
            [
                *text_messages.counted(request.inputs, "inputs"),
                *text_messages.known(
                    "aggregation", request.aggregation, text_messages.AGGREGATIONS
                ),
                *convert.overflow_violations(request.overflow),
            ]
        )
        overflow = text_messages.OVERFLOWS[request.overflow]
        readings = await beside(read_places, call.model, request.inputs, overflow, "inputs")
        ran = await call.run(readings)
        results = await beside(_taggings, ran.outcomes, call.model, request)
        return text_pb2.TagResponse(results=results, usage=ran.usage, timing=ran.timing)


def _taggings(
    outcomes: Sequence[Outcome], model: Model, request: text_pb2.TagRequest
) -> list[text_pb2.Tagging]:
    pairs = zip(request.inputs, outcomes, strict=True)
    return [_tagging(text, item, model, request) for text, item in pairs]


def _tagging(
    text: str, item: Outcome, model: Model, request: text_pb2.TagRequest
) -> text_pb2.Tagging:
    if item.error is not None:
        return text_pb2.Tagging(error=item.status)
    assert item.reading.pieces is not None, "read with places"
    found = spans(
        text,
        item.reading.pieces,
        rows(item.vectors, item.reading.windows),
        model.labels,
        text_messages.AGGREGATIONS[request.aggregation],
        frozenset(request.ignore) or OUTSIDE,
    )
    return text_pb2.Tagging(
        spans=[text_messages.span(text, one) for one in found],
        truncated=item.reading.truncated,
        windows=item.reading.shown_windows,
    )


async def answer(
    worker: Worker, request: text_pb2.AnswerRequest, context: Context
) -> text_pb2.AnswerResponse:
    """The spans of each context that answer its question."""
    with open_call(worker, "Answer", request.meta, context) as call:
        convert.raise_for(_answer_violations(request))
        pairs = [(item.question, item.context) for item in request.questions]
        readings = await beside(read_questions, call.model, pairs, "questions")
        ran = await call.run(readings, "questions")
        results = await beside(_answered, ran.outcomes, call.model, request)
        return text_pb2.AnswerResponse(results=results, usage=ran.usage, timing=ran.timing)


def _answer_violations(request: text_pb2.AnswerRequest) -> list[Violation]:
    return [
        *text_messages.counted(request.questions, "questions"),
        *text_messages.between("top_k", request.top_k, 0, MOST_ANSWERS),
        *text_messages.between("max_answer_tokens", request.max_answer_tokens, 0),
    ]


def _answered(
    outcomes: Sequence[Outcome], model: Model, request: text_pb2.AnswerRequest
) -> list[text_pb2.Answers]:
    asked = Asked(
        top_k=request.top_k or 1,
        longest=request.max_answer_tokens or DEFAULT_TOKENS,
        may_be_none=request.may_be_unanswerable,
        marked=bool(model.tokenizer.frame(pair=True).front),
    )
    pairs = zip(request.questions, outcomes, strict=True)
    return [_one(item.context, outcome, asked) for item, outcome in pairs]


def _one(context: str, item: Outcome, asked: Asked) -> text_pb2.Answers:
    if item.error is not None:
        return text_pb2.Answers(error=item.status)
    assert item.reading.pieces is not None, "read with places"
    found = answers(context, item.reading.pieces, item.reading.windows, item.vectors, asked)
    return text_pb2.Answers(
        answers=[text_messages.span(context, one) for one in found],
        windows=item.reading.shown_windows,
    )
