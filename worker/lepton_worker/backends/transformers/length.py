"""How many tokens a model takes."""

from typing import Any

from lepton_worker.backends.base import LoadOrder
from lepton_worker.backends.lengths import POSITIONS, UNBOUNDED, bounded
from lepton_worker.model import Pooling

USUAL_RELATIVE = 1024
"""For T5 and its relatives, which take any length and were trained on some hundred tokens. Longer
texts may be asked for: each head then adds a number for each pair of tokens."""


def longest_input(module: Any, order: LoadOrder, pooling: Pooling) -> int:
    """What was asked for, or else what the model was built for; raises InvalidSetting."""
    possible = positions(module)
    usual = UNBOUNDED
    if hasattr(module.config, "relative_attention_num_buckets"):
        possible, usual = None, possible or USUAL_RELATIVE
    return bounded(order.max_length, possible, pooling.max_length, usual)


def positions(module: Any) -> int | None:
    """Positions that the model was built for; None if it has no such bound."""
    config = module.config.get_text_config()
    for name in POSITIONS:
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 0:
            return value - _reserved(module)
    return None


def _reserved(module: Any) -> int:
    """Positions that no token can have: RoBERTa counts from behind its padding position."""
    for name, part in module.named_modules():
        if name.endswith("position_embeddings"):
            padding = getattr(part, "padding_idx", None)
            return 0 if padding is None else int(padding) + 1
    return 0
