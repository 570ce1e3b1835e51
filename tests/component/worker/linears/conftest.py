"""Layers and machines that several tests of the kernels share."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

VOCABULARY = 120


def _llama(**changes: Any) -> Any:
    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    return LlamaForCausalLM(LlamaConfig(**{**sizes, **changes}))


def _bert_config() -> BertConfig:
    changes: dict[str, Any] = {"num_labels": 3}
    return BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        **changes,
    )


def _gpt2() -> Any:
    config = GPT2Config(vocab_size=VOCABULARY, n_embd=48, n_layer=2, n_head=4, n_positions=64)
    return GPT2LMHeadModel(config)


MAKERS: dict[str, Callable[..., Any]] = {
    "llama": _llama,
    "bert": lambda: BertModel(_bert_config()),
    "bert-classifier": lambda: BertForSequenceClassification(_bert_config()),
    "gpt2": _gpt2,
}


@pytest.fixture
def tiny() -> Callable[..., Any]:
    """Makes a tiny model of a family, always with the same random weights."""

    def make(family: str, **changes: Any) -> Any:
        torch.manual_seed(0)
        module = MAKERS[family](**changes).eval()
        for parameter in module.parameters():
            # Fresh biases are zero and states small: neither would show an error.
            parameter.data.normal_(std=0.15)
        return module

    return make


TARGETS = {
    "llama": ["q_proj", "v_proj", "up_proj", "down_proj"],
    "bert": ["query", "value"],
    "bert-classifier": ["query", "dense"],
    "gpt2": ["c_attn", "c_proj"],
}
IDS = torch.arange(1, 13)[None]


@pytest.fixture
def save(tmp_path: Path, tiny: Callable[..., Any]) -> Callable[..., tuple[Path, torch.Tensor]]:
    """Writes an adapter with PEFT; returns its folder and what PEFT computes with it."""
    peft = pytest.importorskip("peft")

    def write(
        family: str, name: str = "one", config: str = "LoraConfig", seed: int = 1, **fields: Any
    ) -> tuple[Path, torch.Tensor]:
        fields = {"target_modules": TARGETS[family], "lora_alpha": 6} | fields
        if family == "gpt2":
            fields["fan_in_fan_out"] = True
        if config == "LoraConfig":
            fields = {"r": 4} | fields
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            adapted = peft.get_peft_model(tiny(family), getattr(peft, config)(**fields)).eval()
            torch.manual_seed(seed)
            for key, parameter in adapted.named_parameters():
                if "lora_" in key or "modules_to_save" in key:
                    parameter.data.normal_(std=0.3)
            adapted.save_pretrained(tmp_path / name)
            return tmp_path / name, _answer(adapted)

    return write


def _answer(module: Any) -> torch.Tensor:
    with torch.inference_mode():
        found = module(input_ids=IDS)
    result: torch.Tensor = found.logits if "logits" in found else found.last_hidden_state
    return result
