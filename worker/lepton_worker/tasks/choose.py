"""Which task a model is for, read from its own configuration."""

from dataclasses import dataclass
from typing import Any

from lepton_worker.errors import TaskNotSupported
from lepton_worker.model import Families
from lepton_worker.request import Task

OTHER_HEADS = ("ForMultipleChoice", "ForNextSentencePrediction")
HEADS = {
    Task.CLASSIFY: ("ForSequenceClassification",),
    Task.TAG: ("ForTokenClassification",),
    Task.ANSWER: ("ForQuestionAnswering", "ForQuestionAnsweringSimple"),
}
HEADLESS = {
    Task.GENERATE: "generation",
    Task.CLASSIFY: "classification",
    Task.TAG: "labels of tokens",
    Task.ANSWER: "answers",
}
GENERATING = ("ForCausalLM", "LMHeadModel")
REWRITING = ("ForConditionalGeneration", "MarianMTModel")
"""Encoder-decoders with a head for the next token."""
OFFERED = (
    "offered are generate (text generation: …ForCausalLM, and …ForConditionalGeneration of T5, "
    "BART, Marian, Pegasus, M2M100 and their relatives), classify (…ForSequenceClassification), "
    "tag (…ForTokenClassification), answer (…ForQuestionAnswering) and embed (text encoders)"
)


@dataclass(frozen=True)
class Nature:
    """What a config says of a model, as far as it decides the task."""

    architecture: str
    model_type: str
    encoder_decoder: bool
    sentence_encoder: bool

    @property
    def generates(self) -> bool:
        """Whether it has a head for the next token."""
        return self.architecture.endswith(GENERATING)

    @property
    def head(self) -> Task | None:
        """The task of its head; None where it has none, or one that no task uses."""
        if self.generates:
            return Task.GENERATE
        named = (task for task, ends in HEADS.items() if self.architecture.endswith(ends))
        return next(named, None)


def nature(config: dict[str, Any], sentence_encoder: bool) -> Nature:
    """Read a config; `sentence_encoder` says that the folder declares a pooling of its own."""
    architectures = config.get("architectures") or [""]
    return Nature(
        architecture=str(architectures[0]),
        model_type=str(config.get("model_type", "")),
        encoder_decoder=bool(config.get("is_encoder_decoder", False)),
        sentence_encoder=sentence_encoder,
    )


def choose_task(asked: str, model: Nature, families: Families) -> Task:
    """The task to serve; raises TaskNotSupported with what is offered instead."""
    name = model.architecture or model.model_type or "the model"
    if model.model_type not in families.known:
        raise TaskNotSupported(
            f"model type {model.model_type!r} ({name}) is not part of transformers here; "
            "models that bring code of their own are not run"
        )
    if model.encoder_decoder or model.architecture.endswith(REWRITING):
        return _of_encoder_decoder(asked, model, families, name)
    if model.model_type not in families.text:
        raise TaskNotSupported(f"{name} does not work on text alone; {OFFERED}")
    if asked == "auto":
        return _by_nature(model, families, name)
    task = Task(asked)
    if task is not Task.EMBED and task is not model.head:
        raise TaskNotSupported(f"{name} has no head for {HEADLESS[task]}; {OFFERED}")
    return task


def _of_encoder_decoder(asked: str, model: Nature, families: Families, name: str) -> Task:
    rewrites = model.architecture.endswith(REWRITING)
    task = Task.GENERATE if rewrites else model.head
    if model.model_type not in families.seq2seq or task not in (Task.GENERATE, Task.CLASSIFY):
        raise TaskNotSupported(
            f"{name} is an encoder-decoder model of a kind that is not served; {OFFERED}"
        )
    if asked not in ("auto", task):
        raise TaskNotSupported(
            f"{name} is an encoder-decoder model, which serves {task} alone, not {asked}"
        )
    return task


def _by_nature(model: Nature, families: Families, name: str) -> Task:
    if model.head in HEADS:
        return model.head
    if model.sentence_encoder:
        return Task.EMBED
    if model.generates:
        return Task.GENERATE
    if model.architecture.endswith(OTHER_HEADS):
        raise TaskNotSupported(
            f"{name} has a head that no task uses; {OFFERED}. "
            "With task embed its encoder serves without that head"
        )
    if model.model_type in families.causal and model.model_type not in families.masked:
        raise TaskNotSupported(
            f"{name} is a decoder without a head for generation; {OFFERED}. "
            "With task embed its states serve as embeddings"
        )
    return Task.EMBED
