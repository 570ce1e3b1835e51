"""What a model's own generation config says, as far as we honour it."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import torch
from transformers import (
    LogitsProcessorList,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor,
)

from lepton_worker.model import GenerationDefaults

log = logging.getLogger(__name__)

Adjust: TypeAlias = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]
"""(tokens [1, n], logits [1, vocabulary], prompt length) -> logits"""

READ = {"do_sample", "temperature", "top_p", "top_k", "max_new_tokens", "eos_token_id"}
ADJUSTED = {
    "repetition_penalty",
    "no_repeat_ngram_size",
    "suppress_tokens",
    "begin_suppress_tokens",
}
HARMLESS = {"bos_token_id", "pad_token_id", "max_length", "use_cache", "transformers_version"}


def declared(folder: Path) -> dict[str, Any]:
    """The fields that the model's generation_config.json sets; none without that file."""
    file = folder / "generation_config.json"
    if not file.is_file():
        return {}
    fields: dict[str, Any] = json.loads(file.read_text())
    return {
        name: value
        for name, value in fields.items()
        if value is not None and not name.startswith("_")
    }


def defaults(module: Any, folder: Path) -> GenerationDefaults:
    """What holds where a request says nothing. Greedy, unless the model asks for sampling."""
    said = declared(folder)
    ignored = sorted(set(said) - READ - ADJUSTED - HARMLESS)
    if ignored:
        log.warning("not honoured of the model's generation config: %s", ", ".join(ignored))
    ends = module.generation_config.eos_token_id
    return GenerationDefaults(
        max_new_tokens=said.get("max_new_tokens"),
        temperature=float(said.get("temperature", 1.0)) if said.get("do_sample") else 0.0,
        top_p=float(said.get("top_p", 1.0)),
        top_k=int(said.get("top_k", 0)),
        ends=frozenset([ends] if isinstance(ends, int) else ends or []),
    )


def adjustment(module: Any) -> Adjust:
    """The changes to logits that the model asks for, in transformers' own order."""
    said = module.generation_config
    device = module.device

    def adjust(tokens: torch.Tensor, logits: torch.Tensor, prompt_length: int) -> torch.Tensor:
        steps = LogitsProcessorList()
        if said.repetition_penalty not in (None, 1.0):
            steps.append(RepetitionPenaltyLogitsProcessor(penalty=said.repetition_penalty))
        if said.no_repeat_ngram_size:
            steps.append(NoRepeatNGramLogitsProcessor(said.no_repeat_ngram_size))
        if said.suppress_tokens:
            steps.append(SuppressTokensLogitsProcessor(said.suppress_tokens, device=device))
        if said.begin_suppress_tokens:
            begin = said.begin_suppress_tokens
            steps.append(SuppressTokensAtBeginLogitsProcessor(begin, prompt_length, device=device))
        changed: torch.Tensor = steps(tokens, logits)  # type: ignore[arg-type]
        return changed

    return adjust
