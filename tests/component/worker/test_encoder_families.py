"""Many families of encoders over gRPC: embeddings and labels are those of transformers on each text
alone, whatever list the text is in."""

import dataclasses
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from lepton.v1 import text_pb2
from lepton_testing.driven import Driven
from lepton_testing.families import ENCODERS, HEADS, LONGEST, opened, write_encoder
from lepton_testing.hosted import Host
from lepton_worker.request import Task, Tokens
from lepton_worker.samples.sentences import SENTENCES

pytestmark = pytest.mark.component

PAGE = (Path(__file__).parents[3] / "docs/reference/architectures.md").read_text()
ROW = r"^\| {name} \| (\w+) \| ([\w ]+) \|"
CLOSE = 1e-5
COUNT = 50
BATCHES = {
    "DebertaV2": ("padded", "computes attention in its own way"),
    "MPNet": ("padded", "computes attention in its own way"),
}
"""Families that run in another way than packed, and why."""


@dataclasses.dataclass(frozen=True)
class Encoder:
    """A folder, what runs it, and transformers' own."""

    backend: Any
    model: Any
    tokenizer: Any
    module: Any

    def states(self, text: str) -> torch.Tensor:
        """Last states of a text's tokens, [tokens, width]."""
        states: torch.Tensor = self._output(text).last_hidden_state[0]
        return states

    def logits(self, text: str) -> torch.Tensor:
        """Logits of a text, [labels] or [tokens, labels]."""
        logits: torch.Tensor = self._output(text).logits[0]
        return logits

    def _output(self, text: str) -> Any:
        with torch.inference_mode():
            return self.module(input_ids=torch.tensor([self.ids(text)]))

    def ids(self, text: str) -> list[int]:
        """A text's tokens."""
        found: list[int] = self.tokenizer(text).input_ids
        return found


def encoder_of(folder: Path, head: str, task: Task) -> Encoder:
    backend, model = opened(folder, task)
    module = HEADS[head].from_pretrained(folder).eval()
    return Encoder(backend, model, AutoTokenizer.from_pretrained(folder), module)


def texts(encoder: Encoder) -> list[str]:
    """As many as make a list, of one word to the most that fit, one of them exactly."""
    source = random.Random(4)
    words = " ".join(SENTENCES).split()
    made = []
    for place in range(COUNT - 1):
        length = 1 + place * LONGEST // COUNT
        text = " ".join(source.choices(words, k=length))
        while len(encoder.ids(text)) > LONGEST:
            text = text.rsplit(" ", 1)[0]
        made.append(text)
    longest = "a" + " a" * (LONGEST - 3)
    assert len(encoder.ids(longest)) == LONGEST
    return [*made[::2], longest, *made[1::2]]


def check_batches(encoder: Encoder, name: str) -> None:
    """How it runs, and whether the page about architectures says so."""
    how, why = BATCHES.get(name, ("packed", "same numbers as one by one"))
    said = encoder.model.choices["batches"]
    assert said.startswith(f"{how}: ")
    assert why in said
    row = re.search(ROW.format(name=name), PAGE.partition("## Encoders")[2], re.MULTILINE)
    assert row is not None
    assert row.groups() == (encoder.model.architecture, how)


@pytest.mark.parametrize(
    ("name", "pooling"),
    [
        *((name, "mean") for name in ENCODERS),
        *((name, "cls") for name in ("Bert", "DebertaV2", "ModernBert", "Qwen3")),
    ],
)
def test_embeddings(host: Host, tmp_path: Path, name: str, pooling: str) -> None:
    folder = write_encoder(tmp_path / "model", name, "", pooling)
    encoder = encoder_of(folder, "", Task.EMBED)
    check_batches(encoder, name)
    asked = texts(encoder)
    with host.lent(encoder.backend, encoder.model) as (served, _):
        together = served.text.Embed(text_pb2.EmbedRequest(inputs=asked), timeout=60).results
        alone = [
            served.text.Embed(text_pb2.EmbedRequest(inputs=[text]), timeout=60).results[0]
            for text in asked[:3]
        ]
    for text, got in [*zip(asked, together, strict=True), *zip(asked, alone, strict=False)]:
        states = encoder.states(text)
        expected = (states.mean(0) if pooling == "mean" else states[0]).numpy()
        far = np.abs(np.frombuffer(got.values, "<f4") - expected).max()
        assert far <= CLOSE * max(1.0, np.abs(expected).max()), text


@pytest.mark.parametrize("name", ENCODERS)
def test_probabilities(host: Host, tmp_path: Path, name: str) -> None:
    head = "ForSequenceClassification"
    encoder = encoder_of(write_encoder(tmp_path / "model", name, head), head, Task.CLASSIFY)
    asked = texts(encoder)
    with host.lent(encoder.backend, encoder.model) as (served, _):
        together = served.text.Classify(text_pb2.ClassifyRequest(inputs=asked), timeout=60).results
        alone = [
            served.text.Classify(text_pb2.ClassifyRequest(inputs=[text]), timeout=60).results[0]
            for text in asked[:3]
        ]
    names = encoder.module.config.id2label
    seen = set()
    for text, got in [*zip(asked, together, strict=True), *zip(asked, alone, strict=False)]:
        expected = encoder.logits(text).softmax(-1).tolist()
        scores = {label.name: label.score for label in got.labels}
        assert [scores[names[place]] for place in range(3)] == pytest.approx(expected, abs=CLOSE)
        seen.add(round(expected[0], 3))
    assert len(seen) > 10, "shows little"


@pytest.mark.parametrize("name", ENCODERS)
def test_labels_of_tokens(tmp_path: Path, name: str) -> None:
    head = "ForTokenClassification"
    encoder = encoder_of(write_encoder(tmp_path / "model", name, head), head, Task.TAG)
    asked = texts(encoder)
    driven = Driven(encoder.backend, encoder.model)
    number = driven.inputs([Tokens(tuple(encoder.ids(text))) for text in asked])
    driven.finish()
    assert not driven.failed
    for text, got in zip(asked, driven.vectors[number].vectors, strict=True):
        expected = encoder.logits(text).numpy()
        assert isinstance(got, np.ndarray)
        assert got.shape == expected.shape
        assert np.abs(got - expected).max() <= CLOSE * max(1.0, np.abs(expected).max())
