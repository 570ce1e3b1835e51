"""Graphs by onnxruntime, held against transformers: alone, mixed, and over gRPC."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from lepton.v1 import control_pb2, text_pb2
from lepton_testing.hosted import Host
from lepton_testing.onnx_models import EXPORTS, copied, pooling_itself
from lepton_worker.backends.base import EncodeInput, LoadOrder
from lepton_worker.backends.onnx.backend import OnnxBackend
from lepton_worker.backends.transformers.pooling import pool
from lepton_worker.errors import InternalError, RequestError
from lepton_worker.model import Pooling
from lepton_worker.request import Task, Tokens, Vector
from lepton_worker.samples.sentences import SENTENCES

pytestmark = pytest.mark.component

CLOSE = 1e-5
Exported = Callable[[str], Path]
TEXTS = [*SENTENCES[:6], "Zoë 🎉", " ".join(SENTENCES[6:9])]
MODES = ("cls", "mean", "max", "mean_sqrt_len", "weightedmean", "lasttoken")


@functools.cache
def stock(folder: Path, task: str) -> tuple[Any, Any]:
    return AutoTokenizer.from_pretrained(folder), EXPORTS[task].kind.from_pretrained(folder)


def by_transformers(folder: Path, task: str, *text: str) -> Any:
    """The model's own outputs on one input."""
    tokenizer, model = stock(folder, task)
    with torch.inference_mode():
        return model(**tokenizer(*text, return_tensors="pt"))


def expected_of(outputs: Any, task: str, modes: tuple[str, ...] = ("mean",)) -> Vector:
    if task == "embed":
        states = outputs.last_hidden_state
        mask = torch.ones(states.shape[:2], dtype=torch.long)
        vector: Vector = pool(states, mask, modes)[0].numpy()
    elif task == "answer":
        both = torch.stack([outputs.start_logits[0], outputs.end_logits[0]], dim=-1)
        vector = both.numpy()
    else:
        vector = outputs.logits[0].numpy()
    return vector


def opened(folder: Path, task: str, **more: Any) -> tuple[OnnxBackend, Any]:
    backend = OnnxBackend()
    facts = backend.load(LoadOrder(folder, Task(task), **more))
    backend.warm_up()
    return backend, facts


def far(got: Vector | RequestError, expected: Vector) -> float:
    """Largest difference by the largest number."""
    assert isinstance(got, np.ndarray), got
    assert got.dtype == np.float32
    assert got.shape == expected.shape
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def tokenized(facts: Any, texts: list[str]) -> list[EncodeInput]:
    return [EncodeInput(item.tokens) for item in facts.tokenizer.encode(texts)]


@pytest.mark.parametrize("task", EXPORTS)
def test_alone_and_mixed_as_transformers(exported: Exported, task: str) -> None:
    folder = exported(task)
    backend, facts = opened(folder, task)
    assert facts.choices["batches"] == "sorted by length and padded: same numbers as one by one"
    inputs = tokenized(facts, TEXTS)
    for text, item, mixed in zip(TEXTS, inputs, backend.encode(inputs), strict=True):
        right = expected_of(by_transformers(folder, task, text), task)
        assert far(mixed, right) <= CLOSE
        assert far(backend.encode([item])[0], right) <= CLOSE


@pytest.mark.parametrize("modes", [*((mode,) for mode in MODES), ("mean", "cls")])
def test_every_way_of_pooling(exported: Exported, modes: tuple[str, ...]) -> None:
    folder = exported("embed")
    backend, facts = opened(folder, "embed", pooling=Pooling(modes), step_tokens=256)
    assert facts.dimensions == 32 * len(modes)
    answers = backend.encode(tokenized(facts, TEXTS))
    for text, answer in zip(TEXTS, answers, strict=True):
        right = expected_of(by_transformers(folder, "embed", text), "embed", modes)
        assert far(answer, right) <= CLOSE


def test_a_graph_that_pools_by_itself(exported: Exported, tmp_path: Path) -> None:
    folder = copied(exported("embed"), tmp_path / "model")
    pooling_itself(folder)
    backend, facts = opened(folder, "embed", pooling=Pooling(("mean",)))
    answers = backend.encode(tokenized(facts, TEXTS))
    for text, answer in zip(TEXTS, answers, strict=True):
        right = expected_of(by_transformers(exported("embed"), "embed", text), "embed", ("cls",))
        assert far(answer, right) <= CLOSE
    assert facts.dimensions == 32


def test_segments_are_fed(exported: Exported) -> None:
    folder = exported("classify")
    backend, facts = opened(folder, "classify")
    (pair,) = facts.tokenizer.encode_pairs([(TEXTS[0], TEXTS[1])])
    assert set(pair.tokens.types) == {0, 1}
    right = expected_of(by_transformers(folder, "classify", TEXTS[0], TEXTS[1]), "classify")
    assert far(backend.encode([EncodeInput(pair.tokens)])[0], right) <= CLOSE
    without = EncodeInput(Tokens(pair.tokens.ids))
    assert far(backend.encode([without])[0], right) > CLOSE


def test_an_input_that_makes_the_graph_raise_fails_alone(exported: Exported) -> None:
    folder = exported("classify")
    backend, facts = opened(folder, "classify", step_tokens=512)
    good = tokenized(facts, TEXTS[:2])
    length = len(good[0].tokens)
    answers = backend.encode([good[0], EncodeInput(Tokens((10**6,) * length)), good[1]])
    assert isinstance(answers[1], InternalError)
    for text, place in ((TEXTS[0], 0), (TEXTS[1], 2)):
        right = expected_of(by_transformers(folder, "classify", text), "classify")
        assert far(answers[place], right) <= CLOSE


# ------------------------------------------------------------------ over gRPC
def test_a_classifier_over_grpc(host: Host, exported: Exported) -> None:
    folder = exported("classify")
    served = host.serve(source=str(folder), backend="onnxruntime")
    answer = served.text.Classify(text_pb2.ClassifyRequest(inputs=TEXTS))
    for text, result in zip(TEXTS, answer.results, strict=True):
        logits = torch.from_numpy(
            expected_of(by_transformers(folder, "classify", text), "classify")
        )
        scores = {label.name: label.score for label in result.labels}
        right = dict(zip(EXPORTS["classify"].labels, logits.softmax(0).tolist(), strict=True))
        assert scores == pytest.approx(right, abs=CLOSE)


def test_embeddings_over_grpc_where_auto_finds_onnx_alone(
    host: Host, exported: Exported, tmp_path: Path
) -> None:
    whole = exported("embed")
    served = host.serve(source=str(copied(whole, tmp_path / "model")))
    answer = served.text.Embed(text_pb2.EmbedRequest(inputs=TEXTS))
    for text, result in zip(TEXTS, answer.results, strict=True):
        right = expected_of(by_transformers(whole, "embed", text), "embed")
        assert far(np.frombuffer(result.values, "<f4"), right) <= CLOSE
    info = served.control.GetModelInfo(control_pb2.GetModelInfoRequest())
    assert info.backend == "onnxruntime"
    assert info.choices["backend"] == "onnxruntime: the weights are there as ONNX alone"
    assert info.choices["file"] == "model.onnx: for quantization auto"


def test_tags_over_grpc_as_those_of_stock_transformers(host: Host, exported: Exported) -> None:
    folder = exported("tag")
    answers = [
        host.serve(source=str(folder), backend=backend).text.Tag(
            text_pb2.TagRequest(inputs=TEXTS, aggregation=text_pb2.AGGREGATION_NONE)
        )
        for backend in ("onnxruntime", "transformers")
    ]
    for got, right in zip(*(answer.results for answer in answers), strict=True):
        assert len(got.spans) > 0
        assert len(got.spans) == len(right.spans)
        for one, other in zip(got.spans, right.spans, strict=True):
            assert (one.start, one.end, one.label) == (other.start, other.end, other.label)
            assert one.score == pytest.approx(other.score, abs=CLOSE)


def test_what_a_worker_says_of_its_graph(host: Host, exported: Exported) -> None:
    folder = exported("classify")
    served = host.serve(source=str(folder), backend="onnxruntime")
    info = served.control.GetModelInfo(control_pb2.GetModelInfoRequest())
    assert (info.backend, info.device, info.dtype) == ("onnxruntime", "cpu", "float32")
    assert info.architecture == "BertForSequenceClassification"
    assert (info.max_length, list(info.labels)) == (96, list(EXPORTS["classify"].labels))
    assert info.choices["backend"] == "onnxruntime: asked for"
    assert info.choices["providers"] == "CPUExecutionProvider: for device auto"
    assert info.choices["threads"].startswith("1: ")
    assert "in a forward" in info.choices["step_tokens"]
