"""Are all tensors of a model there? vLLM does not look: it computes with what lay in the memory.

Its own check spares all linear layers of checkpoints that are not quantized.
"""

import logging
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from lepton_worker.backends.vllm.names import missing
from lepton_worker.errors import WeightsMissing
from lepton_worker.source.weights import read_header, weight_files

log = logging.getLogger(__name__)
SHOWN = 5


def check_weights(folder: Path) -> None:
    """Raise WeightsMissing with the tensors that transformers' module of the model would lack."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if getattr(config, "quantization_config", None):
        return
    try:
        with torch.device("meta"):
            module = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    except Exception as error:
        log.info("tensors are not compared with those of the model: %s", error)
        return
    tied = module.all_tied_weights_keys if config.get_text_config().tie_word_embeddings else {}
    found = {name for file in weight_files(folder) for name in read_header(file)}
    lacking = missing(module.state_dict().keys(), set(tied), found)
    if lacking:
        more = f" and {len(lacking) - SHOWN} more" if len(lacking) > SHOWN else ""
        raise WeightsMissing(
            f"{folder} lacks {', '.join(lacking[:SHOWN])}{more}; save the model again with all of "
            "its weights"
        )
