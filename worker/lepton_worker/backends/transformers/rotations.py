"""Rotary positions that depend on the length of the text.

Rotations of type `longrope` are others for all tokens of a forward once one of them is beyond the
length that the model was first trained on. (Those of type `dynamic` change only beyond the longest
text that is taken at all.)
"""

from typing import Any

from transformers import GenerationMixin


def stretch(module: Any) -> bool:
    """Whether the positions of any layer depend on the length of the text."""
    said = getattr(module.config.get_text_config(decoder=True), "rope_parameters", None) or {}
    kinds = [said, *(item for item in said.values() if isinstance(item, dict))]
    return any(kind.get("rope_type") == "longrope" for kind in kinds)


def switch(module: Any) -> int | None:
    """The length beyond which `generate` computes the whole text anew; None for never.

    Phi-3 and its relatives do so, in what they prepare for `generate`.
    """
    if type(module).prepare_inputs_for_generation is GenerationMixin.prepare_inputs_for_generation:
        return None
    config = module.config.get_text_config(decoder=True)
    length = getattr(config, "original_max_position_embeddings", None)
    return length if isinstance(length, int) else None
