"""Adapters made with PEFT, and the models that PEFT makes of them."""

import warnings
from pathlib import Path
from typing import Any

import torch

TARGETS = {
    "LlamaForCausalLM": ["q_proj", "v_proj", "up_proj", "down_proj"],
    "BertModel": ["query", "value", "dense"],
}


def write_adapter(folder: Path, module: Any, seed: int, rank: int = 4) -> Any:
    """Write an adapter of a module with random weights; returns the module with it, which is
    changed."""
    import peft

    targets = TARGETS[type(module).__name__]
    config = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapted = peft.get_peft_model(module, config).eval()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for name, parameter in adapted.named_parameters():
                if "lora_" in name:
                    parameter.data.normal_(std=0.3)
        adapted.save_pretrained(str(folder))
    return adapted
