"""Requests to models that read whole texts: classify, embed, tag, answer."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from lepton_worker.errors import InvalidRequest, Violation
from lepton_worker.model import Model
from lepton_worker.request import Task
from lepton_worker.serving import text_messages
from lepton_worker.serving.inference import reading
from lepton_worker.serving.inference.answer import Answer, Spent, raise_first
from lepton_worker.serving.inference.parameters import Reads
from lepton_worker.serving.inference.tensors import Tensor, Values, texts
from lepton_worker.serving.text_run import OpenCall, Outcome, Ran, beside
from lepton_worker.tasks.answer import DEFAULT_TOKENS, Asked, answers, read_questions
from lepton_worker.tasks.classify import best, scores
from lepton_worker.tasks.embed import cut, scaled
from lepton_worker.tasks.reading import read_places
from lepton_worker.tasks.tag import spans
from lepton_worker.tasks.windows import rows

Tensors: TypeAlias = Mapping[str, Tensor]


async def encode(call: OpenCall, tensors: Tensors, asked: Reads) -> Answer:
    """The answer by the model's task; raises the error of the first row that has one."""
    return await _BY_TASK[call.task](call, tensors, asked)


async def _classify(call: OpenCall, tensors: Tensors, asked: Reads) -> Answer:
    model = call.model
    name, ran = await _read_and_run(call, tensors, asked, text_messages.labels_bytes(model))
    raise_first(name, [item.error for item in ran.outcomes])
    found = [item.mean(lambda logits: scores(logits, model.scoring)) for item in ran.outcomes]
    chosen = [best(values, model.labels, 1)[0] for values in found]
    return _answer(
        ran,
        {
            "label": [label.encode() for label, _ in chosen],
            "score": np.array([score for _, score in chosen], "<f4"),
            "probabilities": np.stack(found),
            "logits": np.stack([item.mean() for item in ran.outcomes]),
        },
    )


async def _embed(call: OpenCall, tensors: Tensors, asked: Reads) -> Answer:
    model = call.model
    prefix = model.prompts.get(asked.prompt, "")
    name, ran = await _read_and_run(call, tensors, asked, 4 * model.dimensions, prefix)
    raise_first(name, [item.error for item in ran.outcomes])
    size = asked.dimensions or model.dimensions
    normalize = model.normalize if asked.normalize is None else asked.normalize
    vectors = [scaled(cut(item.mean(), size), normalize) for item in ran.outcomes]
    return _answer(ran, {"embedding": np.stack(vectors)})


async def _read_and_run(
    call: OpenCall, tensors: Tensors, asked: Reads, answer_bytes: int, prefix: str = ""
) -> tuple[str, Ran]:
    """Texts, pairs or tokens, read and run; with what the caller called them."""
    first = tensors[reading.one_kind(tensors)]
    wrong = text_messages.sizes(first.shape[0], answer_bytes)
    if wrong:
        raise InvalidRequest([Violation(first.sent_as, item.description) for item in wrong])
    found = await beside(reading.read, call.model, tensors, asked.overflow, prefix)
    return first.sent_as, await call.run(found, first.sent_as)


async def _tag(call: OpenCall, tensors: Tensors, asked: Reads) -> Answer:
    sent = _required(tensors, "text")
    inputs = texts(sent)
    found = await beside(read_places, call.model, inputs, asked.overflow, sent.sent_as)
    ran = await call.run(found, sent.sent_as)
    raise_first(sent.sent_as, [item.error for item in ran.outcomes])
    entities = await beside(_entities, call.model, inputs, ran.outcomes, asked)
    return _answer(ran, {"entities": entities})


def _entities(
    model: Model, inputs: Sequence[str], outcomes: Sequence[Outcome], asked: Reads
) -> list[bytes]:
    """For each text its labelled spans, as a list in JSON."""
    written = []
    for text, item in zip(inputs, outcomes, strict=True):
        assert item.reading.pieces is not None, "read with places"
        logits = rows(item.vectors, item.reading.windows)
        found = spans(text, item.reading.pieces, logits, model.labels, asked.aggregation)
        shown: list[dict[str, Any]] = [
            {
                "start": one.start,
                "end": one.end,
                "label": one.label,
                "score": one.score,
                "text": text[one.start : one.end],
            }
            for one in found
        ]
        written.append(json.dumps(shown, ensure_ascii=False).encode())
    return written


async def _answer_questions(call: OpenCall, tensors: Tensors, asked: Reads) -> Answer:
    question, context = _required(tensors, "question"), _required(tensors, "context")
    reading.same_rows(question, context)
    pairs = list(zip(texts(question), texts(context), strict=True))
    found = await beside(read_questions, call.model, pairs, "rows")
    ran = await call.run(found, "question")
    raise_first("question", [item.error for item in ran.outcomes])
    best_ones = await beside(_best_answers, call.model, pairs, ran.outcomes, asked)
    return _answer(
        ran,
        {
            "answer": [text.encode() for text, _ in best_ones],
            "score": np.array([score for _, score in best_ones], "<f4"),
        },
    )


def _best_answers(
    model: Model,
    pairs: Sequence[tuple[str, str]],
    outcomes: Sequence[Outcome],
    asked: Reads,
) -> list[tuple[str, float]]:
    marked = bool(model.tokenizer.frame(pair=True).front)
    wanted = Asked(longest=asked.longest or DEFAULT_TOKENS, marked=marked)
    written = []
    for (_, context), item in zip(pairs, outcomes, strict=True):
        assert item.reading.pieces is not None, "read with places"
        found = answers(context, item.reading.pieces, item.reading.windows, item.vectors, wanted)
        written.append(
            (context[found[0].start : found[0].end], found[0].score) if found else ("", 0.0)
        )
    return written


def _required(tensors: Tensors, name: str) -> Tensor:
    if name not in tensors:
        raise InvalidRequest([Violation("inputs", f"must have {name}")])
    return tensors[name]


def _answer(ran: Ran, outputs: dict[str, Values]) -> Answer:
    timing = ran.timing
    return Answer(
        len(ran.outcomes),
        outputs,
        {"prompt_tokens": ran.usage.prompt_tokens},
        Spent(timing.queue.ToNanoseconds(), timing.total.ToNanoseconds()),
    )


_BY_TASK: dict[Task, Callable[[OpenCall, Tensors, Reads], Awaitable[Answer]]] = {
    Task.CLASSIFY: _classify,
    Task.EMBED: _embed,
    Task.TAG: _tag,
    Task.ANSWER: _answer_questions,
}
