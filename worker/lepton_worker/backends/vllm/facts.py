"""What is known of a model that vLLM has loaded, from its folder and vLLM's own configuration."""

from pathlib import Path
from typing import Any

from transformers import AutoConfig, GenerationConfig

from lepton_worker.backends.base import LoadOrder
from lepton_worker.backends.transformers.chat_template import chat_template, special_tokens
from lepton_worker.backends.transformers.generation import declared, resolved
from lepton_worker.backends.transformers.tokenizer import load_tokenizer
from lepton_worker.backends.vllm.arguments import SEATS, cache_tokens
from lepton_worker.model import GenerationDefaults, Model
from lepton_worker.request import Task


def defaults_of(folder: Path) -> GenerationDefaults:
    """What holds where a request says nothing, as transformers would read it."""
    try:
        config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    except OSError:
        model = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        config = GenerationConfig.from_model_config(model)
    return resolved(declared(folder), config.eos_token_id, encoder_decoder=False)


def model_of(order: LoadOrder, config: Any, device: str, version: str) -> Model:
    """The facts; `config` is a VllmConfig behind the start of its engine."""
    model, cache, scheduler = config.model_config, config.cache_config, config.scheduler_config
    total, longest = int(cache.kv_cache_size_tokens), int(model.max_model_len)
    return Model(
        task=Task.GENERATE,
        offers=frozenset([Task.GENERATE]),
        architecture=str(model.architecture),
        backend="vllm",
        device=device,
        dtype=str(model.dtype).removeprefix("torch."),
        max_length=longest,
        vocabulary=int(model.get_vocab_size()),
        tokenizer=load_tokenizer(order.folder),
        defaults=defaults_of(order.folder),
        slots=order.slots,
        cache_tokens=cache_tokens(total, int(cache.block_size), order.slots, longest),
        step_tokens=int(scheduler.max_num_batched_tokens),
        schedules=True,
        chat_template=chat_template(order.folder),
        special_tokens=special_tokens(order.folder),
        choices={
            "backend": f"vllm {version}",
            "batches": f"vLLM's own scheduler, {order.slots} texts handed to it at a time and "
            f"{SEATS * order.slots} inside it at most",
            "cache_tokens": f"{total}: what vLLM found room for",
            "max_length": f"{longest}: {'asked for' if order.max_length else 'found by vLLM'}",
        },
    )
