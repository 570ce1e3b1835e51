"""Labels and vectors over gRPC, held against what transformers says to each text alone."""

import asyncio
import functools
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from lepton.v1 import text_pb2, text_pb2_grpc
from lepton_testing.hosted import Host
from lepton_worker.samples.sentences import SENTENCES

pytestmark = pytest.mark.component

TEXTS = [*SENTENCES[:12], "No", "snow " * 40, SENTENCES[33]]
CLOSE = 1e-5


@functools.cache
def loaded(folder: Path, kind: Any) -> tuple[Any, Any]:
    """Tokenizer and model, by transformers."""
    return AutoTokenizer.from_pretrained(folder), kind.from_pretrained(folder)


def logits_of(folder: Path, text: str) -> torch.Tensor:
    tokenizer, model = loaded(folder, AutoModelForSequenceClassification)
    tokens = tokenizer(text, return_tensors="pt")
    with torch.inference_mode():
        row: torch.Tensor = model(**tokens).logits[0]
        return row


def states_of(folder: Path, text: str, longest: int = 512) -> torch.Tensor:
    """Last states of each token, shape [tokens, width]."""
    tokenizer, model = loaded(folder, AutoModel)
    tokens = tokenizer(text, return_tensors="pt", truncation=True, max_length=longest)
    with torch.inference_mode():
        states: torch.Tensor = model(**tokens).last_hidden_state[0]
        return states


def vectors(answer: text_pb2.EmbedResponse) -> list[npt.NDArray[np.float32]]:
    return [np.frombuffer(item.values, "<f4") for item in answer.results]


@pytest.mark.parametrize(
    ("sample", "activation"),
    [
        ("bert-classifier", lambda row: row.softmax(-1)),
        ("distilbert-classifier", lambda row: row.softmax(-1)),
        ("roberta-multilabel", lambda row: row.sigmoid()),
        ("bert-regressor", lambda row: row),
    ],
)
def test_labels_equal_transformers(host: Host, samples: Path, sample: str, activation: Any) -> None:
    folder = samples / sample
    served = host.serve(source=str(folder))
    answer = served.text.Classify(text_pb2.ClassifyRequest(inputs=TEXTS))
    labels = AutoModelForSequenceClassification.from_pretrained(folder).config.id2label
    assert len(answer.results) == len(TEXTS)
    for text, result in zip(TEXTS, answer.results, strict=True):
        expected = activation(logits_of(folder, text)).tolist()
        got = {label.name: label.score for label in result.labels}
        assert got.keys() == set(labels.values())
        for number, score in enumerate(expected):
            assert got[labels[number]] == pytest.approx(score, abs=CLOSE)
        ordered = [label.score for label in result.labels]
        assert ordered == sorted(ordered, reverse=True)
    assert answer.usage.prompt_tokens > len(TEXTS)
    assert answer.timing.batch_size == 1


def test_only_the_best_labels(host: Host, samples: Path) -> None:
    served = host.serve(source=str(samples / "bert-classifier"))
    whole = served.text.Classify(text_pb2.ClassifyRequest(inputs=["The end."])).results[0]
    best = served.text.Classify(text_pb2.ClassifyRequest(inputs=["The end."], top_k=1)).results[0]
    assert [*best.labels] == [whole.labels[0]]


def test_a_real_encoder_equals_transformers(host: Host, minilm: Path) -> None:
    served = host.serve(source=str(minilm))
    answer = served.text.Embed(text_pb2.EmbedRequest(inputs=TEXTS))
    assert answer.dimensions == 384
    for text, got in zip(TEXTS, vectors(answer), strict=True):
        expected = torch.nn.functional.normalize(states_of(minilm, text, 256).mean(0), dim=0)
        assert np.abs(got - expected.numpy()).max() <= CLOSE
    pair = vectors(
        served.text.Embed(
            text_pb2.EmbedRequest(inputs=["A cat sat.", "A kitten sat down.", "Taxes rose."])
        )
    )
    assert pair[0] @ pair[1] > pair[0] @ pair[2] + 0.2


@pytest.mark.parametrize(
    ("normalize", "length"), [(None, 1.0), (True, 1.0), (False, None)], ids=["unset", "on", "off"]
)
def test_scaling_is_the_models_unless_asked_for(
    host: Host, minilm: Path, normalize: bool | None, length: float | None
) -> None:
    served = host.serve(source=str(minilm))
    request = text_pb2.EmbedRequest(inputs=["A quiet harbour."], normalize=normalize)
    (got,) = vectors(served.text.Embed(request))
    if length is None:
        expected = states_of(minilm, "A quiet harbour.").mean(0).numpy()
        assert np.abs(got - expected).max() <= CLOSE
    else:
        assert np.linalg.norm(got) == pytest.approx(length, abs=1e-6)


@pytest.mark.parametrize(
    ("sample", "pooled"),
    [
        ("bert-encoder", lambda states: states.mean(0)),
        ("llama", lambda states: states.mean(0)),
        (
            "sentence-encoder",
            lambda states: torch.nn.functional.normalize(
                torch.cat([states[0], states.max(0).values]), dim=0
            ),
        ),
    ],
)
def test_vectors_are_pooled_as_the_model_declares(
    host: Host, samples: Path, sample: str, pooled: Any
) -> None:
    folder = samples / sample
    served = host.serve(source=str(folder), task="embed")
    answer = served.text.Embed(text_pb2.EmbedRequest(inputs=TEXTS[:6]))
    for text, got in zip(TEXTS, vectors(answer), strict=False):
        expected = pooled(states_of(folder, text)).numpy()
        assert got.shape == expected.shape == (answer.dimensions,)
        assert np.abs(got - expected).max() <= CLOSE


async def test_many_mixed_callers_get_what_each_would_get_alone(host: Host, samples: Path) -> None:
    folder = samples / "distilbert-classifier"
    served = host.serve(source=str(folder), max_batch_size=4)
    requests = [TEXTS[start : start + 1 + start % 4] for start in range(len(TEXTS))]
    answers = await asyncio.gather(
        *(
            asyncio.to_thread(served.text.Classify, text_pb2.ClassifyRequest(inputs=inputs))
            for inputs in requests
        )
    )
    for inputs, answer in zip(requests, answers, strict=True):
        for text, result in zip(inputs, answer.results, strict=True):
            expected = logits_of(folder, text).softmax(-1).sort(descending=True).values
            got = [label.score for label in result.labels]
            assert got == pytest.approx(expected.tolist(), abs=CLOSE)


@pytest.mark.parametrize(
    ("sample", "longest"), [("bert-classifier", 128), ("roberta-multilabel", 128)]
)
def test_the_longest_input_is_answered_and_one_more_token_is_not(
    host: Host, samples: Path, sample: str, longest: int
) -> None:
    served = host.serve(source=str(samples / sample))
    fits, over = "a" + " a" * (longest - 3), "a" + " a" * (longest - 2)
    answer = served.text.Classify(text_pb2.ClassifyRequest(inputs=[fits, over, "short"]))
    assert [bool(item.labels) for item in answer.results] == [True, False, True]
    error = answer.results[1].error
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert "129 tokens are more than the 128" in error.message
    assert answer.results[0].error.code == 0
    short = len(AutoTokenizer.from_pretrained(samples / sample)("short").input_ids)
    assert answer.usage.prompt_tokens == longest + short


def test_cut_inputs_say_so_and_keep_their_special_tokens(host: Host, samples: Path) -> None:
    folder = samples / "bert-classifier"
    served = host.serve(source=str(folder))
    over = "a" + " a" * 300
    request = text_pb2.ClassifyRequest(inputs=[over, "short"], overflow=text_pb2.OVERFLOW_TRUNCATE)
    answer = served.text.Classify(request)
    assert [item.truncated for item in answer.results] == [True, False]
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokens = AutoTokenizer.from_pretrained(folder)(
        over, return_tensors="pt", truncation=True, max_length=128
    )
    with torch.inference_mode():
        expected = model(**tokens).logits[0].softmax(-1).sort(descending=True).values.tolist()
    got = [label.score for label in answer.results[0].labels]
    assert got == pytest.approx(expected, abs=CLOSE)


def test_a_call_of_only_bad_inputs_is_an_answer_too(host: Host, samples: Path) -> None:
    served = host.serve(source=str(samples / "bert-classifier"))
    answer = served.text.Classify(text_pb2.ClassifyRequest(inputs=["a " * 400]))
    assert answer.results[0].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


def test_a_large_call_is_one_request_in_many_batches(host: Host, samples: Path) -> None:
    served = host.serve(source=str(samples / "bert-encoder"))
    before = served.sample("lepton_requests_total", code="OK")
    texts = [f"{number} boats" for number in range(300)]
    answer = served.text.Embed(text_pb2.EmbedRequest(inputs=texts))
    assert len(answer.results) == 300
    assert served.sample("lepton_requests_total", code="OK") == before + 1
    stub: text_pb2_grpc.TextStub = served.text
    for number in (0, 151, 299):
        alone = stub.Embed(text_pb2.EmbedRequest(inputs=[texts[number]]))
        gap = np.abs(vectors(answer)[number] - vectors(alone)[0]).max()
        assert gap <= CLOSE
