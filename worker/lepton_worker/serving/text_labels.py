"""Calls that a model with a head for whole texts answers: Classify, Sentiment, ClassifyZeroShot."""

from collections.abc import Sequence
from dataclasses import replace

from lepton.v1 import text_pb2
from lepton_worker.engine.worker import Worker
from lepton_worker.errors import Violation
from lepton_worker.model import Model
from lepton_worker.request import Vector
from lepton_worker.serving import convert, text_messages
from lepton_worker.serving.calls import Context
from lepton_worker.serving.text_run import MOST_ROWS, Outcome, beside, open_call
from lepton_worker.tasks import sentiment, zero_shot
from lepton_worker.tasks.classify import best, scores
from lepton_worker.tasks.reading import (
    Overflow,
    Reading,
    Shape,
    empty,
    fit,
    plain,
    read_pairs,
    read_texts,
    uncut,
)
from lepton_worker.tasks.windows import mean

MOST_LABELS = 100


async def classify(
    worker: Worker, request: text_pb2.ClassifyRequest, context: Context
) -> text_pb2.ClassifyResponse:
    """Labels with their scores."""
    with open_call(worker, "Classify", request.meta, context) as call:
        size = text_messages.labels_bytes(call.model)
        convert.raise_for(
            [
                *text_messages.whole_inputs(request.inputs, request.overflow, size),
                *text_messages.between("top_k", request.top_k, 0),
                *_pair_violations(request),
            ]
        )
        overflow = text_messages.OVERFLOWS[request.overflow]
        if request.pairs:
            pairs = list(zip(request.inputs, request.pairs, strict=True))
            readings = await beside(read_pairs, call.model, pairs, overflow, ("inputs", "pairs"))
        else:
            readings = await beside(read_texts, call.model, request.inputs, overflow, "inputs")
        ran = await call.run(readings)
        return text_pb2.ClassifyResponse(
            results=[_classification(item, call.model, request) for item in ran.outcomes],
            usage=ran.usage,
            timing=ran.timing,
        )


def _pair_violations(request: text_pb2.ClassifyRequest) -> list[Violation]:
    if request.pairs and len(request.pairs) != len(request.inputs):
        text = f"must be as many as inputs ({len(request.inputs)}), not {len(request.pairs)}"
        return [Violation("pairs", text)]
    return [
        Violation(f"pairs[{index}]", "must not be empty")
        for index, text in enumerate(request.pairs)
        if not text
    ]


def _classification(
    item: Outcome, model: Model, request: text_pb2.ClassifyRequest
) -> text_pb2.Classification:
    if item.error is not None:
        return text_pb2.Classification(error=item.status)
    found = item.mean(lambda logits: scores(logits, model.scoring))
    return text_pb2.Classification(
        labels=text_messages.labels(best(found, model.labels, request.top_k)),
        truncated=item.reading.truncated,
        logits=item.mean().tolist() if request.logits else (),
        windows=item.reading.shown_windows,
    )


async def rate_sentiment(
    worker: Worker, request: text_pb2.SentimentRequest, context: Context
) -> text_pb2.SentimentResponse:
    """Labels brought to positive, neutral and negative."""
    with open_call(worker, "Sentiment", request.meta, context) as call:
        convert.raise_for(
            [
                *text_messages.counted(request.inputs, "inputs"),
                *convert.overflow_violations(request.overflow),
            ]
        )
        overflow = text_messages.OVERFLOWS[request.overflow]
        readings = await beside(read_texts, call.model, request.inputs, overflow, "inputs")
        ran = await call.run(readings)
        return text_pb2.SentimentResponse(
            results=[_sentiment(item, call.model) for item in ran.outcomes],
            usage=ran.usage,
            timing=ran.timing,
        )


def _sentiment(item: Outcome, model: Model) -> text_pb2.SentimentResult:
    if item.error is not None:
        return text_pb2.SentimentResult(error=item.status)
    places = sentiment.scale(model.labels)
    assert places is not None, "the call is offered only for labels that have places"
    mood = sentiment.mood(item.mean(lambda logits: scores(logits, model.scoring)), places)
    return text_pb2.SentimentResult(
        positive=mood.positive,
        neutral=mood.neutral,
        negative=mood.negative,
        polarity=mood.polarity,
        truncated=item.reading.truncated,
        windows=item.reading.shown_windows,
    )


async def classify_zero_shot(
    worker: Worker, request: text_pb2.ClassifyZeroShotRequest, context: Context
) -> text_pb2.ClassifyZeroShotResponse:
    """Labels that the caller makes up."""
    with open_call(worker, "ClassifyZeroShot", request.meta, context) as call:
        convert.raise_for(_zero_shot_violations(request))
        overflow = text_messages.OVERFLOWS[request.overflow]
        sentences = zero_shot.hypotheses(request.hypothesis, request.labels)
        groups = await beside(_hypothetical, call.model, request.inputs, sentences, overflow)
        ran = await call.run([reading for group in groups for reading in group])
        rest = iter(ran.outcomes)
        parts = [[next(rest) for _ in group] for group in groups]
        return text_pb2.ClassifyZeroShotResponse(
            results=[_zero_shot(part, call.model, request) for part in parts],
            usage=ran.usage,
            timing=ran.timing,
        )


def _zero_shot_violations(request: text_pb2.ClassifyZeroShotRequest) -> list[Violation]:
    found = [
        *text_messages.counted(request.inputs, "inputs"),
        *text_messages.counted(request.labels, "labels", MOST_LABELS),
        *convert.overflow_violations(request.overflow),
    ]
    pairs = len(request.inputs) * len(request.labels)
    if not found and pairs > MOST_ROWS:
        text = f"make {pairs} pairs with the inputs, more than {MOST_ROWS} in a call"
        found.append(Violation("labels", text))
    for index, label in enumerate(request.labels[:MOST_LABELS]):
        if not label or label in request.labels[:index]:
            text = "must not be empty" if not label else f"is {label!r} a second time"
            found.append(Violation(f"labels[{index}]", text))
    if request.hypothesis and zero_shot.PLACE not in request.hypothesis:
        found.append(Violation("hypothesis", "must contain {}, where the label goes"))
    return found


def _hypothetical(
    model: Model, inputs: Sequence[str], sentences: Sequence[str], overflow: Overflow
) -> list[list[Reading]]:
    """For each input one reading a hypothesis, all cut at the same places; or one with an error."""
    hypotheses = plain(model, sentences, Overflow.REJECT)
    wrong = next(
        (
            error
            for index, part in enumerate(hypotheses)
            if (error := uncut(model, part, f"labels[{index}]"))
        ),
        None,
    )
    if wrong is not None:
        raise wrong
    longest = max(len(part.ids) for part in hypotheses)
    shape = Shape(model, model.tokenizer.frame(pair=True), overflow, reserved=longest)
    groups = []
    for index, (text, part) in enumerate(zip(inputs, plain(model, inputs, overflow), strict=True)):
        field = f"inputs[{index}]"
        if not text:
            groups.append([empty(field)])
            continue
        group = [fit(replace(shape, other=other.ids), part, field) for other in hypotheses]
        failed = [reading for reading in group if reading.error is not None]
        groups.append(failed[:1] or group)
    return groups


def _zero_shot(
    items: Sequence[Outcome], model: Model, request: text_pb2.ClassifyZeroShotRequest
) -> text_pb2.Classification:
    failed = next((item for item in items if item.error is not None), None)
    if failed is not None:
        return text_pb2.Classification(error=failed.status)
    first = items[0].reading
    found = mean(
        [_window(items, number, model, request) for number in range(len(first.windows))],
        first.windows,
    )
    return text_pb2.Classification(
        labels=text_messages.labels(best(found, tuple(request.labels), 0)),
        truncated=any(item.reading.truncated for item in items),
        logits=(),
        windows=first.shown_windows,
    )


def _window(
    items: Sequence[Outcome],
    number: int,
    model: Model,
    request: text_pb2.ClassifyZeroShotRequest,
) -> Vector:
    """The labels' probabilities by one window of a text."""
    assert model.entailment is not None, "the call is offered only for models that have it"
    against = zero_shot.contradiction(model.labels, model.entailment)
    logits = [item.vectors[number] for item in items]
    return zero_shot.probabilities(logits, model.entailment, against, request.multi_label)
