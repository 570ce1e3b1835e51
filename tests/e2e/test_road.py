"""The whole road: apply, Ready, right answers, load, workers come and go, delete, nothing left."""

import json
from pathlib import Path
from typing import Any, cast

import grpc
import numpy as np
import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from lepton.v1 import (
    control_pb2,
    control_pb2_grpc,
    generation_pb2,
    generation_pb2_grpc,
    text_pb2,
    text_pb2_grpc,
)
from lepton_testing.installation import Installation, a_model
from lepton_testing.load import Load
from localcluster.cluster import Cluster

pytestmark = pytest.mark.e2e

SENTENCES = [
    "The harbour lights came on one after another.",
    "One by one the lamps along the quay began to glow.",
    "Interest rates were left unchanged.",
    "Ein kurzer Satz auf Deutsch, mit Umlauten: äöü.",
    "🙂",
]
SMALL_CPU = {"requests": {"cpu": "100m", "memory": "256Mi"}}


def embeddings(folder: Path, sentences: list[str]) -> np.ndarray:
    """What transformers itself computes: mean over the tokens, scaled to length 1."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    vectors = []
    with torch.inference_mode():
        for sentence in sentences:
            tokens = tokenizer(sentence, return_tensors="pt")
            mean = model(**tokens).last_hidden_state[0].mean(dim=0)
            vectors.append(torch.nn.functional.normalize(mean, dim=0).numpy())
    return np.stack(vectors)


def test_embeddings_equal_transformers(
    lepton: Installation, space: str, model_folder: Path
) -> None:
    lepton.cluster.apply(a_model("minilm"), namespace=space)
    lepton.await_condition("minilm", space, "Ready=True", timeout=180)
    with lepton.channel("minilm", space) as channel:
        answer = text_pb2_grpc.TextStub(channel).Embed(
            text_pb2.EmbedRequest(inputs=SENTENCES), timeout=30
        )
    served = np.stack([np.frombuffer(item.values, "<f4") for item in answer.results])
    expected = embeddings(model_folder / "minilm", SENTENCES)
    assert answer.dimensions == 384
    assert np.abs(served - expected).max() <= 1e-5
    assert served[0] @ served[1] > served[0] @ served[2] + 0.2  # the weights are real


def test_greedy_tokens_equal_transformers(
    lepton: Installation, space: str, model_folder: Path
) -> None:
    folder = model_folder / "llama"
    lepton.cluster.apply(a_model("writer", "pvc://models/llama"), namespace=space)
    lepton.await_condition("writer", space, "Ready=True", timeout=180)
    request = generation_pb2.GenerateRequest(
        text="The lighthouse keeper",
        sampling=generation_pb2.Sampling(max_new_tokens=24, temperature=0),
    )
    with lepton.channel("writer", space) as channel:
        stub = generation_pb2_grpc.GenerationStub(channel)
        events = list(stub.Generate(request, timeout=60))
    tokens = [token for event in events for token in event.delta.token_ids]
    text = "".join(event.delta.text for event in events)

    tokenizer, model = (
        AutoTokenizer.from_pretrained(folder),
        cast(Any, AutoModelForCausalLM.from_pretrained(folder)),
    )
    prompt = tokenizer("The lighthouse keeper", return_tensors="pt")
    with torch.inference_mode():
        whole = model.generate(**prompt, max_new_tokens=24, do_sample=False)
    expected = whole[0, prompt["input_ids"].shape[1] :].tolist()
    assert tokens == expected
    assert text == tokenizer.decode(expected, skip_special_tokens=True)
    assert events[0].HasField("accepted")
    assert events[-1].finish.usage.output_tokens == len(expected) == 24


def test_class_probabilities_equal_transformers(
    lepton: Installation, space: str, model_folder: Path
) -> None:
    folder = model_folder / "bert-classifier"
    lepton.cluster.apply(a_model("judge", "pvc://models/bert-classifier"), namespace=space)
    lepton.await_condition("judge", space, "Ready=True", timeout=180)
    with lepton.channel("judge", space) as channel:
        answer = text_pb2_grpc.TextStub(channel).Classify(
            text_pb2.ClassifyRequest(inputs=SENTENCES), timeout=30
        )
        info = control_pb2_grpc.ControlStub(channel).GetModelInfo(
            control_pb2.GetModelInfoRequest(), timeout=10
        )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    for sentence, result in zip(SENTENCES, answer.results, strict=True):
        with torch.inference_mode():
            logits = model(**tokenizer(sentence, return_tensors="pt")).logits[0]
        expected = dict(
            zip(model.config.id2label.values(), logits.softmax(-1).tolist(), strict=True)
        )
        served = {label.name: label.score for label in result.labels}
        assert served.keys() == expected.keys()
        assert max(abs(served[name] - expected[name]) for name in served) <= 1e-5
    assert (info.task, list(info.labels)) == ("classify", list(model.config.id2label.values()))
    status = lepton.model("judge", space)["status"]
    assert (status["task"], status["phase"]) == ("classify", "Serving")
    assert status["engine"]["architecture"] == type(model).__name__


def _queue_depth(cluster: Cluster, model: str, namespace: str) -> int:
    raw = cluster.kubectl(
        "get",
        "--raw",
        f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/lepton_queue_depth"
        f"?labelSelector=model%3D{model}",
    )
    return int(json.loads(raw.stdout)["items"][0]["value"])


def test_workers_follow_the_queue_up_and_down_and_leave_nothing(
    lepton: Installation, space: str
) -> None:
    cluster = lepton.cluster
    scaling = {"maxReplicas": 3, "targetQueueDepth": 4}
    cluster.apply(a_model("elastic", scaling=scaling), namespace=space)
    lepton.await_condition("elastic", space, "Ready=True", timeout=180)
    lepton.await_condition("elastic", space, "Scaling=True/ScalingActive", timeout=60)
    lepton.await_replicas("elastic", space, 1)

    with Load(lepton.address("elastic", space), concurrency=24) as load:
        lepton.await_replicas("elastic", space, 3, timeout=180)
        # The sum is of samples up to a second apart: a client that moved on to another worker in
        # between is in both. Counting each request twice would never be within the bound for long.
        cluster.eventually(
            lambda: 1 <= _queue_depth(cluster, "elastic", space) <= 24 or None,
            "a queue depth that counts each request in hand once",
            timeout=30,
            namespace=space,
        )
    assert load.answered > 24
    assert load.failures == []
    lepton.await_replicas("elastic", space, 1, timeout=180)
    assert lepton.conditions("elastic", space)["Ready"]["status"] == "True"

    cluster.kubectl("delete", "lm", "elastic", "-n", space)
    kinds = "all,serviceaccounts,hpa,pdb,endpointslices"
    cluster.eventually(
        lambda: (
            not cluster.get(kinds, "-n", space, "-l", "lepton.ai/model=elastic")["items"] or None
        ),
        "no child of the deleted model",
        timeout=120,
        namespace=space,
    )
    gone = cluster.kubectl(
        "get",
        "--raw",
        f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{space}/lepton_queue_depth"
        "?labelSelector=model%3Delastic",
        check=False,
    )
    assert gone.returncode != 0
    assert "elastic" in gone.stderr  # a 404 that names the model, not a zero


def test_bad_requests_get_their_status_and_the_worker_goes_on(
    lepton: Installation, space: str
) -> None:
    lepton.cluster.apply(a_model("strict"), namespace=space)
    lepton.await_condition("strict", space, "Ready=True", timeout=180)
    with lepton.channel("strict", space) as channel:
        text = text_pb2_grpc.TextStub(channel)
        for request, code, words in (
            (text_pb2.EmbedRequest(), grpc.StatusCode.INVALID_ARGUMENT, "inputs"),
            (
                text_pb2.EmbedRequest(inputs=["x"], meta={"model": "other"}),
                grpc.StatusCode.NOT_FOUND,
                "strict",
            ),
            (
                text_pb2.EmbedRequest(inputs=["x" * (65 << 20)]),
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "larger",
            ),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                text.Embed(request, timeout=30)
            assert caught.value.code() is code
            assert words in (caught.value.details() or "")
        with pytest.raises(grpc.RpcError) as caught:
            text.Classify(text_pb2.ClassifyRequest(inputs=["x"]), timeout=30)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert text.Embed(text_pb2.EmbedRequest(inputs=["still here"]), timeout=30).results
