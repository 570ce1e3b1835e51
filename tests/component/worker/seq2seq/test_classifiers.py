"""Encoder-decoders with a head for whole texts, held against their own forward on each text."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from lepton.v1 import control_pb2, text_pb2
from lepton_testing.hosted import Host
from lepton_testing.seq2seq import BART, T5
from lepton_worker.backends.base import EncodeInput, LoadOrder
from lepton_worker.backends.native.backend import NativeBackend
from lepton_worker.backends.transformers.backend import TransformersBackend
from lepton_worker.request import Task
from lepton_worker.samples.sentences import SENTENCES
from lepton_worker.samples.vocabularies import roberta, unigram

pytestmark = pytest.mark.component

CLOSE = 1e-5
LABELS = ["contradiction", "neutral", "entailment"]
TEXTS = [*SENTENCES[:9], "No", "snow " * 20]
FAMILIES = ["Bart", "MBart", "PLBart", "T5", "MT5", "UMT5"]


def a_folder(folder: Path, family: str) -> Path:
    """A classifier with random weights, and a tokenizer whose texts have one end each."""
    like_t5 = family.endswith("T5")
    tokenizer = unigram() if like_t5 else roberta()
    sizes = {
        **(T5 if like_t5 else BART),
        "vocab_size": len(tokenizer),
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "id2label": dict(enumerate(LABELS)),
        "label2id": {label: place for place, label in enumerate(LABELS)},
    }
    torch.manual_seed(2)
    config = getattr(transformers, f"{family}Config")(**sizes)
    model: Any = getattr(transformers, f"{family}ForSequenceClassification")(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.copy_(torch.randn(weight.shape) * 0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def logits_of(module: Any, ids: tuple[int, ...]) -> torch.Tensor:
    """Logits of one text alone, as float64."""
    with torch.inference_mode():
        logits: torch.Tensor = module(input_ids=torch.tensor([ids])).logits[0]
    return logits.double()


@pytest.mark.parametrize(
    ("make", "family"),
    [*((NativeBackend, family) for family in FAMILIES), (TransformersBackend, "Bart")],
)
def test_logits_in_a_batch_are_those_of_each_text(tmp_path: Path, make: Any, family: str) -> None:
    folder = a_folder(tmp_path, family)
    module: Any = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    backend = make()
    facts = backend.load(LoadOrder(folder, Task.CLASSIFY, quantization="none"))
    backend.warm_up()
    assert facts.labels == tuple(LABELS)
    items = facts.tokenizer.encode(TEXTS)
    found = backend.encode([EncodeInput(item.tokens) for item in items])
    own = torch.stack([logits_of(module, item.tokens.ids) for item in items])
    exact = torch.stack([logits_of(module.double(), item.tokens.ids) for item in items])
    # float32 itself is off by as much; how sums are rounded differs from one batch to another.
    rounding = 2 * float((own - exact).abs().max())
    for row, alone in zip(found, own, strict=True):
        bound = CLOSE * float(alone.abs().max()) + rounding
        assert torch.allclose(torch.tensor(row).double(), alone, atol=bound)
    assert rounding <= 1e-3 * float(own.abs().max())
    assert len({round(float(row[0]), 4) for row in found}) > 5
    if make is NativeBackend:
        assert facts.choices["batches"].startswith("padded: ")


@pytest.mark.parametrize("family", ["Bart", "T5"])
def test_texts_with_more_ends_are_no_harm_to_others(tmp_path: Path, family: str) -> None:
    folder = a_folder(tmp_path, family)
    backend = NativeBackend()
    facts = backend.load(LoadOrder(folder, Task.CLASSIFY, quantization="none"))
    pairs = [("The boats lay still.", "It is quiet."), ("Bread", "Water and salt")]
    inputs = [item.tokens for item in facts.tokenizer.encode_pairs(pairs)]
    inputs += [item.tokens for item in facts.tokenizer.encode(TEXTS[:3])]
    alone = [backend.encode([EncodeInput(tokens)])[0] for tokens in inputs]
    together = backend.encode([EncodeInput(tokens) for tokens in inputs])
    for one, other in zip(alone, together, strict=True):
        assert not isinstance(one, Exception)
        assert not isinstance(other, Exception)
        assert abs(one - other).max() <= CLOSE * abs(one).max()


def test_labels_of_the_callers_own(host: Host, tmp_path: Path) -> None:
    folder = a_folder(tmp_path, "Bart")
    served = host.serve(source=str(folder), model_name="mnli", quantization="none")
    info = served.control.GetModelInfo(control_pb2.GetModelInfoRequest())
    assert (info.task, info.backend) == ("classify", "native")
    asked = text_pb2.ClassifyZeroShotRequest(
        inputs=TEXTS[:2], labels=["weather", "sport"], multi_label=True
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    module: Any = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    for text, result in zip(TEXTS, served.text.ClassifyZeroShot(asked).results, strict=False):
        found = {label.name: label.score for label in result.labels}
        for label in asked.labels:
            ids = tokenizer(text, f"This example is {label}.", return_tensors="pt").input_ids
            with torch.inference_mode():
                logits = module(input_ids=ids).logits[0]
            expected = float(logits[[0, 2]].softmax(-1)[1])
            assert found[label] == pytest.approx(expected, abs=CLOSE)
