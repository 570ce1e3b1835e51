"""What a process needs that only tokenizes, and models that are not of the usual kind."""

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from lepton.v1 import control_pb2, text_pb2
from lepton_testing.hosted import Host, Served
from lepton_worker.backends.transformers.tokenizer import load_tokenizer

pytestmark = pytest.mark.component

SCRIPT = """
import pickle, sys
tokenizer = pickle.load(open(sys.argv[1], "rb"))
print(*tokenizer.encode(["Boats lie still."])[0].tokens.ids)
print(*(name for name in ("torch", "transformers") if name in sys.modules))
"""
SEA = "The harbour was quiet. Fishing boats and a ferry lay at the pier, waiting for the tide."
DOCUMENTS = [
    "The recipe needs flour, butter and three eggs.",
    "Ships wait outside the port until high water.",
    "Interest rates were raised by a quarter of a point.",
]


def test_a_tokenizer_crosses_to_a_process_without_torch(heads: Any, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(heads("bert", "TokenClassification"))
    sent = tmp_path / "tokenizer"
    sent.write_bytes(pickle.dumps(tokenizer))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(sent)], capture_output=True, text=True, check=True
    )
    ids, modules = done.stdout.split("\n")[:2]
    assert ids.split() == [
        str(token) for token in tokenizer.encode(["Boats lie still."])[0].tokens.ids
    ]
    assert modules == ""


def test_real_vectors_find_what_belongs_together(
    serving: Callable[..., Served], minilm: Path
) -> None:
    served = serving(minilm)
    request = text_pb2.RerankRequest(query="boats in a harbour", documents=DOCUMENTS)
    ranked = served.text.Rerank(request).results
    assert ranked[0].index == 1
    assert ranked[0].score > 0.3 > ranked[1].score
    (found,) = served.text.Keywords(text_pb2.KeywordsRequest(inputs=[SEA], top_k=3)).results
    assert {"boats", "harbour"} & {word for item in found.keywords for word in item.text.split()}


@pytest.mark.parametrize(
    ("call", "request_"),
    [
        ("Tag", text_pb2.TagRequest(inputs=["a"])),
        ("Answer", text_pb2.AnswerRequest(questions=[text_pb2.Question()])),
        ("Sentiment", text_pb2.SentimentRequest(inputs=["a"])),
    ],
)
def test_the_echo_answers_whole_texts_alone(host: Host, call: str, request_: Any) -> None:
    served = host.serve(backend="echo", model_name="echo", max_model_length=64)
    info = served.control.GetModelInfo(control_pb2.GetModelInfoRequest())
    assert "lepton.v1.Text/Embed" in info.calls
    assert f"lepton.v1.Text/{call}" not in info.calls
    with pytest.raises(grpc.RpcError) as caught:
        getattr(served.text, call)(request_)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "call Generate, Classify, Embed, Rerank" in str(caught.value.details())
