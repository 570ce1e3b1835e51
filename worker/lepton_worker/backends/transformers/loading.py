"""From a checked folder to a loaded module and what is known of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from lepton_worker.backends.base import LoadOrder
from lepton_worker.backends.compiler_later import compiler_later
from lepton_worker.backends.transformers.chat_template import chat_template, special_tokens
from lepton_worker.backends.transformers.generation import defaults
from lepton_worker.backends.transformers.length import longest_input
from lepton_worker.backends.transformers.seq2seq_facts import with_seq2seq
from lepton_worker.backends.transformers.tokenizer import load_tokenizer
from lepton_worker.errors import InvalidSetting, LoadOutOfMemory, WeightsCorrupt, WeightsMissing
from lepton_worker.model import GenerationDefaults, Model, Pooling
from lepton_worker.request import Task, Tokens
from lepton_worker.source.folder import read_config
from lepton_worker.source.weights import memory_needed

CLASSES: dict[Task, Any] = {
    Task.GENERATE: AutoModelForCausalLM,
    Task.CLASSIFY: AutoModelForSequenceClassification,
    Task.TAG: AutoModelForTokenClassification,
    Task.ANSWER: AutoModelForQuestionAnswering,
    Task.EMBED: AutoModel,
}
LABELLING = (Task.CLASSIFY, Task.TAG)
SHOWN = 5
"""How many names of tensors an error lists."""


@dataclass(frozen=True)
class Loaded:
    """A module on its device, with what our own code needs beside it.

    `padding` is None where the model has no padding token.
    """

    module: Any
    facts: Model
    padding: int | None


def trial_text(module: Any, length: int) -> Tokens:
    """A text for trials. Heads of encoder-decoders read the state of the end, which each has once.

    Others have no end, which may be what a head looks for in front of padding.
    """
    config = module.config
    end = config.eos_token_id if config.is_encoder_decoder else None
    usual = 1 % int(module.get_input_embeddings().num_embeddings)
    if end is None:
        return Tokens((usual,) * length)
    return Tokens((*(usual if usual != end else 0,) * (length - 1), end))


def load_model(order: LoadOrder) -> Loaded:
    """Load module and tokenizer; raises LoadError."""
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    device = choose_device(order.device)
    check_memory(order, device)
    module = _module(order, device)
    pooling = order.pooling if order.task is Task.EMBED else Pooling()
    tokenizer = load_tokenizer(order.folder, pooling.lower_case)
    config = module.config
    generates = order.task is Task.GENERATE
    facts = Model(
        task=order.task,
        offers=frozenset([order.task]),
        architecture=type(module).__name__,
        backend="transformers",
        device=str(module.device),
        dtype=dtype_name(module.dtype),
        max_length=longest_input(module, order, pooling),
        vocabulary=int(module.get_input_embeddings().num_embeddings),
        tokenizer=tokenizer,
        labels=_labels(config) if order.task in LABELLING else (),
        scoring=_scoring(config) if order.task is Task.CLASSIFY else "softmax",
        entailment=_entailment(config) if order.task is Task.CLASSIFY else None,
        prompts={"": pooling.prefix, **pooling.prompts} if order.task is Task.EMBED else {},
        dimensions=_width(config) * len(pooling.modes) if order.task is Task.EMBED else 0,
        normalize=pooling.normalize,
        defaults=defaults(module, order.folder) if generates else GenerationDefaults(),
        chat_template=chat_template(order.folder) if generates else "",
        special_tokens=special_tokens(order.folder) if generates else {},
    )
    if generates and config.is_encoder_decoder:
        facts = with_seq2seq(facts, order.folder, module.generation_config)
    padding = config.get_text_config().pad_token_id
    return Loaded(module, facts, padding)


def choose_device(asked: str) -> torch.device:
    """The device to use; raises InvalidSetting for a GPU that is not there."""
    if asked == "cuda" and not torch.cuda.is_available():
        raise InvalidSetting("device cuda was asked for, and this worker sees no GPU")
    return torch.device("cuda:0" if asked != "cpu" and torch.cuda.is_available() else "cpu")


def choose_dtype(asked: str, device: torch.device) -> torch.dtype | str:
    """The dtype to load: `auto` is the checkpoint's on a GPU, and float32 on a CPU."""
    if asked != "auto":
        dtype: torch.dtype = getattr(torch, asked)
        return dtype
    return "auto" if device.type == "cuda" else torch.float32


def check_memory(order: LoadOrder, device: torch.device) -> None:
    """Say before loading, and in figures, that the weights alone are too large."""
    on_gpu = device.type == "cuda"
    limit = torch.cuda.get_device_properties(device).total_memory if on_gpu else order.memory
    dtype = choose_dtype(order.dtype, device)
    bits = torch.finfo(dtype).bits if isinstance(dtype, torch.dtype) else None
    needed = memory_needed(order.folder, bits)
    if limit is not None and needed > limit:
        where = "the GPU has" if on_gpu else "the worker may use"
        raise LoadOutOfMemory(
            f"the weights take {needed / 2**30:.1f} GiB as {dtype_name(dtype)}, and {where} "
            f"{limit / 2**30:.1f} GiB: raise the memory limit, or choose a shorter dtype"
        )


def stored_dtype(folder: Path) -> str:
    """The dtype in which the checkpoint was written, as its config says; "" where it does not."""
    config = read_config(folder)
    return str(config.get("dtype") or config.get("torch_dtype") or "")


def dtype_name(dtype: torch.dtype | str) -> str:
    """The dtype as users write it."""
    return "stored" if isinstance(dtype, str) else str(dtype).removeprefix("torch.")


def _module(order: LoadOrder, device: torch.device) -> Any:
    config = AutoConfig.from_pretrained(
        order.folder, local_files_only=True, trust_remote_code=False
    )
    kind = CLASSES[order.task]
    if order.task is Task.GENERATE and config.is_encoder_decoder:
        kind = AutoModelForSeq2SeqLM
    try:
        # Torch marks the functions that initialise weights for its compiler, too.
        with compiler_later():
            module, report = kind.from_pretrained(
                order.folder,
                dtype=choose_dtype(order.dtype, device),
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
            )
    except RuntimeError as error:
        if "size mismatch" in str(error) or "mismatched" in str(error):
            raise WeightsCorrupt(f"weights and config.json do not fit: {error}") from error
        raise
    _check(report, order)
    return module.to(device).eval()


def _check(report: dict[str, Any], order: LoadOrder) -> None:
    """Whether every tensor came from the files: transformers fills gaps with random numbers."""
    missing = sorted(report["missing_keys"])
    if order.task is Task.EMBED:
        # The layer behind the first token's state, which no pooling of ours reads.
        missing = [name for name in missing if not name.startswith("pooler.")]
    if missing:
        raise WeightsMissing(
            f"{order.folder} lacks {_listed(missing)}, which task {order.task} needs; "
            "save the model again with all of its weights, or choose a task that it was trained for"
        )
    if report["mismatched_keys"]:
        names = sorted(item[0] for item in report["mismatched_keys"])
        raise WeightsCorrupt(
            f"in {order.folder} the shape of {_listed(names)} does not fit config.json"
        )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _width(config: Any) -> int:
    return int(config.get_text_config().hidden_size)


def _labels(config: Any) -> tuple[str, ...]:
    return tuple(str(config.id2label[index]) for index in range(config.num_labels))


def _entailment(config: Any) -> int | None:
    """The label of an entailed text, known by its name."""
    named = (n for n, label in enumerate(_labels(config)) if label.lower().startswith("entail"))
    return next(named, None)


def _scoring(config: Any) -> str:
    if config.problem_type == "regression":
        return "none"
    one = config.num_labels == 1
    return "sigmoid" if one or config.problem_type == "multi_label_classification" else "softmax"
