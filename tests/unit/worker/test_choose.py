"""Which task a model gets, by its configuration and by what was asked for."""

from typing import Any

import pytest

from lepton_worker.errors import TaskNotSupported
from lepton_worker.model import Families
from lepton_worker.request import Task
from lepton_worker.tasks.choose import choose_task, nature

TEXT = frozenset({"bert", "gpt2", "llama", "marian", "t5"})
FAMILIES = Families(
    known=TEXT | {"vit", "whisper"},
    text=TEXT,
    causal=frozenset({"bert", "gpt2", "llama"}),
    masked=frozenset({"bert"}),
    seq2seq=frozenset({"t5", "marian"}),
)


def a_config(architecture: str, model_type: str, **more: Any) -> dict[str, Any]:
    return {"architectures": [architecture], "model_type": model_type, **more}


@pytest.mark.parametrize(
    ("architecture", "model_type", "pooling", "asked", "task"),
    [
        ("LlamaForCausalLM", "llama", False, "auto", Task.GENERATE),
        ("GPT2LMHeadModel", "gpt2", False, "auto", Task.GENERATE),
        ("BertForSequenceClassification", "bert", False, "auto", Task.CLASSIFY),
        ("BertForSequenceClassification", "bert", True, "auto", Task.CLASSIFY),
        ("BertModel", "bert", False, "auto", Task.EMBED),
        ("BertForMaskedLM", "bert", False, "auto", Task.EMBED),
        ("BertModel", "bert", True, "auto", Task.EMBED),
        ("LlamaModel", "llama", True, "auto", Task.EMBED),
        ("LlamaForCausalLM", "llama", True, "auto", Task.EMBED),
        ("LlamaForCausalLM", "llama", False, "embed", Task.EMBED),
        ("LlamaModel", "llama", False, "embed", Task.EMBED),
        ("BertForTokenClassification", "bert", False, "embed", Task.EMBED),
        ("BertForTokenClassification", "bert", False, "auto", Task.TAG),
        ("BertForTokenClassification", "bert", False, "tag", Task.TAG),
        ("BertForQuestionAnswering", "bert", False, "auto", Task.ANSWER),
        ("LlamaForQuestionAnswering", "llama", False, "answer", Task.ANSWER),
        ("LlamaForSequenceClassification", "llama", False, "classify", Task.CLASSIFY),
        ("T5ForConditionalGeneration", "t5", False, "auto", Task.GENERATE),
        ("MarianMTModel", "marian", False, "generate", Task.GENERATE),
    ],
)
def test_task(architecture: str, model_type: str, pooling: bool, asked: str, task: Task) -> None:
    assert choose_task(asked, nature(a_config(architecture, model_type), pooling), FAMILIES) is task


@pytest.mark.parametrize("asked", ["auto", "classify"])
def test_an_encoder_decoder_with_a_head_for_texts(asked: str) -> None:
    config = a_config("T5ForSequenceClassification", "t5", is_encoder_decoder=True)
    assert choose_task(asked, nature(config, False), FAMILIES) is Task.CLASSIFY
    with pytest.raises(TaskNotSupported, match="serves classify alone, not generate"):
        choose_task("generate", nature(config, False), FAMILIES)


@pytest.mark.parametrize(
    ("config", "asked", "words"),
    [
        (a_config("BertModel", "bert"), "generate", "no head for generation; offered are"),
        (a_config("LlamaForCausalLM", "llama"), "classify", "no head for classification"),
        (a_config("GPT2Model", "gpt2"), "auto", "a decoder without a head for generation.*embed"),
        (a_config("T5Model", "t5", is_encoder_decoder=True), "auto", "encoder-decoder"),
        (a_config("T5ForConditionalGeneration", "t5"), "embed", "serves generate alone, not embed"),
        (a_config("WhisperForConditionalGeneration", "whisper"), "auto", "a kind that is not"),
        (
            a_config("T5ForTokenClassification", "t5", is_encoder_decoder=True),
            "auto",
            "a kind that is not",
        ),
        (
            a_config("BertForSequenceClassification", "bert", is_encoder_decoder=True),
            "auto",
            "encoder-decoder",
        ),
        (a_config("BertForMultipleChoice", "bert"), "auto", "a head that no task uses"),
        (a_config("BertForTokenClassification", "bert"), "answer", "no head for answers"),
        (a_config("BertForQuestionAnswering", "bert"), "tag", "no head for labels of tokens"),
        (a_config("ViTModel", "vit"), "auto", "does not work on text alone"),
        (a_config("Strange", "strange", auto_map={}), "auto", "code of their own are not run"),
        ({}, "auto", "the model"),
    ],
)
def test_what_cannot_be_served_is_told_with_what_can(
    config: dict[str, Any], asked: str, words: str
) -> None:
    with pytest.raises(TaskNotSupported, match=words):
        choose_task(asked, nature(config, False), FAMILIES)
