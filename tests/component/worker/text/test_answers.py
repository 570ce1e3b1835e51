"""Answer over gRPC, held against every span that there is, by the model's own logits."""

import functools
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from lepton.v1 import text_pb2
from lepton_testing.heads import FAMILIES, LONGEST
from lepton_testing.hosted import Served
from lepton_worker.samples.sentences import SENTENCES

pytestmark = pytest.mark.component

CLOSE = 1e-5
QUESTION = "Who left?"
CONTEXTS = [
    SENTENCES[0],
    SENTENCES[27],
    SENTENCES[33],
    "Zoe\u0308 🎉 left at 3.14 in İstanbul",
    "She left. 👩‍👩‍👧 stayed",
]
Serving = Callable[..., Served]
Span = tuple[int, int]


@functools.cache
def loaded(folder: Path) -> tuple[Any, Any]:
    return AutoTokenizer.from_pretrained(folder), AutoModelForQuestionAnswering.from_pretrained(
        folder
    )


def read(folder: Path, context: str) -> list[tuple[Any, Any, Any]]:
    """Encoding, starts and ends of each window, all by transformers."""
    tokenizer, model = loaded(folder)
    question = len(tokenizer(QUESTION, add_special_tokens=False).input_ids)
    room = LONGEST - question - tokenizer.num_special_tokens_to_add(pair=True)
    sheet = tokenizer(
        QUESTION,
        context,
        truncation="only_second",
        max_length=LONGEST,
        stride=room // 4,
        return_overflowing_tokens=True,
    )
    windows = []
    for number, item in enumerate(sheet.encodings):
        names = [name for name in tokenizer.model_input_names if name != "attention_mask"]
        given = {name: torch.tensor([sheet[name][number]]) for name in names}
        with torch.inference_mode():
            output = model(**given)
        windows.append((item, output.start_logits[0].numpy(), output.end_logits[0].numpy()))
    return windows


def by_force(folder: Path, context: str, longest: int = 30) -> tuple[dict[Span, float], float, int]:
    """The probability of each span of whole words, that of no answer, and the windows.

    As in transformers' question answering: softmax over the context and the first token, the start
    times the end; of several windows, over all of them together.
    """
    windows = read(folder, context)
    allowed = [
        [place == 0 or owner == 1 for place, owner in enumerate(item.sequence_ids)]
        for item, _, _ in windows
    ]
    totals = [
        np.exp(
            np.concatenate(
                [window[side][keep] for window, keep in zip(windows, allowed, strict=True)]
            )
        ).sum()
        for side in (1, 2)
    ]
    found: dict[Span, float] = {}
    none = []
    for item, starts, ends in windows:
        first = np.exp(starts) / totals[0]
        last = np.exp(ends) / totals[1]
        none.append(float(first[0] * last[0]))
        places = [place for place, owner in enumerate(item.sequence_ids) if owner == 1]
        for begin, end in itertools.combinations_with_replacement(places, 2):
            if end - begin < longest:
                span = widened(context, item.offsets[begin][0], item.offsets[end][1])
                value = float(first[begin] * last[end])
                if span[0] < span[1]:
                    found[span] = max(value, found.get(span, 0))
    return found, min(none), len(windows)


def widened(context: str, start: int, end: int) -> Span:
    part = context[start:end]
    start, end = start + len(part) - len(part.lstrip()), start + len(part.rstrip())
    for match in re.finditer(r"\w+", context):
        if start < end and match.start() < start < match.end():
            start = match.start()
        if start < end and match.start() < end < match.end():
            end = match.end()
    return start, end


def answered(served: Served, contexts: list[str], **more: Any) -> list[Any]:
    questions = [text_pb2.Question(question=QUESTION, context=context) for context in contexts]
    return list(served.text.Answer(text_pb2.AnswerRequest(questions=questions, **more)).results)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("longest", [0, 3])
def test_answers_are_the_best_spans(
    heads: Any, serving: Serving, family: str, longest: int
) -> None:
    folder = heads(family, "QuestionAnswering")
    results = answered(serving(folder), CONTEXTS, top_k=5, max_answer_tokens=longest)
    for context, result in zip(CONTEXTS, results, strict=True):
        spans, _, count = by_force(folder, context, longest or 30)
        assert (count, result.windows) == (1, 0)
        best = sorted(spans.values(), reverse=True)[:5]
        assert [item.score for item in result.answers] == pytest.approx(best, abs=CLOSE)
        for item in result.answers:
            assert item.text == context[item.start : item.end] == item.text.strip()
            assert spans[item.start, item.end] == pytest.approx(item.score, abs=CLOSE)
            assert item.label == ""


@pytest.mark.parametrize("family", ["bert", "xlm-roberta"])
def test_long_contexts_are_read_in_windows(heads: Any, serving: Serving, family: str) -> None:
    folder = heads(family, "QuestionAnswering")
    context = " ".join(SENTENCES[:14])
    (result,) = answered(serving(folder), [context], top_k=3, may_be_unanswerable=True)
    spans, none, count = by_force(folder, context)
    assert result.windows == count > 2
    spans[0, 0] = none
    best = sorted(spans.values(), reverse=True)[:3]
    assert [item.score for item in result.answers] == pytest.approx(best, rel=1e-3)
    for item in result.answers:
        assert spans[item.start, item.end] == pytest.approx(item.score, rel=1e-3)


def test_no_answer_may_win_only_if_asked_for(heads: Any, serving: Serving) -> None:
    folder = heads("bert", "QuestionAnswering")
    served = serving(folder)
    for context in CONTEXTS:
        spans, none, _ = by_force(folder, context)
        (result,) = answered(served, [context], top_k=100, may_be_unanswerable=True)
        empty = [item for item in result.answers if item.start == item.end]
        assert [item.score for item in empty] == pytest.approx([none], abs=CLOSE)
        rank = [item.text for item in result.answers].index("")
        better = sum(value > none + CLOSE for value in spans.values())
        assert better <= rank <= better + sum(abs(v - none) <= CLOSE for v in spans.values())
        (result,) = answered(served, [context], top_k=100)
        assert all(item.text for item in result.answers)


def test_a_question_that_fails_fails_alone(heads: Any, serving: Serving) -> None:
    served = serving(heads("bert", "QuestionAnswering"))
    pairs = [("", "a"), ("a", ""), ("why " * 200, "a"), ("why " * 89, "b " * 90), ("a", "b c")]
    questions = [text_pb2.Question(question=q, context=c) for q, c in pairs]
    results = served.text.Answer(text_pb2.AnswerRequest(questions=questions)).results
    found = [result.error.message.partition(":")[0] for result in results]
    assert found == [
        "questions[0].question",
        "questions[1].context",
        "questions[2].question",
        "questions[3].context",
        "",
    ]
    assert "leaves" in results[3].error.message
    assert len(results[4].answers) == 1


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "questions"),
        ({"questions": [text_pb2.Question()], "top_k": -1}, "top_k"),
        ({"questions": [text_pb2.Question()], "top_k": 101}, "top_k"),
        ({"questions": [text_pb2.Question()], "max_answer_tokens": -1}, "max_answer_tokens"),
    ],
)
def test_wrong_fields_are_named(
    heads: Any, serving: Serving, fields: dict[str, Any], named: str
) -> None:
    served = serving(heads("bert", "QuestionAnswering"))
    with pytest.raises(grpc.RpcError) as caught:
        served.text.Answer(text_pb2.AnswerRequest(**fields))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert str(caught.value.details()).startswith(f"{named}:")
