"""Rotary positions that depend on the length of the text.

Rotations of type `longrope` are others for all tokens of a forward once one of them is beyond the
length that the model was first trained on. (Those of type `dynamic` change only beyond the longest
text that is taken at all.)
"""

from typing import Any

from transformers import GenerationMixin


def stretch(module: Any) -> bool:
    """Whether the positions of any layer depend on the length of the text."""
    kinds = _kinds(module.config.get_text_config(decoder=True))
    return any(kind.get("rope_type") == "longrope" for kind in kinds)


def steady(module: Any) -> float:
    """Up to which length a token's rotation depends on its own position alone.

    Beyond it, rotations of type `dynamic` and `longrope` are others for all tokens of a forward
    when one of them is further. That of `dynamic` is what the rotation itself was made for.
    """
    config = module.config.get_text_config(decoder=True)
    lengths: list[int] = []
    for kind in _kinds(config):
        if kind.get("rope_type") in ("longrope", "dynamic"):
            made = _made_for(module) if kind["rope_type"] == "dynamic" else None
            first = kind.get("original_max_position_embeddings")
            lengths.append(made or first or config.max_position_embeddings)
    return min(lengths, default=float("inf"))


def _made_for(module: Any) -> int | None:
    """The length that rotations were made for when the module was; None where none says so."""
    found = (getattr(part, "max_seq_len_cached", None) for part in module.modules())
    return min((length for length in found if isinstance(length, int)), default=None)


def _kinds(config: Any) -> list[dict[str, Any]]:
    """What a config says of rotations: for all layers, and for each type of them."""
    said = getattr(config, "rope_parameters", None) or {}
    return [said, *(item for item in said.values() if isinstance(item, dict))]


def switch(module: Any) -> int | None:
    """The length beyond which `generate` computes the whole text anew; None for never.

    Phi-3 and its relatives do so, in what they prepare for `generate`.
    """
    if type(module).prepare_inputs_for_generation is GenerationMixin.prepare_inputs_for_generation:
        return None
    config = module.config.get_text_config(decoder=True)
    length = getattr(config, "original_max_position_embeddings", None)
    return length if isinstance(length, int) else None
