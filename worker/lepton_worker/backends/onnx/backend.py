"""Encoders from ONNX files, by onnxruntime, without torch."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from lepton_worker.backends.base import (
    AdapterFacts,
    DecoderSequence,
    EncodeInput,
    LoadOrder,
    Progress,
    Span,
)
from lepton_worker.backends.onnx.encoder import OnnxEncoder
from lepton_worker.backends.onnx.facts import (
    entailment_of,
    labels_of,
    longest_input,
    named_labels,
    padding_of,
    scoring_of,
    text_config,
)
from lepton_worker.backends.onnx.failures import is_out_of_memory
from lepton_worker.backends.onnx.graph import Plan, plan_graph
from lepton_worker.backends.onnx.session import CPU, Session, open_session
from lepton_worker.backends.onnx.tokenizer import load_tokenizer
from lepton_worker.errors import (
    InvalidSetting,
    LoadOutOfMemory,
    RequestError,
    TaskNotSupported,
    WeightsCorrupt,
)
from lepton_worker.model import Model, Pooling
from lepton_worker.request import Task, Tokens, Vector
from lepton_worker.source.folder import read_config
from lepton_worker.source.onnx import BACKEND, find_onnx, has_safetensors

LABELLING = (Task.CLASSIFY, Task.TAG)
LEAST_STEP = 256
"""Tokens of a step at least: a forward may be shorter, but a step costs some work of its own."""


class OnnxBackend:
    """One graph, run over batches of nearly one length."""

    def __init__(self) -> None:
        self._encoder: OnnxEncoder | None = None

    def load(self, order: LoadOrder) -> Model:
        """Load the file that the quantization names, from the folder or its subfolder `onnx`."""
        if order.task is Task.GENERATE:
            raise TaskNotSupported(
                f"backend {BACKEND} serves encoders alone, not task generate: choose backend auto, "
                "with the weights as safetensors"
            )
        file = find_onnx(order.folder, order.quantization)
        config = text_config(read_config(order.folder))
        session = open_session(file, order)
        plan = plan_graph(order.task, session.inputs, session.outputs)
        if order.dtype not in ("auto", plan.dtype):
            raise InvalidSetting(
                f"dtype {order.dtype} was asked for, and {file.name} answers in {plan.dtype}: an "
                "ONNX file has its number format in it; leave the setting out"
            )
        facts = _facts(order, config, plan, session)
        padding = padding_of(config) or 0
        encoder = OnnxEncoder(
            session.run, plan, order.pooling.modes, padding, session.provider == CPU
        )
        batches, answer = _tried(encoder, facts, file)
        if order.step_tokens or encoder.alone:
            encoder.budget = order.step_tokens or LEAST_STEP
        else:
            encoder.tune_budget(facts.max_length)
        self._encoder = encoder
        return dataclasses.replace(
            _with_answer(facts, config, answer.shape[-1], file),
            step_tokens=order.step_tokens or max(encoder.budget, LEAST_STEP),
            choices={
                "backend": f"{BACKEND}: {_reason(order.folder)}",
                "batches": batches,
                "file": f"{file.relative_to(order.folder)}: for quantization {order.quantization}",
                "providers": f"{session.provider}: for device {order.device}",
                "step_tokens": _forwards(encoder, order),
                "threads": f"{order.threads}: the CPU that this worker may use",
            },
        )

    def warm_up(self) -> None:
        """Answer a trial input; its answer has to be made of numbers."""
        if isinstance(self.encode([EncodeInput(Tokens((0, 0)))])[0], RequestError):
            raise WeightsCorrupt(
                "the model answers a trial input with numbers that are not finite: "
                "its weights are damaged, or its number format is too narrow for them"
            )

    def encode(self, inputs: Sequence[EncodeInput]) -> list[Vector | RequestError]:
        """In padded groups."""
        assert self._encoder is not None, "encode before load"
        return self._encoder.encode(inputs)

    def load_adapter(self, name: str, folder: Path, source: str) -> AdapterFacts:
        """Refuse: the graph is as it was exported."""
        raise InvalidSetting(
            f"backend {BACKEND} takes no adapters, which change weights: backend auto does, with "
            "the weights as safetensors"
        )

    def unload_adapter(self, name: str) -> None:
        """None is loaded."""

    def begin(self, sequence: DecoderSequence) -> int:
        """Encoders have no texts in the making."""
        _encodes()

    def step(self, spans: Sequence[Span]) -> list[Progress | RequestError]:
        """Encoders have no texts in the making."""
        _encodes()

    def evict(self, sequence: DecoderSequence) -> None:
        """Encoders have no texts in the making."""
        _encodes()

    def release(self, sequence: DecoderSequence) -> None:
        """None is known."""

    def close(self) -> None:
        """Drop the graph."""
        self._encoder = None


def _encodes() -> NoReturn:
    raise AssertionError("a text for a model that encodes")


def _reason(folder: Path) -> str:
    return "asked for" if has_safetensors(folder) else "the weights are there as ONNX alone"


def _forwards(encoder: OnnxEncoder, order: LoadOrder) -> str:
    if encoder.alone:
        return "one input in a forward"
    how = "as asked for" if order.step_tokens else "the fastest of those tried"
    return f"{encoder.budget} in a forward: {how}"


def _facts(order: LoadOrder, config: dict[str, Any], plan: Plan, session: Session) -> Model:
    """What is known before the graph has answered."""
    pooling = order.pooling if order.task is Task.EMBED else Pooling()
    tokenizer = load_tokenizer(order.folder, plan.typed, pooling.lower_case)
    architectures = config.get("architectures") or [config.get("model_type", "")]
    return Model(
        task=order.task,
        offers=frozenset([order.task]),
        architecture=str(architectures[0]),
        backend=BACKEND,
        device="cpu" if session.provider == CPU else "cuda:0",
        dtype=plan.dtype,
        max_length=longest_input(config, order.max_length, pooling.max_length),
        vocabulary=int(config.get("vocab_size") or tokenizer.size),
        tokenizer=tokenizer,
        prompts={"": pooling.prefix, **pooling.prompts} if order.task is Task.EMBED else {},
        normalize=pooling.normalize,
    )


def _with_answer(facts: Model, config: dict[str, Any], numbers: int, file: Path) -> Model:
    """The same with what the numbers of an answer mean; raises WeightsCorrupt."""
    if facts.task is Task.EMBED:
        return dataclasses.replace(facts, dimensions=numbers)
    if facts.task not in LABELLING:
        return facts
    named = named_labels(config)
    if named not in (None, numbers):
        raise WeightsCorrupt(
            f"{file} gives {numbers} logits, and config.json names {named} labels: "
            "they are of different models"
        )
    labels = labels_of(config, numbers)
    if facts.task is Task.TAG:
        return dataclasses.replace(facts, labels=labels)
    scoring, entailment = scoring_of(config, numbers), entailment_of(labels)
    return dataclasses.replace(facts, labels=labels, scoring=scoring, entailment=entailment)


def _tried(encoder: OnnxEncoder, facts: Model, file: Path) -> tuple[str, Vector]:
    try:
        return encoder.settle_batches(facts.max_length, facts.vocabulary)
    except Exception as error:
        if is_out_of_memory(error):
            raise LoadOutOfMemory(
                "there was no memory left for a trial input: raise the memory limit"
            ) from error
        raise WeightsCorrupt(f"{file} fails on trial inputs: {error}") from error
