"""From a LoadOrder to vLLM's EngineArgs; knows no vLLM."""

from typing import Any

from lepton_worker.backends.base import LoadOrder

HEADROOM = 0.15
"""Of the memory limit, left for activations and the front: the share that `native` leaves too."""
LEAST_BYTES = 2**26
SEATS = 2
"""Texts inside vLLM for each that we hand to it at a time: the others were put aside for better
classes and go on when vLLM finds room."""


def arguments(order: LoadOrder, device: str, seed: int, most_logprobs: int = 20) -> dict[str, Any]:
    """Fields of EngineArgs; what is not named is left to vLLM.

    `seed` is that of requests without one: vLLM's own default would be the same in every worker.
    """
    found: dict[str, Any] = {
        "model": str(order.folder),
        "dtype": order.dtype if order.dtype != "auto" or device == "cuda" else "float32",
        # -1 is as long as the model was built for, or as long as the memory allows.
        "max_model_len": order.max_length or -1,
        "max_num_seqs": SEATS * order.slots,
        "scheduling_policy": "priority",
        "structured_outputs_config": {"backend": "guidance"},
        "max_logprobs": most_logprobs,
        "logprobs_mode": "raw_logprobs",
        "generation_config": "vllm",
        "trust_remote_code": False,
        "load_format": "safetensors",
        "seed": seed,
        "disable_log_stats": True,
    }
    if order.step_tokens:
        found["max_num_batched_tokens"] = order.step_tokens
    if device == "cpu":
        # Compiling takes minutes of a CPU, for a device on which vLLM is tried and not run.
        found["enforce_eager"] = True
    return found


def cache_bytes(limit: int | None, held: int, weights: int, wanted: int) -> int:
    """Bytes for keys and values on a CPU: what the texts could need, or what the limit leaves."""
    if limit is None:
        return max(LEAST_BYTES, wanted)
    return max(LEAST_BYTES, min(wanted, int(limit * (1 - HEADROOM)) - held - weights))


def cache_tokens(total: int, block: int, slots: int, max_length: int) -> int:
    """Tokens that texts may be promised of `total`: each may leave most of its last block unused.

    One text of the greatest length always fits, as far as it does in vLLM.
    """
    return max(total - slots * block, min(total, max_length))
