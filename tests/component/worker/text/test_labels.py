"""Classify, Sentiment and ClassifyZeroShot over gRPC, held against transformers' own pipelines."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from lepton.v1 import text_pb2
from lepton_testing.heads import FAMILIES, LONGEST
from lepton_testing.hosted import Served
from lepton_worker.samples.sentences import SENTENCES

pytestmark = pytest.mark.component

CLOSE = 1e-5
TOPICS = ("economy", "science", "sport")
NLI = ("contradiction", "neutral", "entailment")
STARS = ("1 star", "2 stars", "3 stars", "4 stars", "5 stars")
TEXTS = [*SENTENCES[:4], "Zoë 🎉 今天的天气", SENTENCES[33]]
HEAD = "SequenceClassification"
Serving = Callable[..., Served]
WINDOW = text_pb2.OVERFLOW_WINDOW


@functools.cache
def loaded(folder: Path) -> tuple[Any, Any]:
    return AutoTokenizer.from_pretrained(
        folder
    ), AutoModelForSequenceClassification.from_pretrained(folder)


@functools.cache
def oracle(kind: str, folder: Path) -> Any:
    tokenizer, model = loaded(folder)
    make: Any = pipeline
    return make(kind, model=model, tokenizer=tokenizer, device="cpu")


def logits_of(folder: Path, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        row: torch.Tensor = loaded(folder)[1](torch.tensor([ids])).logits[0]
        return row


def scores_of(labels: Any) -> dict[str, float]:
    return {label.name: label.score for label in labels}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("problem", ["single_label_classification", "multi_label_classification"])
@pytest.mark.parametrize("paired", [False, True])
def test_labels_equal_the_pipelines(
    heads: Any, serving: Serving, family: str, problem: str, paired: bool
) -> None:
    folder = heads(family, HEAD, TOPICS, problem_type=problem)
    pairs = list(reversed(TEXTS)) if paired else []
    request = text_pb2.ClassifyRequest(inputs=TEXTS, pairs=pairs, logits=True)
    answer = serving(folder).text.Classify(request)
    assert len(answer.results) == len(TEXTS)
    for index, result in enumerate(answer.results):
        asked = {"text": TEXTS[index], **({"text_pair": pairs[index]} if pairs else {})}
        expected = oracle("text-classification", folder)(asked, top_k=None)
        assert [label.name for label in result.labels] == [item["label"] for item in expected]
        assert [label.score for label in result.labels] == pytest.approx(
            [item["score"] for item in expected], abs=CLOSE
        )
        ids = loaded(folder)[0](*asked.values()).input_ids
        if family != "bert" or not paired:
            assert list(result.logits) == pytest.approx(logits_of(folder, ids).tolist(), abs=1e-4)


def test_long_texts_are_the_mean_of_their_windows(heads: Any, serving: Serving) -> None:
    folder = heads("bert", HEAD, TOPICS)
    words = " ".join(["water", "boats", "grey", "snow"] * 30).split()
    request = text_pb2.ClassifyRequest(inputs=[" ".join(words)], overflow=WINDOW, logits=True)
    (result,) = serving(folder).text.Classify(request).results
    ids = loaded(folder)[0](" ".join(words), add_special_tokens=False).input_ids
    assert len(ids) == len(words)
    room = LONGEST - 2
    step = room - room // 4
    parts = [ids[start : start + room] for start in range(0, len(ids) - room + step, step)]
    assert result.windows == len(parts) > 1
    rows = torch.stack([logits_of(folder, [2, *part, 3]) for part in parts])
    weights = [len(part) for part in parts]
    assert list(result.logits) == pytest.approx(
        np.average(rows.numpy(), axis=0, weights=weights).tolist(), abs=1e-4
    )
    mean = np.average(rows.softmax(-1).numpy(), axis=0, weights=weights)
    assert scores_of(result.labels) == pytest.approx(
        dict(zip(TOPICS, mean.tolist(), strict=True)), abs=CLOSE
    )


def test_the_second_of_a_pair_is_cut_or_read_in_windows(heads: Any, serving: Serving) -> None:
    served = serving(heads("bert", HEAD, TOPICS))
    short, long = "water " * 20, "boats " * 200
    for overflow, outcome in (
        (text_pb2.OVERFLOW_REJECT, (False, 0, True)),
        (text_pb2.OVERFLOW_TRUNCATE, (True, 0, False)),
        (text_pb2.OVERFLOW_WINDOW, (False, 4, False)),
    ):
        request = text_pb2.ClassifyRequest(inputs=[short], pairs=[long], overflow=overflow)
        (result,) = served.text.Classify(request).results
        assert (result.truncated, result.windows, bool(result.error.code)) == outcome
    request = text_pb2.ClassifyRequest(inputs=[long], pairs=[short], overflow=WINDOW)
    (result,) = served.text.Classify(request).results
    assert "inputs[0]: 203 tokens are more than the 96" in result.error.message
    request = text_pb2.ClassifyRequest(inputs=["water " * 89], pairs=[long], overflow=WINDOW)
    (result,) = served.text.Classify(request).results
    assert "pairs[0]: its other text leaves 4 tokens" in result.error.message


@pytest.mark.parametrize(
    ("labels", "positive", "places"),
    [
        (("NEGATIVE", "POSITIVE"), [1], [-1, 1]),
        (("Positive", "Neutral", "Negative"), [0], [1, 0, -1]),
        (STARS, [3, 4], [-1, -0.5, 0, 0.5, 1]),
    ],
    ids=str,
)
def test_sentiment_is_the_classifiers_own(
    heads: Any, serving: Serving, labels: tuple[str, ...], positive: list[int], places: list[float]
) -> None:
    folder = heads("distilbert", HEAD, labels)
    served = serving(folder)
    results = served.text.Sentiment(text_pb2.SentimentRequest(inputs=[*TEXTS, ""])).results
    assert "inputs[6]: must not be empty" in results[-1].error.message
    for text, result in zip(TEXTS, results, strict=False):
        row = logits_of(folder, loaded(folder)[0](text).input_ids).softmax(-1).tolist()
        assert result.positive == pytest.approx(sum(row[n] for n in positive), abs=CLOSE)
        polarity = sum(value * place for value, place in zip(row, places, strict=True))
        assert result.polarity == pytest.approx(polarity, abs=CLOSE)
        assert result.positive + result.neutral + result.negative == pytest.approx(1, abs=CLOSE)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("labels", [NLI, NLI[::-1]], ids=["last", "first"])
@pytest.mark.parametrize("multi_label", [False, True])
def test_made_up_labels_equal_the_pipelines(
    heads: Any, serving: Serving, family: str, labels: tuple[str, ...], multi_label: bool
) -> None:
    folder = heads(family, HEAD, labels)
    names = ["sea", "weather and snow", "sport"]
    for chosen in (names, names[:1]):
        request = text_pb2.ClassifyZeroShotRequest(
            inputs=TEXTS, labels=chosen, multi_label=multi_label, hypothesis="It is about {}."
        )
        answer = serving(folder).text.ClassifyZeroShot(request)
        for text, result in zip(TEXTS, answer.results, strict=True):
            expected = oracle("zero-shot-classification", folder)(
                text,
                candidate_labels=chosen,
                multi_label=multi_label,
                hypothesis_template="It is about {}.",
            )
            assert scores_of(result.labels) == pytest.approx(
                dict(zip(expected["labels"], expected["scores"], strict=True)), abs=CLOSE
            )
            got = [label.score for label in result.labels]
            assert got == sorted(got, reverse=True)


def test_made_up_labels_of_long_texts(heads: Any, serving: Serving) -> None:
    served = serving(heads("bert", HEAD, NLI))

    def asked(overflow: Any) -> Any:
        return served.text.ClassifyZeroShot(
            text_pb2.ClassifyZeroShotRequest(
                inputs=["water " * 150, "water"],
                labels=["sea", "weather and snow and rain"],
                overflow=overflow,
            )
        ).results

    refused, short = asked(text_pb2.OVERFLOW_REJECT)
    assert "inputs[0]" in refused.error.message
    assert len(short.labels) == 2
    cut, _ = asked(text_pb2.OVERFLOW_TRUNCATE)
    assert cut.truncated
    whole, same = asked(WINDOW)
    assert whole.windows > 1
    assert sum(label.score for label in whole.labels) == pytest.approx(1, abs=CLOSE)
    assert scores_of(same.labels) == pytest.approx(scores_of(short.labels), abs=CLOSE)


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (text_pb2.ClassifyRequest(inputs=["a", "b"], pairs=["a"]), ["pairs"]),
        (text_pb2.ClassifyRequest(inputs=["a", "b"], pairs=["a", ""]), ["pairs[1]"]),
        (text_pb2.ClassifyRequest(inputs=["a"], top_k=-1), ["top_k"]),
        (text_pb2.ClassifyZeroShotRequest(inputs=["a"]), ["labels"]),
        (text_pb2.ClassifyZeroShotRequest(labels=["a"]), ["inputs"]),
        (
            text_pb2.ClassifyZeroShotRequest(inputs=["a"], labels=[f"{n}" for n in range(101)]),
            ["labels"],
        ),
        (
            text_pb2.ClassifyZeroShotRequest(inputs=["a"], labels=["x", "x", ""], hypothesis="so"),
            ["labels[1]", "labels[2]", "hypothesis"],
        ),
        (text_pb2.ClassifyZeroShotRequest(inputs=["a"], labels=["water " * 120]), ["labels[0]"]),
        (
            text_pb2.ClassifyZeroShotRequest(
                inputs=["a"] * 4000, labels=[f"{n}" for n in range(10)]
            ),
            ["labels"],
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_wrong_fields_are_named(
    heads: Any, serving: Serving, request_: Any, fields: list[str]
) -> None:
    served = serving(heads("bert", HEAD, NLI))
    zero_shot = isinstance(request_, text_pb2.ClassifyZeroShotRequest)
    call = served.text.ClassifyZeroShot if zero_shot else served.text.Classify
    with pytest.raises(grpc.RpcError) as caught:
        call(request_)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    found = [part.partition(":")[0] for part in str(caught.value.details()).split("; ")]
    assert found == fields


def test_a_call_that_the_labels_do_not_allow_is_refused_with_them(
    heads: Any, serving: Serving
) -> None:
    served = serving(heads("bert", HEAD, TOPICS))
    for call, request in (
        (served.text.Sentiment, text_pb2.SentimentRequest(inputs=["a"])),
        (
            served.text.ClassifyZeroShot,
            text_pb2.ClassifyZeroShotRequest(inputs=["a"], labels=["b"]),
        ),
        (served.text.Rerank, text_pb2.RerankRequest(query="a", documents=["b"])),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call(request)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert "its labels are economy, science, sport" in str(caught.value.details())
        assert str(caught.value.details()).endswith("call Classify, Tokenize, Detokenize")
