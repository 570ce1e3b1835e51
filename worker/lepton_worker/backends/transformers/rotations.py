"""Rotary positions that depend on the length of the text, and what they remember of earlier ones.

Rotations of type `dynamic` change with every token beyond the length that the model was trained
on, those of type `longrope` once, at that length. For the former, transformers keeps the
frequencies of the longest text so far in the module, where the next text would find them.
"""

from typing import Any

from transformers import GenerationMixin

CHANGING = frozenset({"dynamic", "longrope"})


class Rotations:
    """The rotary positions of a module."""

    def __init__(self, module: Any) -> None:
        config = module.config.get_text_config()
        said = getattr(config, "rope_parameters", None) or {}
        kinds = [said, *(item for item in said.values() if isinstance(item, dict))]
        self.change = any(kind.get("rope_type") in CHANGING for kind in kinds)
        """Whether they depend on the length of the text."""
        self.switch = _switch(module, config) if self.change else None
        """The length beyond which `generate` computes the whole text anew; None for never."""
        self._parts = [
            part
            for part in module.modules()
            if getattr(part, "rope_type", None) == "dynamic" and hasattr(part, "original_inv_freq")
        ]

    def forget(self) -> None:
        """Make the module as if it had seen no text yet."""
        for part in self._parts:
            part.inv_freq = part.original_inv_freq
            part.max_seq_len_cached = part.original_max_seq_len


def _switch(module: Any, config: Any) -> int | None:
    """Phi-3 and its relatives do so, in what they prepare for `generate`."""
    own = getattr(type(module), "prepare_inputs_for_generation", None)
    if own is None or own is GenerationMixin.prepare_inputs_for_generation:
        return None
    length = getattr(config, "original_max_position_embeddings", None)
    return length if isinstance(length, int) else None
