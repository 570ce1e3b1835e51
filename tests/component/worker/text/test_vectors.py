"""Embed, Rerank and Keywords over gRPC, held against vectors and logits of transformers itself."""

import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from lepton.v1 import text_pb2
from lepton_testing.heads import FAMILIES, LONGEST
from lepton_testing.hosted import Served
from lepton_worker.request import Vector
from lepton_worker.samples.sentences import SENTENCES

pytestmark = pytest.mark.component

CLOSE = 1e-5
WINDOW = text_pb2.OVERFLOW_WINDOW
Serving = Callable[..., Served]
PROMPTS = {"query": "query: ", "passage": "passage: ", "usual": "text: "}


@functools.cache
def loaded(folder: Path, kind: Any) -> tuple[Any, Any]:
    return AutoTokenizer.from_pretrained(folder), kind.from_pretrained(folder)


def mean_of(folder: Path, text: str) -> Vector:
    """The mean of a text's states."""
    tokenizer, model = loaded(folder, AutoModel)
    with torch.inference_mode():
        states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
    vector: Vector = states.mean(0).numpy()
    return vector


def cosine(left: Vector, right: Vector) -> float:
    return float(left @ right / np.linalg.norm(left) / np.linalg.norm(right))


def embedded(served: Served, texts: list[str], **more: Any) -> list[Vector]:
    answer = served.text.Embed(text_pb2.EmbedRequest(inputs=texts, **more))
    vectors = [np.frombuffer(item.values, "<f4") for item in answer.results]
    assert all(len(vector) in (0, answer.dimensions) for vector in vectors)
    return vectors


@pytest.fixture(scope="session")
def prompted(heads: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence encoder that declares prompts."""
    folder = tmp_path_factory.mktemp("prompted")
    shutil.copytree(heads("bert", "SequenceClassification"), folder, dirs_exist_ok=True)
    modules = [
        {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "path": "", "type": "sentence_transformers.models.Normalize"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    declared = {"prompts": PROMPTS, "default_prompt_name": "usual"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(declared))
    return folder


@pytest.mark.parametrize(("name", "before"), [("", "text: "), ("query", "query: ")])
def test_prompts_go_in_front_by_their_names(
    serving: Serving, prompted: Path, name: str, before: str
) -> None:
    served = serving(prompted, task="embed")
    texts = ["Water, grey.", "İstanbul 🎉"]
    for text, got in zip(texts, embedded(served, texts, prompt=name), strict=True):
        expected = mean_of(prompted, before + text)
        assert np.abs(got - expected / np.linalg.norm(expected)).max() <= CLOSE


@pytest.mark.parametrize("family", FAMILIES)
def test_shorter_vectors_are_scaled_again(heads: Any, serving: Serving, family: str) -> None:
    folder = heads(family, "SequenceClassification")
    served = serving(folder, task="embed")
    for normalize in (False, True):
        (got,) = embedded(served, [SENTENCES[1]], dimensions=5, normalize=normalize)
        expected = mean_of(folder, SENTENCES[1])[:5]
        if normalize:
            expected = expected / np.linalg.norm(expected)
        assert np.abs(got - expected).max() <= CLOSE


def test_long_texts_are_the_mean_of_their_windows(heads: Any, serving: Serving) -> None:
    folder = heads("bert", "SequenceClassification")
    served = serving(folder, task="embed")
    words = ["water", "boats", "grey", "snow"] * 50
    request = text_pb2.EmbedRequest(inputs=[" ".join(words), "water"], overflow=WINDOW)
    long, short = served.text.Embed(request).results
    room = LONGEST - 2
    parts = [words[start : start + room] for start in range(0, 200, room - room // 4)]
    parts = [part for number, part in enumerate(parts) if number == 0 or len(part) > room // 4]
    assert (long.windows, short.windows) == (len(parts), 0)
    vectors = [mean_of(folder, " ".join(part)) for part in parts]
    expected = np.average(vectors, axis=0, weights=[len(part) for part in parts])
    assert np.abs(np.frombuffer(long.values, "<f4") - expected).max() <= CLOSE


@pytest.mark.parametrize("family", FAMILIES)
def test_documents_by_a_cross_encoder(heads: Any, serving: Serving, family: str) -> None:
    folder = heads(family, "SequenceClassification", ("LABEL_0",))
    tokenizer, model = loaded(folder, AutoModelForSequenceClassification)
    documents = [*SENTENCES[3:9], "Zoë 🎉"]
    request = text_pb2.RerankRequest(query="grey water", documents=documents, top_n=4)
    answer = serving(folder).text.Rerank(request)
    expected = {}
    for number, document in enumerate(documents):
        with torch.inference_mode():
            logits = model(**tokenizer("grey water", document, return_tensors="pt")).logits
        expected[number] = float(logits.sigmoid()[0, 0])
    order = sorted(expected, key=lambda number: -expected[number])[:4]
    assert [item.index for item in answer.results] == order
    for item in answer.results:
        assert item.score == pytest.approx(expected[item.index], abs=CLOSE)
        assert item.document == ""


def test_documents_by_their_vectors(serving: Serving, prompted: Path) -> None:
    served = serving(prompted, task="embed")
    documents = list(SENTENCES[3:9])
    request = text_pb2.RerankRequest(query="grey", documents=documents, return_documents=True)
    answer = served.text.Rerank(request)
    query = mean_of(prompted, "query: grey")
    expected = [cosine(query, mean_of(prompted, f"passage: {text}")) for text in documents]
    scores = [item.score for item in answer.results]
    assert scores == sorted(scores, reverse=True)
    for item in answer.results:
        assert item.score == pytest.approx(expected[item.index], abs=CLOSE)
        assert item.document == documents[item.index]


@pytest.mark.parametrize("labels", [("LABEL_0",), ()], ids=["cross-encoder", "encoder"])
def test_documents_that_fail_come_last(heads: Any, serving: Serving, labels: Any) -> None:
    folder = heads("bert", "SequenceClassification", labels)
    served = serving(folder, **({} if labels else {"task": "embed"}))
    documents = ["", "water " * 200, "boats", "snow"]

    def ranked(overflow: Any, top_n: int = 0) -> list[Any]:
        request = text_pb2.RerankRequest(
            query="grey", documents=documents, overflow=overflow, top_n=top_n
        )
        return list(served.text.Rerank(request).results)

    refused = ranked(text_pb2.OVERFLOW_REJECT)
    assert {item.index for item in refused[:2]} == {2, 3}
    assert [item.index for item in refused[2:]] == [0, 1]
    assert [item.error.message.partition(":")[0] for item in refused] == [
        "",
        "",
        "documents[0]",
        "documents[1]",
    ]
    assert len(ranked(text_pb2.OVERFLOW_REJECT, top_n=1)) == 3
    cut = ranked(text_pb2.OVERFLOW_TRUNCATE)
    assert [item.index for item in cut if item.truncated] == [1]
    whole = ranked(WINDOW)
    assert [item.index for item in whole if item.error.code] == [0]


def test_keywords_are_words_of_the_text_near_to_it(heads: Any, serving: Serving) -> None:
    folder = heads("bert", "SequenceClassification")
    served = serving(folder, task="embed")
    texts = [SENTENCES[0], "今天的天气很好。Zoë 🎉 waits.", "and of the", ""]
    request = text_pb2.KeywordsRequest(inputs=texts, top_k=4, diversity=0)
    results = served.text.Keywords(request).results
    for text, result in zip(texts[:2], results, strict=False):
        whole = mean_of(folder, text)
        scores = [word.score for word in result.keywords]
        assert scores == sorted(scores, reverse=True)
        assert len(scores) == 4
        for word in result.keywords:
            assert word.text == text[word.start : word.end]
            assert word.score == pytest.approx(cosine(whole, mean_of(folder, word.text)), abs=CLOSE)
    assert not results[2].keywords
    assert not results[2].error.code
    assert "inputs[3]: must not be empty" in results[3].error.message
    long = text_pb2.KeywordsRequest(inputs=[" ".join(SENTENCES[:9])], overflow=WINDOW)
    (result,) = served.text.Keywords(long).results
    assert (len(result.keywords), result.windows > 1) == (10, True)


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        (text_pb2.EmbedRequest(inputs=["a"], dimensions=0), "dimensions"),
        (text_pb2.EmbedRequest(inputs=["a"], dimensions=33), "dimensions"),
        (text_pb2.EmbedRequest(inputs=["a"], prompt="other"), "prompt"),
        (text_pb2.RerankRequest(documents=["a"]), "query"),
        (text_pb2.RerankRequest(query="a"), "documents"),
        (text_pb2.RerankRequest(query="a", documents=["a"], top_n=-1), "top_n"),
        (text_pb2.RerankRequest(query="a " * 200, documents=["a"]), "query"),
        (text_pb2.KeywordsRequest(), "inputs"),
        (text_pb2.KeywordsRequest(inputs=["a"], max_words=6), "max_words"),
        (text_pb2.KeywordsRequest(inputs=["a"], diversity=1.5), "diversity"),
        (text_pb2.KeywordsRequest(inputs=["a"], diversity=float("nan")), "diversity"),
        (text_pb2.KeywordsRequest(inputs=["a"], top_k=-1), "top_k"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_wrong_fields_are_named(
    serving: Serving, prompted: Path, request_: Any, named: str
) -> None:
    served = serving(prompted, task="embed")
    call = getattr(served.text, type(request_).__name__.removesuffix("Request"))
    with pytest.raises(grpc.RpcError) as caught:
        call(request_)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert str(caught.value.details()).startswith(f"{named}:")
