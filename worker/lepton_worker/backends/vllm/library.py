"""All that is asked of the package vllm itself; making a `Library` imports it, for seconds."""

import importlib
import logging
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from transformers import AutoConfig

from lepton_worker.backends.base import LoadOrder
from lepton_worker.backends.native.slots import bytes_per_token
from lepton_worker.backends.vllm.arguments import SEATS, arguments, cache_bytes
from lepton_worker.backends.vllm.parameters import STRUCTURED, fields
from lepton_worker.errors import InvalidSetting, LoadOutOfMemory
from lepton_worker.limits import resident_bytes
from lepton_worker.request import Sampling
from lepton_worker.settings import direct_vllm
from lepton_worker.source.weights import memory_needed

SPARE_TOKENS = 256
"""For each text on a CPU: two of the blocks in which vLLM gives out memory there."""


class Library:
    """The package, imported and told to keep to this process."""

    def __init__(self) -> None:
        direct_vllm()
        self._vllm: Any = importlib.import_module("vllm")
        self._inputs: Any = importlib.import_module("vllm.inputs")
        self._sampling: Any = importlib.import_module("vllm.sampling_params")
        self._platforms: Any = importlib.import_module("vllm.platforms")
        self.version = str(self._vllm.__version__)
        self.refusals = _refusals()
        if not logging.getLogger("lepton_worker").isEnabledFor(logging.DEBUG):
            logging.getLogger("vllm").setLevel(logging.WARNING)
        self._end_of_text: int | None = None

    @property
    def for_cpu(self) -> bool:
        """Whether it is built for CPUs alone."""
        return bool(self._platforms.current_platform.is_cpu())

    @property
    def architectures(self) -> frozenset[str]:
        """The names of classes that it has."""
        return frozenset(self._vllm.ModelRegistry.get_supported_archs())

    def start(self, order: LoadOrder, device: str, seed: int) -> Any:
        """An LLMEngine with the core in this process; raises LoadError."""
        given = arguments(order, device, seed)
        if device == "cpu":
            torch.set_num_threads(order.threads)
            given["kv_cache_memory_bytes"] = _cache_bytes(order)
        engines: Any = importlib.import_module("vllm.v1.engine.llm_engine")
        try:
            engine = engines.LLMEngine.from_engine_args(self._vllm.EngineArgs(**given))
        except self.refusals as error:
            raise _told(error) from error
        self._end_of_text = getattr(engine.renderer.tokenizer, "eos_token_id", None)
        return engine

    def prompt(self, ids: Sequence[int]) -> Any:
        """Tokens as an engine's input, which nothing of vLLM's looks at as text."""
        return self._inputs.tokens_input(list(ids))

    def parameters(self, sampling: Sampling, suppressed: Iterable[int]) -> Any:
        """SamplingParams of a request; raises InvalidRequest."""
        found = fields(sampling, suppressed, self._end_of_text)
        if STRUCTURED in found:
            found[STRUCTURED] = self._sampling.StructuredOutputsParams(**found[STRUCTURED])
        kind = self._sampling.RequestOutputKind.DELTA
        return self._sampling.SamplingParams(**found, output_kind=kind)


def _cache_bytes(order: LoadOrder) -> int:
    config = AutoConfig.from_pretrained(
        order.folder, local_files_only=True, trust_remote_code=False
    )
    dtype = torch.float32 if order.dtype == "auto" else getattr(torch, order.dtype)
    text = config.get_text_config(decoder=True)
    longest = order.max_length or int(getattr(text, "max_position_embeddings", None) or 8192)
    wanted = SEATS * order.slots * (longest + SPARE_TOKENS) * bytes_per_token(config, dtype)
    weights = memory_needed(order.folder, torch.finfo(dtype).bits)
    return cache_bytes(order.memory, resident_bytes(), weights, wanted)


def _refusals() -> tuple[type[Exception], ...]:
    """What vLLM raises for a request or a setting that it does not take; older ones, ValueError."""
    exceptions: Any = importlib.import_module("vllm.exceptions")
    own = getattr(exceptions, "VLLMClientError", ValueError)
    return ValueError, TypeError, own


def _told(error: Exception) -> Exception:
    """In our words: vLLM uses the same exceptions for memory and for settings."""
    said = str(error)
    if "KV cache" in said or "memory" in said:
        return LoadOutOfMemory(
            f"vLLM has no memory for the model: {said}; lower spec.engine.maxModelLength or "
            "spec.engine.maxBatchSize, or take a larger GPU"
        )
    return InvalidSetting(f"vLLM refuses the model or its settings: {said}")
