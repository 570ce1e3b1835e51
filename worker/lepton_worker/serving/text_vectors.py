"""Calls that vectors of texts answer: Embed, Rerank (also by cross-encoders), Keywords."""

from collections.abc import Sequence
from dataclasses import replace

from lepton.v1 import text_pb2
from lepton_worker.engine.worker import Worker
from lepton_worker.errors import Violation
from lepton_worker.model import Model
from lepton_worker.request import Task, Vector
from lepton_worker.serving import convert, text_messages
from lepton_worker.serving.calls import Context
from lepton_worker.serving.text_run import OpenCall, Outcome, Ran, beside, open_call
from lepton_worker.tasks import keywords, rerank
from lepton_worker.tasks.classify import scores
from lepton_worker.tasks.embed import cut, scaled
from lepton_worker.tasks.reading import (
    Overflow,
    Reading,
    Shape,
    empty,
    fit,
    plain,
    read_text,
    read_texts,
    uncut,
)


async def embed(
    worker: Worker, request: text_pb2.EmbedRequest, context: Context
) -> text_pb2.EmbedResponse:
    """One vector a text."""
    with open_call(worker, "Embed", request.meta, context) as call:
        model = call.model
        convert.raise_for(
            [
                *text_messages.whole_inputs(request.inputs, request.overflow, 4 * model.dimensions),
                *_shape_violations(request, model),
            ]
        )
        overflow = text_messages.OVERFLOWS[request.overflow]
        prefix = model.prompts.get(request.prompt, "")
        readings = await beside(read_texts, model, request.inputs, overflow, "inputs", prefix)
        ran = await call.run(readings)
        dimensions = request.dimensions if request.HasField("dimensions") else model.dimensions
        normalize = request.normalize if request.HasField("normalize") else model.normalize
        return text_pb2.EmbedResponse(
            results=[_embedding(item, dimensions, normalize) for item in ran.outcomes],
            dimensions=dimensions,
            usage=ran.usage,
            timing=ran.timing,
        )


def _shape_violations(request: text_pb2.EmbedRequest, model: Model) -> list[Violation]:
    found = []
    if request.HasField("dimensions"):
        found += text_messages.between("dimensions", request.dimensions, 1, model.dimensions)
    if request.prompt and request.prompt not in model.prompts:
        names = ", ".join(sorted(name for name in model.prompts if name)) or "none"
        found.append(Violation("prompt", f"is none that the model declares; those are: {names}"))
    return found


def _embedding(item: Outcome, dimensions: int, normalize: bool) -> text_pb2.Embedding:
    if item.error is not None:
        return text_pb2.Embedding(error=item.status)
    return text_pb2.Embedding(
        values=scaled(cut(item.mean(), dimensions), normalize).astype("<f4").tobytes(),
        truncated=item.reading.truncated,
        windows=item.reading.shown_windows,
    )


async def rank(
    worker: Worker, request: text_pb2.RerankRequest, context: Context
) -> text_pb2.RerankResponse:
    """Documents by their relevance to a query."""
    with open_call(worker, "Rerank", request.meta, context) as call:
        missing = [] if request.query else [Violation("query", "must not be empty")]
        convert.raise_for(
            [
                *missing,
                *text_messages.counted(request.documents, "documents"),
                *text_messages.between("top_n", request.top_n, 0),
                *convert.overflow_violations(request.overflow),
            ]
        )
        overflow = text_messages.OVERFLOWS[request.overflow]
        rank_by = _by_pairs if call.task is Task.CLASSIFY else _by_vectors
        ran, values = await rank_by(call, request, overflow)
        order = rerank.order(values, request.top_n)
        return text_pb2.RerankResponse(
            results=[
                _ranked(place, ran.outcomes[place], values[place], request) for place in order
            ],
            usage=ran.usage,
            timing=ran.timing,
        )


async def _by_pairs(
    call: OpenCall, request: text_pb2.RerankRequest, overflow: Overflow
) -> tuple[Ran, list[float | None]]:
    readings = await beside(_asked_of, call.model, request.query, request.documents, overflow)
    ran = await call.run(readings, "documents")
    return ran, [
        None if item.error else float(item.mean(lambda logits: scores(logits, "sigmoid"))[0])
        for item in ran.outcomes
    ]


def _asked_of(
    model: Model, query: str, documents: Sequence[str], overflow: Overflow
) -> list[Reading]:
    """A query with each of the documents, which may be cut."""
    (first,) = plain(model, [query], Overflow.REJECT)
    if error := uncut(model, first, "query"):
        raise error
    frame = model.tokenizer.frame(pair=True)
    shape = Shape(model, frame, overflow, other=first.ids, long_second=True)
    return [
        fit(shape, part, f"documents[{index}]") if text else empty(f"documents[{index}]")
        for index, (text, part) in enumerate(
            zip(documents, plain(model, documents, overflow), strict=True)
        )
    ]


async def _by_vectors(
    call: OpenCall, request: text_pb2.RerankRequest, overflow: Overflow
) -> tuple[Ran, list[float | None]]:
    model = call.model
    before = rerank.prompt(model.prompts, rerank.QUERY_PROMPTS)
    query = await beside(read_text, model, before + request.query, overflow, "query")
    if query.error is not None:
        raise query.error
    before = rerank.prompt(model.prompts, rerank.DOCUMENT_PROMPTS)
    readings = await beside(read_texts, model, request.documents, overflow, "documents", before)
    ran = await call.run([query, *readings], "documents")
    first, *others = ran.outcomes
    if first.error is not None:
        raise first.error
    asked = first.mean()
    values = [None if item.error else rerank.cosine(asked, item.mean()) for item in others]
    return replace(ran, outcomes=others), values


def _ranked(
    place: int, item: Outcome, value: float | None, request: text_pb2.RerankRequest
) -> text_pb2.Ranked:
    return text_pb2.Ranked(
        index=place,
        score=value or 0.0,
        document=request.documents[place] if request.return_documents else "",
        truncated=item.reading.truncated,
        error=item.status,
    )


async def find_keywords(
    worker: Worker, request: text_pb2.KeywordsRequest, context: Context
) -> text_pb2.KeywordsResponse:
    """The words that say most about each text."""
    with open_call(worker, "Keywords", request.meta, context) as call:
        convert.raise_for(_keyword_violations(request))
        overflow = text_messages.OVERFLOWS[request.overflow]
        groups, found = await beside(_candidates, call.model, request, overflow)
        ran = await call.run([reading for group in groups for reading in group])
        rest = iter(ran.outcomes)
        parts = [[next(rest) for _ in group] for group in groups]
        results = await beside(_keyword_lists, parts, found, request)
        return text_pb2.KeywordsResponse(results=results, usage=ran.usage, timing=ran.timing)


def _keyword_violations(request: text_pb2.KeywordsRequest) -> list[Violation]:
    diversity = request.diversity if request.HasField("diversity") else keywords.DIVERSITY
    return [
        *text_messages.counted(request.inputs, "inputs"),
        *text_messages.between("top_k", request.top_k, 0, keywords.MOST_CANDIDATES),
        *text_messages.between("max_words", request.max_words, 0, keywords.MOST_WORDS),
        *text_messages.between("diversity", diversity, 0, 1),
        *convert.overflow_violations(request.overflow),
    ]


def _candidates(
    model: Model, request: text_pb2.KeywordsRequest, overflow: Overflow
) -> tuple[list[list[Reading]], list[list[keywords.Candidate]]]:
    """For each input its own reading and those of its candidates."""
    prefix = model.prompts.get("", "")
    wholes = read_texts(model, request.inputs, overflow, "inputs", prefix)
    found = [
        [] if whole.error else keywords.candidates(text, request.max_words or keywords.MAX_WORDS)
        for text, whole in zip(request.inputs, wholes, strict=True)
    ]
    groups = [
        [
            whole,
            *read_texts(model, [item.text for item in items], Overflow.TRUNCATE, "inputs", prefix),
        ]
        for whole, items in zip(wholes, found, strict=True)
    ]
    return groups, found


def _keyword_lists(
    parts: Sequence[Sequence[Outcome]],
    found: Sequence[Sequence[keywords.Candidate]],
    request: text_pb2.KeywordsRequest,
) -> list[text_pb2.KeywordList]:
    return [
        _keyword_list(part[0], part[1:], items, request)
        for part, items in zip(parts, found, strict=True)
    ]


def _keyword_list(
    whole: Outcome,
    others: Sequence[Outcome],
    found: Sequence[keywords.Candidate],
    request: text_pb2.KeywordsRequest,
) -> text_pb2.KeywordList:
    failed = next((item for item in (whole, *others) if item.error is not None), None)
    if failed is not None:
        return text_pb2.KeywordList(error=failed.status)
    diversity = request.diversity if request.HasField("diversity") else keywords.DIVERSITY
    vectors: list[Vector] = [item.mean() for item in others]
    top_k = request.top_k or keywords.TOP_K
    chosen = keywords.choose(whole.mean(), vectors, top_k, diversity)
    return text_pb2.KeywordList(
        keywords=[
            text_pb2.Keyword(
                text=found[place].text,
                score=score,
                start=found[place].start,
                end=found[place].end,
            )
            for place, score in chosen
        ],
        truncated=whole.reading.truncated,
        windows=whole.reading.shown_windows,
    )
