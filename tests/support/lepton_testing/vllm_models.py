"""Decoders of the smallest shape that vLLM's CPU kernels take, and what drives a backend alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from lepton_worker.backends.base import Backend, DecoderSequence, Progress, Span
from lepton_worker.errors import RequestError
from lepton_worker.request import Sampling, Tokens
from lepton_worker.samples.vocabularies import byte_level

LONGEST = 256
FAMILIES = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
}
MOST_ROUNDS = 2000


def write_model(folder: Path, family: str, **generation: object) -> Path:
    """A folder as `save_pretrained` writes it, the weights the same each time."""
    tokenizer = byte_level("<|begin|>")
    kind, build = FAMILIES[family]
    config = kind(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=LONGEST,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        # Wider than usual: the untrained answers differ clearly from one another.
        initializer_range=0.3,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = build(config)
    model.generation_config.update(**generation)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def sequence(
    ids: Sequence[int], most_new: int, priority: int = 0, **sampling: Any
) -> DecoderSequence:
    """A text to come."""
    chosen = Sampling(max_new_tokens=most_new, **sampling)
    return DecoderSequence(Tokens(tuple(ids)), chosen, priority=priority)


def made(text: DecoderSequence) -> list[int]:
    """What was generated of a text so far."""
    return text.ids[len(text.prompt) :]


def is_whole(text: DecoderSequence, progress: Progress) -> bool:
    """Whether the engine would end the text here."""
    if progress.token is None:
        return text.sampling.max_new_tokens == 0 and progress.computed is None
    last = progress.ended or progress.token in text.sampling.ends
    return last or len(made(text)) >= text.sampling.max_new_tokens


def finish(backend: Backend, texts: Sequence[DecoderSequence]) -> list[list[Progress]]:
    """Begin texts, run them to their ends and release them; what each step told of each text.

    Steps that told nothing of a text are left out. Raises the error of a text that fails.
    """
    for text in texts:
        backend.begin(text)
    told: dict[DecoderSequence, list[Progress]] = {text: [] for text in texts}
    running = list(texts)
    for _ in range(MOST_ROUNDS):
        if not running:
            return list(told.values())
        outcomes = backend.step([Span(text, 1) for text in running])
        for text, outcome in zip(list(running), outcomes, strict=True):
            if isinstance(outcome, RequestError):
                raise outcome
            if outcome.computed is None:
                told[text].append(outcome)
            if is_whole(text, outcome):
                running.remove(text)
                backend.release(text)
    raise AssertionError(f"{len(running)} texts did not end")
