"""Tiny encoders as ONNX files, exported by torch from what `write_head` writes."""

import json
import logging
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
import transformers

from lepton_testing.heads import write_head
from lepton_worker.source.weights import SINGLE

FREE = {0: "batch", 1: "sequence"}


@dataclass(frozen=True)
class Export:
    """What is exported: a family of `heads`, the class with its head, and the outputs."""

    family: str
    head: str
    kind: Any
    outputs: tuple[str, ...]
    labels: tuple[str, ...] = ()


EXPORTS = {
    "classify": Export(
        "bert",
        "SequenceClassification",
        transformers.AutoModelForSequenceClassification,
        ("logits",),
        ("contradiction", "neutral", "entailment"),
    ),
    "embed": Export(
        "bert",
        "SequenceClassification",
        transformers.AutoModel,
        ("last_hidden_state", "pooler_output"),
    ),
    "tag": Export(
        "distilbert",
        "TokenClassification",
        transformers.AutoModelForTokenClassification,
        ("logits",),
        ("O", "B-PER", "I-PER"),
    ),
    "answer": Export(
        "roberta",
        "QuestionAnswering",
        transformers.AutoModelForQuestionAnswering,
        ("start_logits", "end_logits"),
    ),
}


def write_onnx(folder: Path, task: str) -> Path:
    """Write a model with its tokenizer, safetensors and model.onnx; returns the folder."""
    export = EXPORTS[task]
    # Exports take seconds a layer.
    shallow = {"n_layers" if export.family == "distilbert" else "num_hidden_layers": 1}
    write_head(folder, export.family, export.head, export.labels, **shallow)
    model = export.kind.from_pretrained(folder).eval()
    if task == "embed":
        config = json.loads((folder / "config.json").read_text())
        changed = {**config, "architectures": [type(model).__name__]}
        (folder / "config.json").write_text(json.dumps(changed))
    names = ["input_ids", "attention_mask"]
    names += ["token_type_ids"] if export.family == "bert" else []
    ids = torch.tensor([[5, 6, 7, 8, 9, 3], [5, 6, 7, 8, 1, 1]])
    mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    given = dict(zip(names, [ids, mask, torch.zeros_like(ids)], strict=False))
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            kwargs=given,
            f=str(folder / "model.onnx"),
            input_names=names,
            output_names=list(export.outputs),
            dynamo=True,
            verbose=False,
            external_data=False,
            dynamic_shapes=dict.fromkeys(names, FREE),
        )
    return folder


def copied(folder: Path, target: Path, keep_safetensors: bool = False) -> Path:
    """A copy to change, with the ONNX file as its only weights."""
    shutil.copytree(folder, target)
    if not keep_safetensors:
        (target / SINGLE).unlink()
    return target


def pooling_itself(folder: Path) -> None:
    """Let the graph give the first token's state as `sentence_embedding` too."""
    graph = onnx.load(folder / "model.onnx")
    first = onnx.helper.make_tensor("first", onnx.TensorProto.INT64, [], [0])
    graph.graph.initializer.append(first)
    taken = onnx.helper.make_node(
        "Gather", ["last_hidden_state", "first"], ["sentence_embedding"], axis=1
    )
    graph.graph.node.append(taken)
    kind = onnx.TensorProto.FLOAT
    graph.graph.output.append(
        onnx.helper.make_tensor_value_info("sentence_embedding", kind, ["batch", "width"])
    )
    onnx.save(graph, folder / "model.onnx")


def with_external_data(folder: Path) -> Path:
    """Keep the weights in a file of their own, as exporters do for large models."""
    data = "model.onnx_data"
    graph = onnx.load(folder / "model.onnx")
    onnx.save_model(
        graph, folder / "model.onnx", save_as_external_data=True, location=data, size_threshold=1024
    )
    return folder / data


def with_whole_number_weights(folder: Path) -> None:
    """Write model_quantized.onnx: matrix products in int8, with one scale for all of a batch."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it recommends steps that this graph does not need
    try:
        source, target = folder / "model.onnx", folder / "model_quantized.onnx"
        quantize_dynamic(source, target, weight_type=QuantType.QInt8)
    finally:
        root.setLevel(level)
