"""Tiny models with random weights, and what transformers itself says to one input."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from transformers import (
    AutoModel,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from lepton_worker.backends.base import LoadOrder
from lepton_worker.backends.echo import ByteTokenizer
from lepton_worker.backends.transformers.loading import Loaded
from lepton_worker.model import Model, Pooling
from lepton_worker.request import Task, Tokens

VOCABULARY = 120
LONGEST = 60
KINDS: dict[Task, Any] = {
    Task.EMBED: AutoModel,
    Task.CLASSIFY: AutoModelForSequenceClassification,
    Task.TAG: AutoModelForTokenClassification,
    Task.ANSWER: AutoModelForQuestionAnswering,
}
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": LONGEST + 4,
    # Wide enough that texts differ by much more than by rounding.
    "initializer_range": 0.2,
}
GROUPED = {"num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0, "eos_token_id": 2}
SPECIAL = {"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
OWN: dict[str, dict[str, Any]] = {
    "DistilBert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48},
    "Albert": {"embedding_size": 16},
    "DebertaV2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "ModernBert": {"local_attention": 16, "global_attn_every_n_layers": 2, "pad_token_id": 0},
    "ModernBertMean": {"classifier_pooling": "mean", "local_attention": 16, "pad_token_id": 0},
    "EuroBert": GROUPED,
    "Llama": GROUPED,
    "Mistral": {**GROUPED, "sliding_window": 8},
}
"""Beside the shape, or in place of it for models that name theirs in another way."""


def build(name: str, task: Task, **changes: Any) -> Loaded:
    """A model by the name of its config class, with the head for a task."""
    kind = name.removesuffix("Mean")
    settings = {**({} if kind == "DistilBert" else SHAPE), **OWN.get(name, {}), **changes}
    settings |= {"vocab_size": VOCABULARY, "max_position_embeddings": LONGEST + 4}
    if "Modern" in name:
        settings |= SPECIAL
    labels = 2 if task is Task.ANSWER else 3
    config = getattr(transformers, f"{kind}Config")(num_labels=labels, **settings)
    torch.manual_seed(3)
    module = KINDS[task].from_config(config).eval()
    facts = Model(
        task=task,
        offers=frozenset([task]),
        architecture=type(module).__name__,
        backend="native",
        device="cpu",
        dtype="float32",
        max_length=LONGEST,
        vocabulary=VOCABULARY,
        tokenizer=ByteTokenizer(),
    )
    return Loaded(module, facts, config.pad_token_id)


def order(task: Task, step_tokens: int = 0) -> LoadOrder:
    return LoadOrder(Path(), task, step_tokens=step_tokens)


def pooling(task: Task, *modes: str) -> Pooling | None:
    return Pooling(modes or ("mean",)) if task is Task.EMBED else None


def texts(*lengths: int, seed: int = 1, types: bool = False) -> list[Tokens]:
    """Inputs without the token of padding, which RoBERTa and its kin do not count."""
    source = random.Random(seed)
    return [
        Tokens(
            tuple(source.randrange(5, VOCABULARY) for _ in range(length)),
            tuple(int(place > length // 2) for place in range(length)) if types else None,
        )
        for length in lengths
    ]


Says = Callable[[Tokens], torch.Tensor]


def stock(loaded: Loaded, mode: str = "mean") -> Says:
    """The model's own forward on one input, with its own attention; pooled for embeddings."""
    module, task = loaded.module, loaded.facts.task
    attention = module.config._attn_implementation

    def says(tokens: Tokens) -> torch.Tensor:
        arguments = {"input_ids": torch.tensor([tokens.ids])}
        if tokens.types is not None:
            arguments["token_type_ids"] = torch.tensor([tokens.types])
        now = module.config._attn_implementation
        module.set_attn_implementation(attention)
        with torch.inference_mode():
            output = module(**arguments)
        module.set_attn_implementation(now)
        if task is Task.EMBED:
            states = output.last_hidden_state[0]
            ways = {"mean": states.mean(0), "cls": states[0], "lasttoken": states[-1]}
            return cast(torch.Tensor, ways[mode])
        if task is Task.ANSWER:
            return torch.stack([output.start_logits[0], output.end_logits[0]], dim=-1)
        return cast(torch.Tensor, output.logits[0])

    return says


def far(got: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference of two answers by the largest number."""
    assert got.shape == expected.shape
    return float((got - expected).abs().max() / expected.abs().max())
